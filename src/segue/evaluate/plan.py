"""How pictures are to be predicted, as plain values: from an experiment, a model's card or a user's flags."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from segue.evaluate.predict import Predictor, fitting, flipped, padded, resized, scaled, sliding, whole
from segue.ops.resize import fitted

Mode = Literal["auto", "whole", "sliding"]
Blend = Literal["taper", "mean"]

WHOLE_UP_TO = 2
"""How many training windows high or wide a picture may be to be predicted whole with "auto".

DAFormer's protocol predicts pictures twice as wide as its crops whole; and four crops without gradients fit
into memory wherever one fitted with them.
"""

SMALLEST = 32
"""The smallest side that every encoder can take: its coarsest map has one cell for 32 pixels."""


@dataclass(frozen=True)
class Plan:
    """How pictures are predicted.

    Attributes:
        window: Height and width of the pieces the network was trained on, and of sliding windows.
        mode: "whole" in one pass, "sliding" by overlapping windows, "auto" by the picture's size.
        overlap: Share of a window that the next one covers too, in [0, 1).
        blend: How overlapping windows are averaged, see :func:`segue.evaluate.predict.sliding`.
        flip: Whether the mirror image is predicted too.
        scales: Factors on the picture's sides at which it is predicted.
        resize: The box (height, width) that pictures are fitted into for the network; None keeps their size.
        dtype: The network's precision under autocast; None for float32.

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
    dtype: torch.dtype | None = None

    def __post_init__(self) -> None:
        if self.mode not in ("auto", "whole", "sliding") or self.blend not in ("taper", "mean"):
            raise ValueError(
                f"mode {self.mode!r}, blend {self.blend!r}: choose auto, whole or sliding, and taper or mean"
            )
        if min(self.window) < 1 or not 0 <= self.overlap < 1:
            raise ValueError(
                f"windows {self.window}, overlap {self.overlap}: sides from 1, overlap from 0 to below 1"
            )
        if not self.scales or min(self.scales) <= 0:
            raise ValueError(f"scales {list(self.scales)}: give at least one, each above 0")
        if self.resize is not None and min(self.resize) < 1:
            raise ValueError(f"resize {self.resize}: height and width are at least 1")

    @property
    def stride(self) -> tuple[int, int]:
        """Rows and columns from one sliding window to the next."""
        rows, columns = (max(1, round(side * (1 - self.overlap))) for side in self.window)
        return rows, columns

    def predictor(self, model: nn.Module) -> Predictor:
        """The predictor that does it with a network."""
        predictor = self._pass(model)
        predictor = padded(predictor, least=SMALLEST)
        if self.scales != (1.0,):
            predictor = scaled(predictor, self.scales)
        if self.flip:
            predictor = flipped(predictor)
        box = self.resize
        return predictor if box is None else resized(predictor, lambda size: fitted(size, box))

    def _pass(self, model: nn.Module) -> Predictor:
        in_one = whole(model, dtype=self.dtype)
        by_windows = sliding(
            model, window=self.window, stride=self.stride, blend=self.blend, dtype=self.dtype
        )
        match self.mode:
            case "whole":
                return in_one
            case "sliding":
                return by_windows
            case "auto":
                largest = (self.window[0] * WHOLE_UP_TO, self.window[1] * WHOLE_UP_TO)
                return fitting(in_one, by_windows, largest=largest)

    @classmethod
    def from_protocol(cls, protocol: Mapping[str, Any]) -> "Plan":
        """The plan of which :meth:`protocol` wrote the values, in full precision.

        Raises:
            ValueError: If a value is missing, unknown or outside its range.
        """
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in protocol.items()
        }
        values.pop("precision", None)
        try:
            return cls(**values)
        except TypeError as error:
            raise ValueError(f"not a way to predict: {error}") from error

    def protocol(self) -> dict[str, Any]:
        """What belongs beside every score: plain values."""
        return {
            "mode": self.mode,
            "window": list(self.window),
            "overlap": self.overlap,
            "blend": self.blend,
            "flip": self.flip,
            "scales": list(self.scales),
            "resize": None if self.resize is None else list(self.resize),
            "precision": "float32" if self.dtype is None else str(self.dtype).removeprefix("torch."),
        }
