"""Panels as in papers: a row for each picture, with the photograph, the label and every run's prediction."""

import io
from collections.abc import Sequence
from pathlib import Path

from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

from segue.files import write_bytes
from segue.report.roles import distinct_names
from segue.report.run_folder import RunFolder

GAP, HEADING = 4, 22
"""Pixels between pictures, and of the line with the columns' names."""


def write_panels(out: Path, runs: Sequence[Path], *, rows: int = 4, width: int = 320) -> Path:
    """Draw the evaluated pictures that all runs keep into a PNG or JPEG file, and return its path.

    There are at most ``rows`` of them, each ``width`` pixels wide. The runs are of one pair, best a source-only one
    first.

    Raises:
        ValueError: If the runs keep no picture in common.
    """
    folders = [RunFolder(run) for run in runs]
    kept = [{picture.name: picture for picture in run.pictures if picture.prediction} for run in folders]
    shared = [name for name in kept[0] if all(name in other for other in kept)][:rows]
    if not shared:
        raise ValueError(
            "these runs keep no evaluated picture in common; evaluation.pictures says how many are kept"
        )
    titles = ["picture", "label", *distinct_names(folders)]
    drawn = [
        [
            _sized(kept[0][name].image, width, Image.Resampling.LANCZOS),
            _sized(kept[0][name].label, width, Image.Resampling.NEAREST),
            *(_sized(own[name].prediction, width, Image.Resampling.NEAREST) for own in kept),
        ]
        for name in shared
    ]
    height = max(picture.height for row in drawn for picture in row)
    size = (len(titles) * (width + GAP) - GAP, HEADING + len(drawn) * (height + GAP) - GAP)
    sheet = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.truetype(font_manager.findfont("DejaVu Sans"), 13)
    for place, title in enumerate(titles):
        pen.text((place * (width + GAP) + 2, 3), title, fill="black", font=font)
    for line, row in enumerate(drawn):
        for place, picture in enumerate(row):
            sheet.paste(picture, (place * (width + GAP), HEADING + line * (height + GAP)))
    content = io.BytesIO()
    is_jpeg = out.suffix.lower() in (".jpg", ".jpeg")
    sheet.save(content, "JPEG" if is_jpeg else "PNG", **({"quality": 88} if is_jpeg else {}))
    write_bytes(out, content.getvalue())
    return out


def _sized(path: Path | None, width: int, resampling: Image.Resampling) -> Image.Image:
    """A picture of the wanted width; grey where there is none."""
    if path is None:
        return Image.new("RGB", (width, width // 2), "lightgrey")
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    return picture.resize((width, max(1, round(picture.height * width / picture.width))), resampling)
