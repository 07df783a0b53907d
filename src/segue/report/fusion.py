"""The page about a fusion: who was believed for which class and why, how far members agree, pictures."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segue.files import write_text
from segue.report.page import rendered
from segue.report.pictures import Picture, class_map, photograph
from segue.report.wording import percent

SCENES = 6
"""So many pictures are shown at most, evenly taken."""


@dataclass(frozen=True)
class ClassLine:
    """One class of the result.

    Attributes:
        name: Its name.
        colour: Its colour.
        member: Who is believed; None where there is no policy.
        reasons: Each member's certainty or IoU that decided, in [0, 1]; None where it has none; empty without.
        named: The share of all pixels that each member names so, in [0, 1].
        share: Its share of the result's pixels, in [0, 1].
        ious: Each member's IoU on labelled pictures, in [0, 1]; None where it has none; empty if nothing is labelled.
    """

    name: str
    colour: tuple[int, int, int]
    member: str | None
    reasons: list[float | None]
    named: list[float]
    share: float
    ious: list[float | None]


@dataclass(frozen=True)
class Worth:
    """A row of what fused labels are worth on labelled pictures.

    Attributes:
        name: Whose labels they are.
        iou: Their mean IoU, in [0, 1].
        note: What else there is to say.
    """

    name: str
    iou: float
    note: str = ""


@dataclass(frozen=True)
class Scene:
    """A picture and what the fusion made of it."""

    name: str
    photograph: Picture | None
    label: Picture | None


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
    names = sorted(
        path.relative_to(out / "index").with_suffix("").as_posix() for path in (out / "index").rglob("*.png")
    )
    chosen = [
        names[place * len(names) // min(SCENES, len(names))] for place in range(min(SCENES, len(names)))
    ]
    page = rendered(
        "fusion.html.j2",
        title=f"Fusion of {len(account['members'])} members",
        account=account,
        rules=account["rules"],
        source=account.get("policy_from"),
        why="certainty" if "certainty" in account else "IoU" if "iou" in account else None,
        members=account["members"],
        lines=_lines(account, palette),
        compared=account.get("compared"),
        worth=_worth(account),
        agreement=_agreement(account),
        shares=_shares(account),
        scenes=[_scene(name, out, palette, pictures(name) if pictures else None) for name in chosen],
    )
    path = out / "report.html"
    write_text(path, page)
    return path


def _lines(account: Mapping[str, Any], palette: Sequence[tuple[int, int, int]]) -> list[ClassLine]:
    policy: Sequence[int] | None = account["rules"]["policy"]
    table: Sequence[Sequence[float | None]] = account.get("certainty") or account.get("iou") or []
    # Where the IoU itself decided it is there already.
    compared = [] if "iou" in account else (account.get("compared") or {"iou": []})["iou"]
    pixels = max(account["pixels"], 1)
    return [
        ClassLine(
            name,
            palette[place],
            None if policy is None else account["members"][policy[place]],
            [row[place] for row in table],
            [row[place] / pixels for row in account["named"]],
            account["classes"][place] / pixels,
            [row[place] for row in compared],
        )
        for place, name in enumerate(account["names"])
    ]


def _worth(account: Mapping[str, Any]) -> list[Worth]:
    """The rules in use, and what they are to be compared with; empty if nothing is labelled."""
    found: Mapping[str, Any] | None = account.get("compared")
    if found is None:
        return []
    drawn: list[float] = found["random"]
    rows = [Worth("used", found["used"], account.get("policy_from") or account["rules"]["kind"])]
    rows += [Worth(f"member {name} alone", iou) for name, iou in found["members"].items()]
    reach = f"{percent(min(drawn))} to {percent(max(drawn))}"
    return [
        *rows,
        Worth("majority", found["majority"]),
        Worth(f"mean of {len(drawn)} random policies", sum(drawn) / len(drawn), reach),
        Worth("oracle policy", found["oracle"], "reads the labels that it is scored by"),
    ]


def _agreement(account: Mapping[str, Any]) -> list[list[float]]:
    pixels = max(account["pixels"], 1)
    return [[cell / pixels for cell in row] for row in account["agreeing"]]


def _shares(account: Mapping[str, Any]) -> dict[str, float]:
    pixels = max(account["pixels"], 1)
    wanted = {
        "claimed more than once": "disputed",
        "claimed by nobody": "unclaimed",
        "left without a label": "ignored",
    }
    return {text: account[key] / pixels for text, key in wanted.items()}


def _scene(
    name: str, out: Path, palette: list[tuple[int, int, int]], picture: Path | np.ndarray | None
) -> Scene:
    # Beyond the classes, values are ignored pixels: black.
    full = [*palette, *([(0, 0, 0)] * (256 - len(palette)))]
    return Scene(name, photograph(picture), class_map(out / "index" / f"{name}.png", full))
