"""Panels as papers print them: a row for each picture, with the photograph, the label and every run's prediction."""

import io
from collections.abc import Sequence
from pathlib import Path

from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

from segue.files import write_bytes
from segue.report.run_folder import RunFolder

GAP, HEADING = 4, 22
"""Pixels between pictures, and above the columns for their names."""


def write_panels(
    out: Path, runs: Sequence[Path], *, names: Sequence[str] | None = None, rows: int = 4, width: int = 320
) -> Path:
    """Draw the evaluation pictures that all runs keep.

    Args:
        out: A PNG or JPEG file.
        runs: Run folders of one pair, best a source-only one first.
        names: What the columns are called; the folders' names by default.
        rows: How many pictures at most.
        width: Of a picture, in pixels.

    Returns:
        The file written.

    Raises:
        ValueError: If the runs keep no picture in common.
    """
    kept = [
        {picture.name: picture for picture in RunFolder(run).evaluation if picture.prediction is not None}
        for run in runs
    ]
    shared = [name for name in kept[0] if all(name in other for other in kept)][:rows]
    if not shared:
        raise ValueError(
            "these runs keep no evaluation picture in common; evaluation.pictures says how many are kept"
        )
    titles = ["picture", "label", *(names or [run.resolve().name for run in runs])]
    columns = [
        [kept[0][name].image, kept[0][name].label, *(one[name].prediction for one in kept)] for name in shared
    ]
    drawn = [[_sized(path, width, smooth=place == 0) for place, path in enumerate(row)] for row in columns]
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


def _sized(path: Path | None, width: int, *, smooth: bool) -> Image.Image:
    """A picture of the wanted width; grey where there is none."""
    if path is None or not path.is_file():
        return Image.new("RGB", (width, width // 2), "lightgrey")
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    resampling = Image.Resampling.LANCZOS if smooth else Image.Resampling.NEAREST
    return picture.resize((width, max(1, round(picture.height * width / picture.width))), resampling)
