"""The page about a fusion: who was believed for which class and why, how far members agree, pictures."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from segue.classes import Colour
from segue.files import write_text
from segue.report.data_uris import embed_labels, embed_photograph
from segue.report.formatting import percent
from segue.report.render import render_page

MOST = 6
"""At most this many pictures are shown, evenly spread over all."""


def write_fusion_report(
    out: Path, *, pictures: Callable[[str], Path | np.ndarray | None] | None = None
) -> Path:
    """Write ``report.html`` beside ``fusion.json``, and return its path.

    Args:
        out: The folder that ``segue fuse`` wrote.
        pictures: The photograph of a name, a file or RGB bytes (H,W,3); None if there is none.
    """
    account: dict[str, Any] = json.loads((out / "fusion.json").read_text(encoding="utf-8"))
    compared: dict[str, Any] | None = account.get("compared")
    described: dict[str, Any] = json.loads((out / "classes.json").read_text(encoding="utf-8"))
    colours: list[Colour] = [(red, green, blue) for red, green, blue in described["colours"]]
    # Values beyond the classes are ignored pixels: black.
    palette = [*colours, *[(0, 0, 0)] * (256 - len(colours))]
    index = out / "index"
    names = sorted(path.relative_to(index).with_suffix("").as_posix() for path in index.rglob("*.png"))
    most = min(MOST, len(names))
    chosen = [names[place * len(names) // most] for place in range(most)]
    page = render_page(
        "fusion.html.j2",
        title=f"Fusion of {len(account['members'])} members",
        account=account,
        colours=colours,
        # Without pixels every share is zero.
        pixels=max(account["pixels"], 1),
        why="certainty" if "certainty" in account else "IoU",
        reasons=account.get("certainty") or account.get("iou") or [],
        # If the IoU itself decided, it is among the reasons already.
        ious=[] if compared is None or "iou" in account else compared["iou"],
        # By pixels, not by shares, which round to zero.
        unpredicted=[
            name
            for name, *pixels in zip(account["names"], *account["named"], strict=True)
            if account["pixels"] and not any(pixels)
        ],
        compared=compared,
        worth=[] if compared is None else _worth(account, compared),
        pictures=[
            (
                name,
                embed_photograph(pictures(name) if pictures else None),
                embed_labels(index / f"{name}.png", palette),
            )
            for name in chosen
        ],
    )
    path = out / "report.html"
    write_text(path, page)
    return path


def _worth(account: Mapping[str, Any], compared: Mapping[str, Any]) -> list[tuple[str, float, str]]:
    """What the labels are, their mean IoU on labelled pictures, and a note: those that are used, then their peers."""
    drawn: list[float] = compared["random"]
    reach = f"{percent(min(drawn))} to {percent(max(drawn))}"
    return [
        ("used", compared["used"], account.get("policy_from") or account["rules"]["kind"]),
        *((f"member {name} alone", iou, "") for name, iou in compared["members"].items()),
        ("majority", compared["majority"], ""),
        (f"mean of {len(drawn)} random policies", sum(drawn) / len(drawn), reach),
        ("oracle policy", compared["oracle"], "reads the labels that it is scored by"),
    ]
