"""``segue train``: one training run into a run folder."""

from pathlib import Path
from typing import Annotated, Any

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
    from segue.engine import experiment as experiments
    from segue.recipes import pairs
    from segue.recipes.catalogue import experiment

    flags: dict[str, Any] = {k: v for k, v in (("steps", steps), ("seed", seed)) if v is not None}
    if pair is None and (source is None or target is None):
        raise ValueError(
            "say which domains: --pair NAME, --pair FILE.yaml, or --source DIR --target DIR --classes FILE"
        )
    if pair is not None and (source or target or classes or evaluation):
        raise ValueError("--pair and --source/--target/--classes/--evaluation exclude each other")
    domains = (
        pairs.pair(pair)
        if pair
        else pairs.from_folders(source, target, classes=classes, evaluation=evaluation)
    )
    wishes = [experiments.read_yaml(config)] if config else []
    wanted = experiment(recipe, domains, *wishes, flags, experiments.parse_assignments(assignments or []))
    if show:
        typer.echo(experiments.to_yaml(wanted), nl=False)
        return

    from segue.cli.runs import train_and_report

    folder = out or Path("runs") / recipe
    train_and_report(wanted, folder, console=Console(), cpu=cpu, baseline=baseline)
