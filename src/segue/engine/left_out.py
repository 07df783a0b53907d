"""The target pictures that a review rejected: a run keeps their names, so that it goes on with the same pictures."""

from pathlib import Path

from rich.console import Console

from segue.data.dataset import Dataset
from segue.data.part import Chosen
from segue.data.review import Unrejected
from segue.files import write_text

FILE = "left_out.txt"


def require_same_left_out(folder: Path, target: Dataset | None) -> None:
    """Raise ``ValueError`` if a run that began leaves out other pictures by now, as its list was changed since."""
    if not (folder / "experiment.yaml").is_file() or target is None:
        return
    path, found = folder / FILE, _unrejected(target)
    before = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    now = [] if found is None else found.left_out
    if different := sorted(set(before) ^ set(now)):
        raise ValueError(
            f"{folder}: its list data.target.rejected was changed since it began ({different[0]!r} and"
            f" {len(different) - 1} more): restore the list from {path}, or choose another --out"
        )


def keep_left_out(folder: Path, target: Dataset | None, console: Console) -> None:
    """Write the names into the run folder, and say how many they are."""
    found = None if target is None else _unrejected(target)
    if found is None:
        return
    write_text(folder / FILE, "".join(f"{name}\n" for name in found.left_out))
    unknown = (
        f"; {len(found.unknown)} names in the list are of no picture here, such as {found.unknown[0]!r}"
        if found.unknown
        else ""
    )
    console.print(
        f"{len(found.left_out)} target pictures are left out (data.target.rejected){unknown}.",
        highlight=False,
        markup=False,
    )


def _unrejected(dataset: Dataset) -> Unrejected | None:
    while isinstance(dataset, Chosen):
        if isinstance(dataset, Unrejected):
            return dataset
        dataset = dataset.whole
    return None
