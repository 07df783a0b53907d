"""The target pictures that a run has kept, with its predictions before and after; read without torch."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from segue.evaluation.evidence import PICTURES


@dataclass(frozen=True)
class TargetPicture:
    """A target picture; a file that is missing or lies outside the run folder is None.

    Attributes:
        changed: The share of its pixels that changed class; None if there is nothing to compare.
        moves: The most frequent changes, from a class to another, and their shares.
    """

    name: str
    image: Path | None
    before: Path | None
    after: Path | None
    changed: float | None
    moves: list[tuple[str, str, float]]


def read_target_pictures(run: Path) -> list[TargetPicture]:
    """The pictures in a run folder, none if it has kept none.

    Raises:
        ValueError: If their index is damaged.
    """
    path = run / PICTURES / "index.json"
    if not path.is_file():
        return []
    try:
        return [_picture(run, entry) for entry in json.loads(path.read_text(encoding="utf-8"))]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path} cannot be read ({reason}): restore it, or remove it") from error


def _picture(run: Path, entry: Any) -> TargetPicture:
    known = cast(dict[str, Any], entry)
    changed = known.get("changed")
    image, before, after = (inside(run, known.get(kind)) for kind in ("image", "before", "after"))
    return TargetPicture(
        str(known["name"]),
        image,
        before,
        after,
        None if changed is None else float(changed),
        [(str(one), str(other), float(share)) for one, other, share in known.get("moves", [])],
    )


def inside(folder: Path, relative: object) -> Path | None:
    """The file of that name in a folder; None if it is missing or lies outside.

    A run folder may come from a stranger: it must not bring other files of this machine into the page.
    """
    if not isinstance(relative, str) or not relative:
        return None
    path = (folder / relative).resolve()
    return path if path.is_relative_to(folder.resolve()) and path.is_file() else None
