"""A sheet of the same pictures as several runs see them: one row a run, below the pictures and their labels.

    python benchmarks/panels.py source_only=RUN dacs=RUN ... --out docs/pictures/street_scenes.png

The pictures are those that the first run is scored on, taken evenly. Only sheets of the street scenes are kept here:
the pictures of data sets are not ours to publish.
"""

import argparse
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from segue.engine.domains import open_domain
from segue.engine.experiment import load
from segue.evaluation.model import TrainedModel, choose_device
from segue.evaluation.pictures import evenly
from segue.files import write_bytes
from segue.ops.draw import Picture, colourise

CELL = (256, 128)
"""Width and height of a picture on the sheet."""

MARGIN = 150
"""Width of the names on the left."""

GAP = 4


def rows_of(runs: Mapping[str, Path], *, pictures: int, device: torch.device) -> dict[str, list[Picture]]:
    """The rows of the sheet by name.

    Raises:
        ValueError: If a run has other classes than the first, or its pair has no labelled pictures.
        FileNotFoundError: If there is no such run, or it has no model.
    """
    first = next(iter(runs.values()))
    data = load(first / "experiment.yaml").data
    if data.evaluation is None:
        raise ValueError(f"{first}: its pair has no labelled target pictures")
    domain = open_domain(data, data.evaluation, labelled=True)
    places = evenly(len(domain), pictures)
    seen = [domain.image(place) for place in places]
    palette = domain.classes.colours
    rows = {
        "picture": [image.permute(1, 2, 0).numpy() for image in seen],
        "label": [colourise(domain.label(place), palette) for place in places],
    }
    for name, run in runs.items():
        model = TrainedModel.load(run, device)
        if list(model.classes.names) != list(domain.classes.names):
            raise ValueError(f"{run}: has other classes than {first}")
        rows[name] = [model.predict(image).colours for image in seen]
    return rows


def sheet(rows: Mapping[str, Sequence[Picture]]) -> Image.Image:
    """All rows below one another, with their names."""
    columns = max(len(pictures) for pictures in rows.values())
    width, height = (side + GAP for side in CELL)
    drawn = Image.new("RGB", (MARGIN + columns * width, len(rows) * height - GAP), "white")
    pen, font = ImageDraw.Draw(drawn), ImageFont.load_default(size=15)
    for row, (name, pictures) in enumerate(rows.items()):
        pen.text((4, row * height + CELL[1] // 2), name, fill="black", font=font, anchor="lm")
        for column, picture in enumerate(pictures):
            small = Image.fromarray(np.ascontiguousarray(picture)).resize(CELL, Image.Resampling.NEAREST)
            drawn.paste(small, (MARGIN + column * width, row * height))
    return drawn


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw the sheet of the runs that are named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", metavar="NAME=RUN", help="a row's name and its run folder")
    parser.add_argument("--out", type=Path, default=Path("panels.png"), help="a PNG file")
    parser.add_argument("--pictures", type=int, default=3, help="how many, taken evenly")
    parser.add_argument("--device", help="cpu, cuda, cuda:1; a GPU if there is one")
    given = parser.parse_args(arguments)
    if unnamed := [one for one in given.runs if "=" not in one]:
        parser.error(f"{unnamed[0]}: give a name and a run folder, such as dacs=runs/dacs")
    runs = {name: Path(run) for name, _, run in (one.partition("=") for one in given.runs)}
    try:
        rows = rows_of(runs, pictures=given.pictures, device=choose_device(given.device))
    except (ValueError, OSError) as error:
        parser.error(str(error))
    given.out.parent.mkdir(parents=True, exist_ok=True)
    file = io.BytesIO()
    sheet(rows).quantize(128).save(file, "PNG", optimize=True)
    write_bytes(given.out, file.getvalue())


if __name__ == "__main__":
    main()
