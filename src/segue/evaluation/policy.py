"""Policies, which say which member is believed for which class, and orders of precedence of classes."""

import math
import random
from collections.abc import Sequence
from pathlib import Path

import torch
import yaml

from segue.classes import ClassList, nearest
from segue.evaluation.members import Member
from segue.ops.bytes import count_bytes
from segue.ops.fusion import choose_members
from segue.scores import Scores
from segue.trees import parse_yaml


def from_file(path: Path, classes: ClassList, members: Sequence[str]) -> tuple[int, ...]:
    """A policy from a YAML or JSON mapping of class to member; ``*`` stands for all other classes.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not such a mapping, names an unknown class or member, or leaves a class out.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such policy file")
    try:
        content: object = parse_yaml(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path}: a policy is a mapping of class to member, found {type(content).__name__}")
    wanted = {str(name): str(member) for name, member in content.items()}
    for name, member in wanted.items():
        if name != "*" and name not in classes.names:
            raise ValueError(f"{path}: unknown class {name!r}{nearest(name, classes.names)}")
        if member not in members:
            raise ValueError(
                f"{path}: {name!r} believes {member!r}, which is no member{nearest(member, members)}"
            )
    rest = wanted.get("*")
    missing = [name for name in classes.names if name not in wanted and rest is None]
    if missing:
        raise ValueError(
            f"{path}: nobody is believed for {', '.join(missing)}; name a member, or add '*: MEMBER'"
        )
    return tuple(members.index(wanted.get(name, rest or "")) for name in classes.names)


def at_random(classes: ClassList, members: Sequence[str], seed: int) -> tuple[int, ...]:
    """A policy that draws a member for every class."""
    draw = random.Random(seed)
    return tuple(draw.randrange(len(members)) for _ in classes.names)


def by_truth(scores: Sequence[Scores], classes: ClassList) -> tuple[int, ...]:
    """An oracle: the member with the highest IoU of each class, given each member's scores on target labels."""
    return _highest([[one.per_class_iou.get(name) for name in classes.names] for one in scores])


def by_certainty(certainty: Sequence[Sequence[float | None]]) -> tuple[int, ...]:
    """The member whose distilled student is most certain of each class.

    Args:
        certainty: By member and class; None for a class that the student never predicts.
    """
    return _highest(certainty)


def precedence(names: Sequence[str], classes: ClassList) -> tuple[int, ...]:
    """The named classes first, then the others in their own order; a ValueError if a name is not a class."""
    first = [classes.index(name.strip()) for name in names]
    return (*first, *(place for place in range(len(classes)) if place not in first))


def rarest_first(members: Sequence[Member], classes: ClassList, pictures: Sequence[str]) -> tuple[int, ...]:
    """The classes by precedence, starting with the one that all members together name least.

    Source: ensemble distillation's pre-release, which resolves conflicts by such a list. A member that is wrongly
    believed for a large class then takes no pixel from the small ones.
    """
    named = torch.zeros(256, dtype=torch.int64)
    for name in pictures:
        for member in members:
            named += count_bytes(member.label(name))
    return tuple(named[: len(classes)].sort(stable=True).indices.tolist())


def _highest(table: Sequence[Sequence[float | None]]) -> tuple[int, ...]:
    """The place of the highest value of each column."""
    values = [[math.nan if value is None else value for value in row] for row in table]
    return tuple(choose_members(torch.tensor(values, dtype=torch.float64)))
