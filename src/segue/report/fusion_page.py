"""The page about a fusion: who was believed for which class and why, how far members agree, pictures."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segue.classes import Colour
from segue.files import write_text
from segue.report.data_uris import EmbeddedPicture, embed_labels, embed_photograph
from segue.report.render import render

MOST = 6
"""How many pictures are shown at most, evenly spread over all."""


@dataclass(frozen=True)
class FusedClass:
    """One class of the result; shares are of all pixels, in [0, 1].

    Attributes:
        name: The class.
        colour: Its colour in the pictures.
        member: Who is believed; None where there is no policy.
        reasons: Each member's certainty or IoU that decided, in [0, 1]; None where it has none; empty where no
            such numbers decided.
        named: The share that each member names so.
        share: Its share of the result.
    """

    name: str
    colour: Colour
    member: str | None
    reasons: list[float | None]
    named: list[float]
    share: float


@dataclass(frozen=True)
class FusedPicture:
    """A picture and the label that the fusion gave it."""

    name: str
    photograph: EmbeddedPicture | None
    label: EmbeddedPicture | None


def write_fusion_report(
    out: Path, *, pictures: Callable[[str], Path | np.ndarray | None] | None = None
) -> Path:
    """Write ``report.html`` beside ``fusion.json``.

    Args:
        out: The folder that ``segue fuse`` wrote.
        pictures: The photograph of a name, a file or RGB bytes (H,W,3); None if there is none.

    Returns:
        The file written.
    """
    account: dict[str, Any] = json.loads((out / "fusion.json").read_text(encoding="utf-8"))
    described: dict[str, Any] = json.loads((out / "classes.json").read_text(encoding="utf-8"))
    palette = [(red, green, blue) for red, green, blue in described["colours"]]
    index = out / "index"
    names = sorted(path.relative_to(index).with_suffix("").as_posix() for path in index.rglob("*.png"))
    most = min(MOST, len(names))
    page = render(
        "fusion.html.j2",
        title=f"Fusion of {len(account['members'])} members",
        account=account,
        # Without a pixel every share is zero.
        pixels=max(account["pixels"], 1),
        why="certainty" if "certainty" in account else "IoU" if "iou" in account else None,
        classes=_classes(account, palette),
        pictures=[
            _picture(names[place * len(names) // most], index, palette, pictures) for place in range(most)
        ],
    )
    path = out / "report.html"
    write_text(path, page)
    return path


def _classes(account: Mapping[str, Any], palette: Sequence[Colour]) -> list[FusedClass]:
    policy: Sequence[int] | None = account["rules"]["policy"]
    reasons: Sequence[Sequence[float | None]] = account.get("certainty") or account.get("iou") or []
    pixels = max(account["pixels"], 1)
    return [
        FusedClass(
            name,
            palette[place],
            None if policy is None else account["members"][policy[place]],
            [row[place] for row in reasons],
            [row[place] / pixels for row in account["named"]],
            account["classes"][place] / pixels,
        )
        for place, name in enumerate(account["names"])
    ]


def _picture(
    name: str,
    index: Path,
    palette: list[Colour],
    photographs: Callable[[str], Path | np.ndarray | None] | None,
) -> FusedPicture:
    # Values beyond the classes are ignored pixels: black.
    full = [*palette, *([(0, 0, 0)] * (256 - len(palette)))]
    photograph = photographs(name) if photographs else None
    return FusedPicture(name, embed_photograph(photograph), embed_labels(index / f"{name}.png", full))
