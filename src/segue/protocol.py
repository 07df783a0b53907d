"""How a model predicts pictures, as plain values that settings ask for, a model's card keeps and scores state."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

Mode = Literal["auto", "whole", "sliding", "middle"]
Blend = Literal["taper", "mean"]
Precision = Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True)
class PredictionProtocol:
    """How pictures are predicted.

    Attributes:
        window: Height and width of the training crops, and of sliding windows.
        mode: "whole" in one pass, "sliding" by overlapping windows, "auto" by what the picture's size needs; "middle"
            for networks that name whole pictures: ``resize`` is the exact size that a picture is brought to, whatever
            its shape, and its middle window is all that is seen.
        overlap: The share of a window that the next one covers too, in [0, 1).
        blend: How overlapping windows are averaged, see :func:`segue.evaluation.predictors.sliding`.
        flip: Whether to average with the prediction on the mirror image.
        scales: Factors on the picture's sides, over which predictions are averaged.
        resize: The box (height, width) that pictures are fitted into before prediction; None keeps their size.
        precision: That of the network, under autocast.

    Raises:
        ValueError: If a value is outside its range.
    """

    window: tuple[int, int]
    mode: Mode = "auto"
    overlap: float = 0.5
    blend: Blend = "taper"
    flip: bool = False
    scales: tuple[float, ...] = (1.0,)
    resize: tuple[int, int] | None = None
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        for name, known in (("mode", Mode), ("blend", Blend), ("precision", Precision)):
            if getattr(self, name) not in get_args(known):
                raise ValueError(f"{name} {getattr(self, name)!r}: choose {', '.join(get_args(known))}")
        if not _is_size(self.window) or not 0 <= self.overlap < 1:
            raise ValueError(
                f"windows {self.window}, overlap {self.overlap}: sides from 1, overlap from 0 to below 1"
            )
        if not self.scales or not all(0 < scale < math.inf for scale in self.scales):
            raise ValueError(f"scales {list(self.scales)}: give at least one, each above 0")
        if self.resize is not None and not _is_size(self.resize):
            raise ValueError(f"resize {self.resize}: height and width are at least 1")

    @property
    def stride(self) -> tuple[int, int]:
        """Rows and columns from one sliding window to the next."""
        rows, columns = (max(1, round(side * (1 - self.overlap))) for side in self.window)
        return rows, columns

    def to_json(self) -> dict[str, Any]:
        """Plain values, for cards and beside every score."""
        return {
            name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "PredictionProtocol":
        """What :meth:`to_json` wrote; a ValueError if a value is missing, unknown or outside its range.

        Values that earlier versions did not write get their defaults.
        """
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in content.items()
        }
        try:
            return cls(**values)
        except TypeError as error:  # a key is missing or unknown, or a value is of another kind
            raise ValueError(f"not a way to predict: {error}") from error


def _is_size(sides: Sequence[object]) -> bool:
    """Whether these are a height and a width in pixels."""
    return len(sides) == 2 and all(isinstance(side, int) and side >= 1 for side in sides)
