"""``segue train``: one training run, written into a run folder."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

if TYPE_CHECKING:
    from segue.api import TrainedRun


def train(
    recipe: Annotated[str, typer.Argument(help="One of the names that `segue recipes` lists.")],
    pair: Annotated[str | None, typer.Option(help="A built-in pair of domains or a YAML file.")] = None,
    source: Annotated[
        Path | None, typer.Option(help="The source: a folder with images/ and labels/.")
    ] = None,
    target: Annotated[
        Path | None, typer.Option(help="The target: a folder of pictures; labels are never read.")
    ] = None,
    classes: Annotated[
        Path | None,
        typer.Option(
            help="YAML or JSON list of the classes to train; if a folder has its own list, that one says what its label"
            " values mean."
        ),
    ] = None,
    evaluation: Annotated[
        Path | None, typer.Option(help="Folder of labelled target pictures, for scores after training.")
    ] = None,
    few: Annotated[
        Path | None,
        typer.Option(
            help="Folder of a few labelled target pictures to train on, too; segue suggest names them."
        ),
    ] = None,
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
    from segue.ranks import is_first_rank

    wanted = api.configure(
        recipe, pair, source=source, target=target, classes=classes, evaluation=evaluation, few=few, config=config,
        steps=steps, seed=seed, settings=parse_assignments(assignments or []),
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
