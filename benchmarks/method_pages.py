"""Write docs/methods: a page for each paper's method, made from its recipes, their docstrings and published scores.

python benchmarks/method_pages.py            # rewrite the pages
python benchmarks/method_pages.py --check    # only check that they are up to date
"""

import inspect
import sys
from pathlib import Path

import yaml

from segue.files import write_text
from segue.methods import METHODS
from segue.methods.terms import TERMS
from segue.recipes.catalogue import RECIPES, Recipe
from segue.recipes.citations import Paper, citations

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "methods"
BASELINES = "baselines"
MADE = "<!-- made by benchmarks/method_pages.py -->\n"


def pages() -> dict[str, str]:
    """Every page by its file's name: one for each paper, one for what has none, and the index."""
    grouped: dict[str, dict[str, Recipe]] = {}
    for name, recipe in RECIPES.items():
        grouped.setdefault(recipe.papers[0] if recipe.papers else BASELINES, {})[name] = recipe
    written = {f"{key}.md": _page(key, recipes) for key, recipes in grouped.items()}
    return {"README.md": _index(grouped), **written}


def _index(grouped: dict[str, dict[str, Recipe]]) -> str:
    lines = ["# Methods", "", "| page | recipes | paper |", "|---|---|---|"]
    for key, recipes in grouped.items():
        paper = citations().papers.get(key)
        names = ", ".join(f"`{name}`" for name in recipes)
        lines.append(f"| [{key}]({key}.md) | {names} | {paper.short if paper else '-'} |")
    after = (
        "`segue recipes RECIPE --pair PAIR` shows every setting on a pair. Where released code differs from its"
        " paper, `docs/architecture.md` says which one is followed."
    )
    return MADE + "\n".join([*lines, "", after, ""])


def _page(key: str, recipes: dict[str, Recipe]) -> str:
    papers = list(dict.fromkeys(cited for recipe in recipes.values() for cited in recipe.papers))
    title = citations().papers[key].title if papers else "Baselines"
    parts = [f"# {title}"]
    parts += [_reference(citations().papers[cited]) for cited in papers[:1]]
    for name, recipe in recipes.items():
        parts += _section(name, recipe)
    parts += ["## Pieces", "\n".join(_pieces(recipes))]
    if papers:
        entries = "\n".join(citations().papers[cited].bibtex(cited) for cited in papers)
        parts += ["## How to cite", _indented(entries)]
    return MADE + "\n\n".join(parts) + "\n"


def _reference(paper: Paper) -> str:
    names = [" ".join(reversed(author.split(", "))) for author in paper.authors]
    where = [paper.venue, paper.arxiv and f"arXiv {paper.arxiv}", paper.url, paper.note]
    return f"{', '.join(names)}. {', '.join([*filter(None, where), str(paper.year)])}."


def _section(name: str, recipe: Recipe) -> list[str]:
    """A recipe: what it consists of, its docstring, what it sets, and what the paper prints."""
    said = (inspect.getdoc(recipe.build) or "").replace("``", "`")
    settings = yaml.safe_dump(recipe.build(), sort_keys=False, allow_unicode=True).rstrip()
    parts = [f"## `{name}`", f"{recipe.pieces[0].upper()}{recipe.pieces[1:]}.", said]
    parts += ["It sets:", _indented(settings)]
    if recipe.rows:
        rows = [
            f"| `{pair}` | {row.mean:.1f} | {row.network or 'not stated'} |"
            for pair, row in recipe.rows.items()
        ]
        measure = "accuracy" if recipe.names_pictures else "mIoU"
        parts.append("\n".join([f"| pair | published {measure} | network |", "|---|---|---|", *rows]))
    return parts


def _pieces(recipes: dict[str, Recipe]) -> list[str]:
    """The method and the additional losses: where they stand, and the first sentence there."""
    trees = [recipe.build() for recipe in recipes.values()]
    kinds = [METHODS[tree["method"]["name"]] for tree in trees]
    used = [tree.get("terms", {}) for tree in trees]
    kinds += [TERMS[name] for terms in used for name, term in terms.items() if term is not None]
    modules = dict.fromkeys(inspect.getmodule(kind) for kind in kinds)
    return [
        f"- `src/{module.__name__.replace('.', '/')}.py`: {_first_paragraph(module.__doc__ or '')}"
        for module in modules
        if module is not None
    ]


def _first_paragraph(text: str) -> str:
    return " ".join(inspect.cleandoc(text).split("\n\n")[0].replace("``", "`").split())


def _indented(text: str) -> str:
    return "\n".join(f"    {line}".rstrip() for line in text.splitlines())


def main() -> None:
    """Rewrite, or check, the pages; a page of a paper that no recipe names any more is removed."""
    made = pages()
    there = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md")}
    if "--check" in sys.argv[1:]:
        sys.exit(0 if there == made else f"{FOLDER}: out of date; run python benchmarks/method_pages.py")
    for name in there.keys() - made.keys():
        (FOLDER / name).unlink()
    for name, text in made.items():
        write_text(FOLDER / name, text)


if __name__ == "__main__":
    main()
