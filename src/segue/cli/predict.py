"""``segue predict``: pictures of any sizes in, classes of every pixel out."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer


def predict(
    model: Annotated[Path, typer.Argument(help="A run folder or a model folder.", metavar="MODEL")],
    pictures: Annotated[Path, typer.Argument(help="A folder of pictures, or one picture.", metavar="FOLDER")],
    out: Annotated[Path, typer.Option(help="Where index/, colour/, overlay/ and confidence/ go.")],
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
) -> None:
    """Predict every picture of a folder: class ids, colours, overlay, confidence; no labels needed.

    Files that cannot be read are named at the end, with exit code 2; all others are predicted.
    """
    from segue.cli.opened import open_model
    from segue.cli.pictures import find_pictures
    from segue.cli.progress import counting
    from segue.data.picture import read_image
    from segue.evaluate.folder import KINDS, predict_folder
    from segue.memory import keep_memory

    keep_memory()
    found = find_pictures(pictures, out)
    opened = open_model(model, device=device, mode=mode, flip=flip, scales=scales)
    with counting("predicting", len(found)) as progress:
        outcome = predict_folder(
            opened.plan.predictor(opened.network),
            found,
            read=read_image,
            out=out,
            classes=opened.classes,
            mean=opened.card.mean,
            std=opened.card.std,
            device=opened.device,
            progress=progress,
        )
    typer.echo(f"{outcome.predicted} of {len(found)} pictures predicted: {out}/{{{','.join(KINDS)}}}")
    for name, reason in outcome.failed.items():
        print(f"segue: {name} was not predicted: {reason}", file=sys.stderr)
    if outcome.failed:
        raise typer.Exit(2)
