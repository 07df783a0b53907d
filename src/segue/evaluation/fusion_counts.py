"""What happened in a fusion: who named what, how often members agreed, what became of the pixels."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from segue.ops.bytes import count_bytes
from segue.ops.fusion import Fused
from segue.types import IGNORE


@dataclass
class FusionCounts:
    """What happened in a fusion: counts over pictures.

    Attributes:
        pictures: How many were fused.
        pixels: Of all of them.
        disputed: Claimed more than once.
        unclaimed: Claimed by nobody.
        ignored: Left without a label.
        classes: Pixels of each class in the result.
        named: Pixels that each member names each class.
        agreeing: Pixels on which each two members name the same.
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
        """Nothing yet."""
        return cls(
            0, 0, 0, 0, 0,
            np.zeros(classes, np.int64), np.zeros((members, classes), np.int64), np.zeros((members, members), np.int64),
        )  # fmt: skip

    @classmethod
    def of(cls, labels: Tensor, fused: Fused, classes: int) -> "FusionCounts":
        """Of one picture.

        Args:
            labels: Of the members (T,1,H,W).
            fused: What came of them.
            classes: How many there are.
        """
        members, maps = len(labels), labels.numpy()
        histograms = [count_bytes(one).numpy() for one in labels]
        agreeing = np.zeros((members, members), np.int64)
        for one in range(members):
            agreeing[one, one] = histograms[one][:IGNORE].sum()
            for other in range(one):
                same = np.count_nonzero(maps[one] == maps[other])
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
        """Take another picture in."""
        self.pictures += other.pictures
        self.pixels += other.pixels
        self.disputed += other.disputed
        self.unclaimed += other.unclaimed
        self.ignored += other.ignored
        self.classes = self.classes + other.classes
        self.named = self.named + other.named
        self.agreeing = self.agreeing + other.agreeing

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "pictures": self.pictures,
            "pixels": self.pixels,
            "disputed": self.disputed,
            "unclaimed": self.unclaimed,
            "ignored": self.ignored,
            "classes": self.classes.tolist(),
            "named": self.named.tolist(),
            "agreeing": self.agreeing.tolist(),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "FusionCounts":
        """What :meth:`to_json` wrote."""
        values = dict(content)
        for name in ("classes", "named", "agreeing"):
            values[name] = np.array(content[name], np.int64)
        return cls(**values)
