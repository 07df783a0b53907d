"""Lists of pictures that somebody has accepted and rejected: what ``segue view`` writes, and what training reads."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from segue.data.dataset import Dataset, digest
from segue.data.part import Chosen
from segue.files import write_text

REVIEW_FILE = "review.json"

Decision: TypeAlias = Literal["accepted", "rejected"]


@dataclass(frozen=True)
class Review:
    """What was decided about a list of pictures.

    Attributes:
        pictures: How many there are in the list.
        digest: Of their names, so that lists of other pictures are told apart.
        accepted: Names, in the list's order.
        rejected: The same.
    """

    pictures: int
    digest: str
    accepted: list[str]
    rejected: list[str]


def digest_of(names: Sequence[str]) -> str:
    """The digest of a list of pictures' names."""
    return digest(names)


def write_review(run: Path, review: Review) -> None:
    """Write a review into a run folder."""
    write_text(run / REVIEW_FILE, json.dumps(asdict(review), indent=2, ensure_ascii=False) + "\n")


def read_review(path: Path) -> Review:
    """Read a review from its file.

    Raises:
        ValueError: If the file holds something else.
    """
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
        lists = {kind: content.get(kind, []) for kind in ("accepted", "rejected")}
        if not all(isinstance(name, str) for names in lists.values() for name in names):
            raise TypeError("a name that is no text")
        return Review(int(content.get("pictures", 0)), str(content.get("digest", "")), **lists)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{path}: no review ({reason}): it is a JSON object with the lists accepted and rejected; restore it, or"
            " remove it to start anew"
        ) from None


def listed_names(path: Path, decision: Decision) -> tuple[Path, list[str]]:
    """The file of a list and its names, in the file's order.

    Args:
        path: A run folder that ``segue view`` wrote its review into, a review's JSON file, or a text file of names, one
            without extension a line.
        decision: Which of a review's lists is meant; a text file is that list.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it names no picture.
    """
    file = path / REVIEW_FILE if path.is_dir() else path
    if not file.is_file():
        what = "no review in this folder: make one with `segue view`" if path.is_dir() else "no such list"
        raise FileNotFoundError(f"{file}: {what}, or name a text file of pictures")
    if file.suffix.lower() == ".json":
        names = list(getattr(read_review(file), decision))
        empty = f"no picture is {decision} here; leave the setting out, or use `segue view`"
    else:
        names = [name for name in file.read_text(encoding="utf-8").splitlines() if name]
        empty = "names no picture; write one name a line"
    if not names:
        raise ValueError(f"{file}: {empty}")
    return file, names


def listed(whole: Dataset, path: Path) -> Chosen:
    """The pictures that a list accepts, in its order; see :func:`listed_names`.

    Raises:
        ValueError: If the data set has no picture of a name.
    """
    file, names = listed_names(path, "accepted")
    places = {whole.name(index): index for index in range(len(whole))}
    if strange := [name for name in names if name not in places]:
        raise ValueError(_strange(file, strange[0], whole))
    return Chosen(whole, [places[name] for name in names])


class Unrejected(Chosen):
    """The pictures of a data set that a list does not reject; see :func:`listed_names`.

    Attributes:
        left_out: The names of those that it rejects.
        unknown: Names in the list that no picture has, such as those of pictures deleted since.

    Raises:
        ValueError: If it rejects none or all of them.
    """

    def __init__(self, whole: Dataset, path: Path) -> None:
        file, names = listed_names(path, "rejected")
        rejected = set(names)
        kept = [index for index in range(len(whole)) if whole.name(index) not in rejected]
        super().__init__(whole, kept)
        known = {whole.name(index) for index in range(len(whole))}
        self.left_out = sorted(known & rejected)
        self.unknown = sorted(rejected - known)
        if not self.left_out:
            raise ValueError(_strange(file, names[0], whole))
        if not kept:
            raise ValueError(f"{file}: rejects every picture, so that nothing is left to train on")


def _strange(file: Path, name: str, whole: Dataset) -> str:
    near = whole.name(0) if len(whole) else "none"
    return (
        f"{file}: no picture {name!r} here, such as {near!r} is; names are those of the pictures' files, without"
        " extension"
    )
