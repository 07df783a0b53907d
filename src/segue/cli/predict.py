"""``segue predict``: pictures of any sizes in, classes of every pixel out."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from segue.cli.options import Device, Flip, ModeChoice, ModelPath, Scales, parse_scales


def predict(
    model: ModelPath,
    pictures: Annotated[Path, typer.Argument(help="A folder of pictures, or one picture.", metavar="FOLDER")],
    out: Annotated[Path, typer.Option(help="Where index/, colour/, overlay/ and confidence/ go.")],
    mode: ModeChoice = None,
    flip: Flip = None,
    scales: Scales = None,
    device: Device = None,
) -> None:
    """Predict every picture of a folder: class ids, colours, overlay, confidence; no labels needed.

    Files that cannot be read are named at the end, with exit code 2; all others are predicted.
    """
    from segue import api
    from segue.cli.progress import counting
    from segue.data.folder_files import find_pictures
    from segue.evaluation.prediction_files import KINDS
    from segue.memory import keep_memory

    keep_memory()
    files = find_pictures(pictures, out)
    trained = api.load(model, device, mode=mode, flip=flip, scales=parse_scales(scales))
    with counting("predicting", len(files)) as progress:
        outcome = api.predict(trained, files, out, progress=progress)
    typer.echo(f"{outcome.predicted} of {len(files)} pictures predicted: {out}/{{{','.join(KINDS)}}}")
    for name, reason in outcome.failed.items():
        print(f"segue: {name} was not predicted: {reason}", file=sys.stderr)
    if outcome.failed:
        raise typer.Exit(2)
