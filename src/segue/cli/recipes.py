"""``segue recipes``: what can be trained, with the scores that papers publish and those measured here."""

from textwrap import wrap
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from segue.recipes.published import PublishedRow


def recipes(
    name: Annotated[
        str | None,
        typer.Argument(help="Show only this one, with settings and published scores.", metavar="[RECIPE]"),
    ] = None,
    pair: Annotated[
        str | None, typer.Option(help="Show every setting of RECIPE on this pair (a name or a YAML file).")
    ] = None,
) -> None:
    """List the recipes with pieces, papers, published and measured scores, or show one recipe."""
    if name is not None:
        _show(name, pair)
    elif pair is not None:
        raise ValueError(
            "--pair shows the settings of one recipe: name it, as in segue recipes dacs --pair ..."
        )
    else:
        _list()


WIDEST = 100
"""Lines of the list are broken here even on wider terminals; pipes have 80 columns."""


def _list() -> None:
    from segue.recipes.catalogue import RECIPES
    from segue.recipes.measured import measured
    from segue.recipes.pairs import PAIRS

    console = Console()
    width = min(console.width, WIDEST) if console.is_terminal else 80
    indent = max(map(len, RECIPES)) + 2
    for name, recipe in RECIPES.items():
        scores = ", ".join(f"{row.mean:.1f} {pair}" for pair, row in recipe.rows.items())
        here = ", ".join(_measured(pair, *row) for pair, row in measured().get(name, {}).items())
        score = "accuracy" if recipe.names_pictures else "mIoU"
        said = [recipe.pieces, recipe.paper, scores and f"{score} {scores}", here and f"here {here}"]
        lines = [line for text in said if text and text != "-" for line in _broken(text, width - indent)]
        first, *others = lines
        entry = "".join(f"\n{' ' * indent}{line}" for line in others)
        console.print(f"{name:{indent}}{first}{entry}", markup=False, highlight=False, soft_wrap=True)
    ending = (
        "mIoU, accuracy: what the paper prints; here: the mean of our own three runs, see docs/results.md.",
        "*: gone on from a trained model, most from a source-only one; compare it with others that did.",
        f"Pairs: {', '.join(PAIRS)}; or a YAML file, or two folders.",
        "segue recipes RECIPE shows one of them: settings, scores of every class, how to cite.",
    )
    broken = "\n".join(line for text in ending for line in _broken(text, width))
    console.print(f"\n{broken}", markup=False, highlight=False, soft_wrap=True)


def _measured(pair: str, mean: float, seeds: int, goes_on: bool) -> str:
    return f"{mean:.1f}{'*' * goes_on} {pair}" + ("" if seeds == 3 else f" ({seeds} seed{'s' * (seeds > 1)})")


def _broken(text: str, width: int) -> list[str]:
    """Lines of at most that many characters, broken between words; a longer word stays whole."""
    return wrap(text, max(width, 1), break_long_words=False, break_on_hyphens=False)


def _show(name: str, pair: str | None) -> None:
    import inspect

    import yaml

    from segue.engine.experiment import to_yaml
    from segue.recipes import pairs
    from segue.recipes.catalogue import experiment, find
    from segue.recipes.deviations import as_in_paper, overridden

    recipe = find(name)
    if pair is None:
        own = yaml.safe_dump(recipe.build(), sort_keys=False, allow_unicode=True)
        settings, heading = own, "What it sets; every setting on a pair: --pair NAME"
    else:
        known = pairs.pair(pair)
        wanted = experiment(name, known)
        otherwise = overridden(as_in_paper(name, known), wanted)
        said = "".join(f"\n- {key} {text}" for key, text in otherwise.items()) or " nothing"
        heading = f"The pair sets otherwise than the recipe:{said}\n\nEvery setting on {pair}"
        settings = to_yaml(wanted)
    parts = [
        f"{name}: {recipe.pieces}\npaper: {recipe.paper}",
        inspect.getdoc(recipe.build) or "",
        f"{heading}:\n\n{settings.rstrip()}",
    ]
    console = Console()
    console.print("\n\n".join(parts), markup=False, highlight=False, soft_wrap=True)
    if recipe.rows:
        console.print()
        console.print(_published(recipe.rows))
        console.print(
            "\n".join(map(_origin, recipe.rows.values())), markup=False, highlight=False, soft_wrap=True
        )
    if pair is None:
        console.print(f"\n{_citing(recipe.papers)}", markup=False, highlight=False, soft_wrap=True)


def _citing(papers: "Sequence[str]") -> str:
    """The entries for a bibliography; their lines are not broken, so that they can be copied."""
    from segue.recipes.citations import citations

    known = citations().papers
    if not papers:
        return "How to cite: no paper; Segue itself as CITATION.cff says."
    entries = "\n".join(known[key].bibtex(key) for key in papers)
    return f"How to cite (Segue itself: CITATION.cff):\n\n{entries}"


def _published(rows: "Mapping[str, PublishedRow]") -> Table:
    """The classes' scores, one column for each pair, and below them the mean that is usually quoted."""
    from segue.recipes.published import published

    table = Table(title="Published IoU %")
    table.add_column("class")
    for pair in rows:
        table.add_column(pair.replace("_to_", " to ").replace("_", " "), justify="right")
    for name in published().classes:
        table.add_row(name, *(_cell(row.per_class.get(name)) for row in rows.values()))
    table.add_section()
    table.add_row("mean", *(_cell(row.mean) for row in rows.values()), style="bold")
    return table


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _origin(row: "PublishedRow") -> str:
    """What the means are over, and where the scores are published."""
    from segue.recipes.published import published

    means = ", ".join(f"{mean:.1f} over {subset}" for subset, mean in row.means.items())
    papers = dict.fromkeys(published().papers[source.paper] for source in row.sources)
    said = [
        f"{row.pair}: {means}",
        row.method,
        row.network and f"measured with {row.network}",
        *papers,
        row.note,
    ]
    return "; ".join(part for part in said if part)
