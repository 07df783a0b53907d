"""``segue predict``: the class of every pixel, for pictures of any sizes."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from segue.cli.options import Device, Flip, ModeChoice, ModelPath, Scales, parse_scales
from segue.protocol import Precision


def predict(
    model: ModelPath,
    pictures: Annotated[
        Path, typer.Argument(help="A folder of pictures, tar archives, or one picture.", metavar="FOLDER")
    ],
    out: Annotated[
        Path,
        typer.Option(help="Folder for index/, colour/, overlay/ and confidence/, or for predictions.csv."),
    ],
    mode: ModeChoice = None,
    flip: Flip = None,
    scales: Scales = None,
    device: Device = None,
    precision: Annotated[
        Precision | None,
        typer.Option(
            help="That of the network; bfloat16 is about twice as fast on processors that have it, and changes some"
            " pixels between nearly equal classes."
        ),
    ] = None,
) -> None:
    """Predict every picture of a folder as PNGs of class ids, colours, overlay and confidence; needs no labels.

    A model that gives each picture one class writes one table instead, predictions.csv.

    A file that cannot be read does not stop the others; it is named at the end, with exit code 2.
    """
    from segue import api
    from segue.cli.progress import counting
    from segue.data.folder_files import find_pictures
    from segue.memory import keep_memory

    keep_memory()
    files = find_pictures(pictures, out)
    trained = api.load(model, device, mode=mode, flip=flip, scales=parse_scales(scales), precision=precision)
    with counting("predicting", len(files)) as progress:
        written = api.predict(trained, files, out, progress=progress)
    places = ",".join(written.files)
    where = f"{{{places}}}" if len(written.files) > 1 else places
    typer.echo(f"{written.predicted} of {len(files)} pictures predicted: {out}/{where}")
    for name, reason in written.failed.items():
        print(f"segue: {name} was not predicted: {reason}", file=sys.stderr)
    if written.failed:
        raise typer.Exit(2)
