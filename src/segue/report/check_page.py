"""The page about a check: what was found, with the files; domains and classes side by side; what will be shown."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from segue.classes import Colour
from segue.data.decoding import decode, rgb, stored
from segue.data.tars import file_of
from segue.files import write_text
from segue.report.data_uris import EmbeddedPicture, embed_labels, embed_photograph
from segue.report.formatting import listed
from segue.report.render import render_page

EXAMPLES = 3
"""So many files of a finding are shown as pictures."""

NAMED = 20
"""So many files of a finding are named."""

THUMBNAIL = 240
"""Width of a small picture, in pixels."""

ROWS = {
    "source": "source crop",
    "labels": "its label",
    "target": "target crop",
    "changed": "as the student sees it",
}
"""What the parts of a preview are called."""


def write_check_page(
    out: Path,
    account: Mapping[str, Any],
    *,
    preview: Mapping[str, Sequence[np.ndarray]],
    title: str,
) -> Path:
    """Write one self-contained HTML file about a check, and return its path.

    Args:
        account: What :func:`segue.api.check` returns.
        preview: Crops as RGB bytes (h,w,3) by their part, see ROWS; empty if none could be cut.
        title: What was checked.
    """
    palette: list[Colour] = [
        (one["colour"][0], one["colour"][1], one["colour"][2]) for one in account["classes"]
    ]
    page = render_page(
        "check.html.j2",
        title=f"Check: {title}",
        account=account,
        headline=headline(account["counts"]),
        tone=_tone(account["counts"]),
        findings=[
            (finding, _examples(finding, palette), finding["files"][:NAMED])
            for finding in account["findings"]
        ],
        samples={role: _samples(domain) for role, domain in account["domains"].items()},
        largest=max((s for one in account["classes"] for s in one["shares"].values() if s), default=1.0),
        preview=[
            (name, [_embedded(part, picture) for picture in preview[part]])
            for part, name in ROWS.items()
            if preview.get(part)
        ],
    )
    write_text(out, page)
    return out


def headline(counts: Mapping[str, int]) -> str:
    """The answer in one line: whether training can begin."""
    parts = [
        f"{number} {kind}{'' if number == 1 else 's'}"
        for kind, number in counts.items()
        if number and kind != "note"
    ]
    if counts["error"]:
        return f"{listed(parts)}: mend the error{'' if counts['error'] == 1 else 's'} before training"
    return f"Nothing stops training; {listed(parts)}" if parts else "Nothing is wrong with these files"


def _tone(counts: Mapping[str, int]) -> str:
    return "loss" if counts["error"] else "open" if counts["warning"] else "gain"


def _embedded(part: str, picture: np.ndarray) -> EmbeddedPicture | None:
    if part == "labels":
        return embed_labels(picture, [], width=THUMBNAIL)
    return embed_photograph(picture, width=THUMBNAIL)


def _examples(finding: Mapping[str, Any], palette: list[Colour]) -> list[tuple[str, EmbeddedPicture]]:
    """The first files of a finding as pictures, those that can be shown."""
    shown: list[tuple[str, EmbeddedPicture]] = []
    for together in finding["files"][:EXAMPLES]:
        for name in together[:2]:
            picture = _thumbnail(Path(name), palette)
            if picture is not None:
                shown.append((Path(name).name, picture))
    return shown


def _samples(domain: Mapping[str, Any]) -> list[tuple[str, EmbeddedPicture]]:
    shown = ((Path(name).name, _thumbnail(Path(name), [])) for name in domain["samples"])
    return [(name, picture) for name, picture in shown if picture is not None]


def _thumbnail(path: Path, palette: list[Colour]) -> EmbeddedPicture | None:
    """A file as training sees it, class ids in the classes' colours; None if it cannot be read."""
    try:
        path = file_of(path)
        mode, pixels = decode(path, lambda picture: (picture.mode, rgb(picture)))
        ids = decode(path, stored) if mode in {"L", "P"} else None
    except (ValueError, OSError):
        return None
    if ids is not None and ((ids < len(palette)) | (ids == 255)).all():
        colours = [*palette, *[(0, 0, 0)] * (256 - len(palette))]
        return embed_labels(ids, colours, width=THUMBNAIL)
    return None if pixels.dtype != np.uint8 else embed_photograph(pixels, width=THUMBNAIL)
