"""``segue suggest``: which target pictures are most worth labelling."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from segue.cli.options import Device, ModelPath


def suggest(
    model: ModelPath,
    count: Annotated[int, typer.Option(min=1, help="How many pictures to name.")] = 10,
    data: Annotated[
        Path | None, typer.Option(help="Folder of pictures; by default the target's of the run.")
    ] = None,
    most: Annotated[int, typer.Option(min=1, help="Look at no more pictures than this, evenly taken.")] = 500,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write names and reasons to this file.")
    ] = None,
    device: Device = None,
) -> None:
    """Name the target pictures most worth labelling: those that the model is in doubt about, unlike one another.

    Label some of them, put them into a folder with images/ and labels/, and train with --few DIR.
    """
    from segue.cli.progress import counting
    from segue.cli.tables import PlainTable
    from segue.engine.finished_run import unlabelled_pictures
    from segue.evaluation import suggestion
    from segue.evaluation.model import TrainedModel
    from segue.evaluation.pictures import evenly
    from segue.files import write_text
    from segue.memory import keep_memory

    keep_memory()
    trained = TrainedModel.load(model, device)
    pictures, _ = unlabelled_pictures(trained, data)
    places = evenly(len(pictures), most)
    with counting("looking", len(places)) as watch:
        found = suggestion.suggest(trained, pictures, places, count=count, progress=watch)
    named = [
        (pictures.name(one.place), one.doubt, [trained.classes.names[k] for k in one.classes])
        for one in found
    ]
    rows = [[name, f"{doubt:.2f}", ", ".join(classes)] for name, doubt, classes in named]
    title = f"most worth labelling of {len(places)} pictures, first to last"
    Console(soft_wrap=True).print(PlainTable(title, ["picture", "doubt", "least sure of"], rows))
    if json_file is not None:
        said = [{"name": name, "doubt": doubt, "least_sure_of": classes} for name, doubt, classes in named]
        write_text(json_file, json.dumps(said, indent=2) + "\n")
