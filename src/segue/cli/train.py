"""``segue train``: one training run, written into a run folder."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer
from rich.console import Console

if TYPE_CHECKING:
    from segue.api import TrainedRun

Folder: TypeAlias = Path | None
Split: TypeAlias = str | None
Source: TypeAlias = Annotated[
    Folder, typer.Option(help="The source: a folder with images/ and labels/, or tar archives.")
]
Images: TypeAlias = Annotated[
    Folder,
    typer.Option(help="The source's pictures, if not in images/; relative to --source if it is given."),
]
Labels: TypeAlias = Annotated[Folder, typer.Option(help="The source's labels, if not in labels/ or masks/.")]
Suffix: TypeAlias = Annotated[
    str | None,
    typer.Option(help="What follows a source picture's name in that of its label: _mask, _labelIds."),
]
Target: TypeAlias = Annotated[
    Folder, typer.Option(help="The target: a folder of pictures, or tar archives; labels are never read.")
]
Classes: TypeAlias = Annotated[
    Folder,
    typer.Option(
        help="YAML or JSON list of the classes to train; if a folder has its own list, that one says what its label"
        " values mean."
    ),
]
Evaluation: TypeAlias = Annotated[
    Folder, typer.Option(help="Folder of labelled target pictures, for scores after training.")
]
PartOf: TypeAlias = Annotated[Split, typer.Option(help="Which part of that folder: train, val, ...")]
Few: TypeAlias = Annotated[
    Folder,
    typer.Option(help="Folder of a few labelled target pictures to train on, too; segue suggest names them."),
]


def train(
    recipe: Annotated[str, typer.Argument(help="One of the names that `segue recipes` lists.")],
    pair: Annotated[str | None, typer.Option(help="A built-in pair of domains or a YAML file.")] = None,
    source: Source = None,
    source_images: Images = None,
    source_labels: Labels = None,
    label_suffix: Suffix = None,
    source_split: PartOf = None,
    target: Target = None,
    target_split: PartOf = None,
    classes: Classes = None,
    evaluation: Evaluation = None,
    evaluation_split: PartOf = None,
    few: Few = None,
    config: Annotated[Path | None, typer.Option(help="YAML file of settings to change.")] = None,
    out: Annotated[Path | None, typer.Option(help="The run folder; by default runs/RECIPE.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Training steps.")] = None,
    seed: Annotated[int | None, typer.Option(help="Random seed.")] = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", help="Change a setting: key.sub=value; repeatable.")
    ] = None,
    baseline: Annotated[
        Path | None, typer.Option(help="Another run folder, which the report compares this run with.")
    ] = None,
    cpu: Annotated[bool, typer.Option("--cpu", help="Use no GPU.")] = False,
    show: Annotated[bool, typer.Option("--print", help="Print all settings and stop.")] = False,
) -> None:
    """Train a recipe on a pair of domains; repeat an interrupted command and it goes on."""
    from segue import api
    from segue.engine.experiment import parse_assignments, to_yaml
    from segue.ranks import is_first_rank, launched

    wanted = api.configure(
        recipe, pair, source=source, source_images=source_images, source_labels=source_labels,
        label_suffix=label_suffix, source_split=source_split, target=target, target_split=target_split,
        classes=classes, evaluation=evaluation, evaluation_split=evaluation_split, few=few, config=config,
        steps=steps, seed=seed, settings=parse_assignments(assignments or []),
        cpu=cpu, say=None if show or launched()[0] else typer.echo,
    )  # fmt: skip
    if show:
        typer.echo(to_yaml(wanted), nl=False)
        return
    run = api.train(wanted, out=out, baseline=baseline, cpu=cpu)
    if not is_first_rank():
        return
    _say(run)


def _say(run: "TrainedRun") -> None:
    """The scores, the verdict without target labels, and where everything lies."""
    from segue.cli.tables import scores_table

    console = Console()
    if run.record is not None:
        title = f"{run.settings.recipe}: {run.settings.data.pair}"
        console.print(scores_table(run.record, title=title), soft_wrap=True)
    verdict = run.verdict
    if verdict is not None:
        for line in (verdict.headline, *verdict.reasons):
            console.print(line, highlight=False, markup=False, soft_wrap=True)
    if run.fusion_report is not None:
        console.print(f"fusion  {run.fusion_report}", highlight=False, markup=False)
    console.print(f"model   {run.folder / 'model'}\nreport  {run.report}", highlight=False, markup=False)
