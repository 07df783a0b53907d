"""``segue train``: one training run into a run folder."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

Maybe = typer.Option(show_default=False)


def train(
    recipe: Annotated[str, typer.Argument(help="A name that `segue recipes` lists.")],
    pair: Annotated[str | None, typer.Option(help="A built-in pair or a YAML file.")] = None,
    source: Annotated[Path | None, typer.Option(help="Folder with images/ and labels/.")] = None,
    target: Annotated[Path | None, typer.Option(help="Folder of pictures; labels are never read.")] = None,
    classes: Annotated[
        Path | None,
        typer.Option(
            help="YAML or JSON list of the classes to train; a folder's own list says what its label values mean."
        ),
    ] = None,
    evaluation: Annotated[Path | None, typer.Option(help="Labelled target pictures to score on.")] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file with your differences.")] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder; default runs/RECIPE.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Optimiser updates.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random.")] = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", help="Any setting: key.sub=value; repeatable.")
    ] = None,
    baseline: Annotated[Path | None, typer.Option(help="Run folder to compare with in the report.")] = None,
    cpu: Annotated[bool, typer.Option("--cpu", help="Stay on the processor.")] = False,
    show: Annotated[bool, typer.Option("--print", help="Show the whole configuration and stop.")] = False,
) -> None:
    """Train a recipe on a pair of domains; a run that was interrupted goes on where it stood."""
    from segue import api
    from segue.cli.tables import scores_table
    from segue.engine.experiment import parse_assignments, to_yaml
    from segue.ranks import is_first_rank

    wanted = api.configure(
        recipe, pair, source=source, target=target, classes=classes, evaluation=evaluation, config=config,
        steps=steps, seed=seed, settings=parse_assignments(assignments or []),
    )  # fmt: skip
    if show:
        typer.echo(to_yaml(wanted), nl=False)
        return
    run = api.train(wanted, out=out, baseline=baseline, cpu=cpu)
    if not is_first_rank():
        return
    console = Console()
    if run.record is not None:
        title = f"{run.settings.recipe}: {run.settings.data.pair}"
        console.print(scores_table(run.record, title=title), soft_wrap=True)
    if run.fusion_report is not None:
        console.print(f"fusion  {run.fusion_report}", highlight=False, markup=False)
    console.print(f"model   {run.folder / 'model'}\nreport  {run.report}", highlight=False, markup=False)
