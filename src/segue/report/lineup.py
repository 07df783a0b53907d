"""Which run plays which part on the page: what is compared with what."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from segue.report.run_folder import RunFolder

Role = Literal["baseline", "judged", "oracle", "other"]

SLOTS = 8
"""How many run colours the page has; further runs start over."""


@dataclass(frozen=True)
class Entry:
    """One run on the page.

    Attributes:
        name: What the page calls it.
        folder: What is known about it.
        role: Its part: the first run is what others are compared with; the last one that did not train
            on target labels is judged.
        slot: Its colour's number.
    """

    name: str
    folder: RunFolder
    role: Role
    slot: int

    @property
    def mean_iou(self) -> float | None:
        """Its score on the target, in [0, 1]."""
        return self.folder.scores.mean_iou if self.folder.scores else None

    @property
    def is_source_only(self) -> bool:
        """Whether it never saw the target, by its recipe or its name."""
        recipe = (self.folder.experiment or {}).get("recipe")
        return "sourceonly" in {_plain(str(recipe)), _plain(self.name)}


def line_up(folders: Sequence[RunFolder], names: Sequence[str] | None = None) -> list[Entry]:
    """Give every run its name, part and colour.

    Args:
        folders: The runs, in the page's order.
        names: What to call them; their folders' names by default.

    Returns:
        One entry a run, in the same order.

    Raises:
        ValueError: If there is no run, or names and runs differ in number.
    """
    if not folders:
        raise ValueError("a report needs at least one run folder")
    called = list(names) if names is not None else _distinct_names(folders)
    if len(called) != len(folders):
        raise ValueError(f"{len(folders)} runs but {len(called)} names: give one name a run")
    oracle = next((i for i, name in enumerate(called) if _is_oracle(folders[i], name)), None)
    judged = max((i for i in range(len(called)) if i != oracle), default=0)
    entries: list[Entry] = []
    for i, (name, folder) in enumerate(zip(called, folders, strict=True)):
        role: Role = (
            "judged" if i == judged else "oracle" if i == oracle else "baseline" if i == 0 else "other"
        )
        others = sum(entry.role == "other" for entry in entries)
        slot = {"baseline": 0, "judged": 1, "oracle": 2}.get(role, 3 + others % (SLOTS - 3))
        entries.append(Entry(name, folder, role, slot))
    return entries


def _distinct_names(folders: Sequence[RunFolder]) -> list[str]:
    """Folder names; with their parent's name where two are alike."""
    names = [folder.name for folder in folders]
    return [
        name if names.count(name) == 1 else f"{folder.path.resolve().parent.name}/{name}"
        for name, folder in zip(names, folders, strict=True)
    ]


def _is_oracle(folder: RunFolder, name: str) -> bool:
    return folder.reads_target_labels or _plain(name).startswith("oracle")


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
