"""Counts of a fusion: the classes that members name, how often they agree, and what pixels become."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from torch import Tensor

from segue.ops.bytes import count_bytes
from segue.ops.fusion import Fused
from segue.types import IGNORE


@dataclass
class FusionCounts:
    """Counts of pixels over the fused pictures.

    Attributes:
        disputed: Pixels claimed more than once.
        unclaimed: Pixels claimed by nobody.
        ignored: Pixels left without a label.
        classes: Pixels of each class in the result (K,).
        named: Pixels that each member gives each class (T,K).
        agreeing: Pixels to which two members give the same class (T,T).
    """

    pictures: int
    pixels: int
    disputed: int
    unclaimed: int
    ignored: int
    classes: np.ndarray
    named: np.ndarray
    agreeing: np.ndarray

    @classmethod
    def empty(cls, members: int, classes: int) -> "FusionCounts":
        """The counts before any picture."""
        return cls(
            0, 0, 0, 0, 0,
            np.zeros(classes, np.int64), np.zeros((members, classes), np.int64), np.zeros((members, members), np.int64),
        )  # fmt: skip

    @classmethod
    def of(cls, labels: Tensor, fused: Fused, classes: int) -> "FusionCounts":
        """The counts of one picture, from its members' labels (T,1,H,W) and the fused one."""
        members, maps = len(labels), labels.numpy()
        histograms = [count_bytes(one).numpy() for one in labels]
        agreeing = np.zeros((members, members), np.int64)
        for one in range(members):
            agreeing[one, one] = histograms[one][:IGNORE].sum()
            for other in range(one):
                same = np.count_nonzero(maps[one] == maps[other])
                # Pixels that both leave open are no agreement; most members leave none open.
                if histograms[one][IGNORE] and histograms[other][IGNORE]:
                    same -= np.count_nonzero((maps[one] == IGNORE) & (maps[other] == IGNORE))
                agreeing[one, other] = agreeing[other, one] = same
        named = np.stack([histogram[:classes] for histogram in histograms])
        result, claims = count_bytes(fused.label).numpy(), fused.claims.numpy()
        return cls(
            1, claims.size, int(np.count_nonzero(claims > 1)), int(np.count_nonzero(claims == 0)),
            int(result[IGNORE]), result[:classes], named, agreeing,
        )  # fmt: skip

    def add(self, other: "FusionCounts") -> None:
        """Add another picture's counts."""
        for count in fields(self):
            setattr(self, count.name, getattr(self, count.name) + getattr(other, count.name))

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            name: value.tolist() if isinstance(value, np.ndarray) else value
            for name, value in vars(self).items()
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "FusionCounts":
        """What :meth:`to_json` wrote."""
        values: dict[str, Any] = {
            name: np.array(value, np.int64) if isinstance(value, list) else value
            for name, value in content.items()
        }
        return cls(**values)
