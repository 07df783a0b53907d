"""Unifying members' outputs: only the winning class of each pixel is kept."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from segue.classes import ClassList
from segue.evaluation.labelling import describe
from segue.evaluation.members import Member
from segue.evaluation.prediction_files import index_file, write_pictures


def unify(
    member: Member,
    pictures: Sequence[str],
    out: Path,
    classes: ClassList,
    *,
    made: Mapping[str, Any],
    share: tuple[int, int] = (0, 1),
) -> None:
    """Write a member's label of every picture that has none yet.

    Source: ensemble distillation, section 3.1.

    Args:
        made: See :func:`segue.evaluation.labelling.describe`.
        share: (i, n) writes only part i of n, for several processes.

    Raises:
        ValueError: If a prediction is missing or damaged, or the folder holds labels made otherwise.
        OSError: If a file cannot be written; what was written stays.
    """
    describe(out, classes, made)
    number, shares = share
    for name in pictures[number::shares]:
        if not index_file(out, name).is_file():
            write_pictures(out, name, {"index": member.label(name).numpy()})
