"""``segue evaluate``: a trained model on labelled pictures, class by class."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

if TYPE_CHECKING:
    from segue.cli.opened import Opened
    from segue.data.dataset import Dataset


def evaluate(
    model: Annotated[Path, typer.Argument(help="A run folder or a model folder.", metavar="MODEL")],
    data: Annotated[
        Path | None,
        typer.Option(help="Folder with images/ and labels/; without it the run's own evaluation pictures."),
    ] = None,
    split: Annotated[str | None, typer.Option(help="Which part of the data: test, val, ...")] = None,
    classes: Annotated[
        Path | None,
        typer.Option(help="Class list of the labels, if the data has no classes.json of its own."),
    ] = None,
    class_map: Annotated[
        Path | None, typer.Option("--map", help="YAML: class of the labels -> class of the model, or ignore.")
    ] = None,
    teacher: Annotated[bool, typer.Option("--teacher", help="The run's teacher, not its student.")] = False,
    statistics: Annotated[
        Literal["trained", "target"] | None,
        typer.Option(
            help="Batch statistics as training left them, or of the target's training pictures; by default those saved."
        ),
    ] = None,
    mode: Annotated[
        Literal["auto", "whole", "sliding"] | None,
        typer.Option(help="In one pass, by windows of the training size, or by each picture's size (auto)."),
    ] = None,
    flip: Annotated[
        bool | None, typer.Option("--flip/--no-flip", help="Average with the mirror image's prediction.")
    ] = None,
    scales: Annotated[
        str | None, typer.Option(help="Average predictions at several scales: 0.75,1,1.25.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, mps; a GPU if there is one.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the scores here.")] = None,
) -> None:
    """Score a model on labelled pictures: IoU of every class, their mean, and how it was measured."""
    from segue.cli.opened import open_model
    from segue.cli.progress import counting
    from segue.cli.tables import scores_table
    from segue.evaluate import run
    from segue.files import write_text
    from segue.memory import keep_memory

    keep_memory()
    opened = open_model(model, teacher=teacher, device=device, mode=mode, flip=flip, scales=scales)
    dataset = _labelled(opened, data, split=split, classes=classes, class_map=class_map)
    opened = _settled(opened, statistics, teacher=teacher)
    network = "teacher" if teacher else "student"
    with counting("evaluating", len(dataset)) as watch:
        found = run.evaluate(
            opened.plan.predictor(opened.network),
            dataset,
            classes=opened.classes,
            mean=opened.card.mean,
            std=opened.card.std,
            device=opened.device,
            protocol={"network": network, "batch_statistics": opened.statistics, **opened.plan.protocol()},
            watch=watch,
        )
    settings = opened.experiment
    if settings is not None:
        found = found.over(settings.evaluation.classes, settings.evaluation.also)
    where = "its own evaluation pictures" if data is None else f"{data}{f' ({split})' if split else ''}"
    # Without soft wrapping a long path in the title would be cut off at the console's width.
    Console().print(scores_table(found.to_json(), title=f"{network} of {model} on {where}"), soft_wrap=True)
    if json_file is not None:
        write_text(json_file, json.dumps(found.to_json(), indent=2) + "\n")


def _settled(
    opened: "Opened", statistics: 'Literal["trained", "target"] | None', *, teacher: bool
) -> "Opened":
    """The model with the batch statistics asked for, or a teacher with those that its run scored it with."""
    from segue.cli.statistics import with_statistics

    if statistics is None and teacher and opened.experiment is not None:
        statistics = "target" if opened.experiment.network.statistics == "target" else None
    if statistics is None:
        return opened
    with Console(stderr=True).status("looking at target pictures for batch statistics"):
        return with_statistics(opened, statistics, teacher=teacher)


def _labelled(
    opened: "Opened", data: Path | None, *, split: str | None, classes: Path | None, class_map: Path | None
) -> "Dataset":
    from segue.cli.opened import labelled_folder
    from segue.trees import read_yaml

    settings = opened.experiment
    own = None if settings is None else settings.data.evaluation
    if data is None and (split or classes or class_map):
        raise ValueError(
            "--split, --classes and --map describe a folder of labelled pictures: name it with --data"
        )
    if data is not None:
        dataset = labelled_folder(
            opened,
            data,
            split=split,
            classes=classes,
            class_map=None if class_map is None else read_yaml(class_map),
        )
    elif settings is not None and own is not None:
        from segue.engine.domains import open_domain

        dataset = open_domain(settings.data, own, labelled=True)
    else:
        raise ValueError("the model comes with no evaluation pictures: name labelled ones with --data DIR")
    dataset.check()
    return dataset
