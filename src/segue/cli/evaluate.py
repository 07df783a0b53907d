"""``segue evaluate``: a trained model on labelled pictures, class by class."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from segue.cli.options import ClassMap, Device, Flip, ModeChoice, ModelPath, Scales, parse_scales


def evaluate(
    model: ModelPath,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder with images/ and labels/; by default the run's evaluation pictures."),
    ] = None,
    split: Annotated[str | None, typer.Option(help="A part of the data: test, val, ...")] = None,
    classes: Annotated[
        Path | None,
        typer.Option(help="Class list of the labels, if --data has no classes.json."),
    ] = None,
    class_map: ClassMap = None,
    label_suffix: Annotated[
        str | None, typer.Option(help="What follows a picture's name in that of its label: _mask.")
    ] = None,
    teacher: Annotated[
        bool, typer.Option("--teacher", help="Score the run's teacher, not its student.")
    ] = False,
    statistics: Annotated[
        Literal["trained", "target"] | None,
        typer.Option(
            help="Batch statistics: those that training left, or those of the target's training pictures;"
            " by default those saved with the model."
        ),
    ] = None,
    mode: ModeChoice = None,
    flip: Flip = None,
    scales: Scales = None,
    device: Device = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write the scores to this JSON file.")
    ] = None,
) -> None:
    """Score a model on labelled pictures: the IoU of every class, their mean, and how they were measured."""
    from segue import api
    from segue.cli.progress import counting
    from segue.cli.tables import scores_table
    from segue.engine.finished_run import labelled_pictures
    from segue.files import write_text
    from segue.memory import keep_memory
    from segue.trees import read_yaml

    keep_memory()
    with Console(stderr=True).status("loading the model"):
        trained = api.load(
            model,
            device,
            teacher=teacher,
            statistics=statistics,
            mode=mode,
            flip=flip,
            scales=parse_scales(scales),
        )
    own_map = None if class_map is None else read_yaml(class_map)
    dataset = labelled_pictures(trained, data, split=split, label_classes=classes, class_map=own_map, label_suffix=label_suffix)
    with counting("evaluating", len(dataset)) as watch:
        scores = api.evaluate(trained, dataset, watch=watch).to_json()
    where = "its own evaluation pictures" if data is None else f"{data}{f' ({split})' if split else ''}"
    # Without soft wrapping a long path in the title would be cut off at the console's width.
    Console().print(scores_table(scores, title=f"{trained.role} of {model} on {where}"), soft_wrap=True)
    if json_file is not None:
        write_text(json_file, json.dumps(scores, indent=2) + "\n")
