"""The interface of all encoders, and their variants."""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from segue.ops.attention import MeetingPlan

Colour = tuple[float, float, float]
"""A number for each of red, green and blue, in 0 to 255."""


class Encoder(nn.Module):
    """A network that turns an image into four maps, fine to coarse.

    Attributes:
        strides: Pixels per cell of each map: a map has the image's sides divided by it, rounded up. Empty if
            the maps do not tile the image.
        classifier_names: How the names of a classifier's tensors begin in files of pretrained weights.
        can_checkpoint: Whether it can compute the maps of a stage again for the gradient instead of keeping them.
        checkpointed: The stages, from 1, of which it does.
        attention: What a block's attention before the residual sum is called in it.
        projection: What the last linear layer of that attention is called in it.
        prefix: Tokens of a block that stand for no cell, as a class token does; they come first.
    """

    out_channels: tuple[int, ...] = ()
    strides: tuple[int, ...] = (4, 8, 16, 32)
    classifier_names: tuple[str, ...] = ()
    can_checkpoint: bool = False
    checkpointed: tuple[int, ...] = ()
    attention: str = "attn"
    projection: str = "proj"
    prefix: int = 0

    @property
    def layers(self) -> tuple[tuple[str, ...], ...]:
        """The names of each stage's residual blocks; empty for an encoder whose blocks differ in shape.

        A block keeps the shape of its input, so that it may be left out; within a stage all are alike, so that
        they may be exchanged with those of another encoder of the same widths.
        """
        return ()

    def block_map(self, tokens: Tensor, size: tuple[int, int]) -> Tensor:
        """What a block returned as a map (B,C,h,w).

        Args:
            tokens: Of one of ``layers``; (B,h,w,C) unless an encoder says otherwise.
            size: Rows and columns of the picture that the encoder saw.
        """
        return tokens.permute(0, 3, 1, 2)

    def summary(self, image: Tensor) -> Tensor:
        """What the deepest layer says of the whole picture, (B,C,1,1): the mean of its cells, or a class token."""
        return self.last_map(image).mean((2, 3), keepdim=True)

    def keep_summary(self) -> None:
        """Drop the layers that only :meth:`forward` needs; from then on there is only a :meth:`summary`."""

    def last_map(self, image: Tensor) -> Tensor:
        """The deepest map that pretrained weights alone make: of no layer that was added to them."""
        return self(image)[-1]

    @property
    def pretrained(self) -> nn.Module:
        """The part that pretrained weights fill: the whole encoder, unless layers were added to it."""
        return self

    def translated(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A file's pretrained weights, without a classifier's, under the names of ``pretrained``."""
        return {name: value for name, value in state.items() if not name.startswith(self.classifier_names)}

    def together(self, image: Tensor, plan: "MeetingPlan") -> list[Tensor]:
        """The maps of sources and targets (2B,3,H,W, sources first) that share their attention by a plan.

        Raises:
            ValueError: If this encoder has no attention to share.
        """
        raise ValueError(
            f"{type(self).__name__} has no hybrid attention; choose a mit, vit or dino encoder, or"
            " method.pair=null"
        )


@dataclass(frozen=True)
class Variant:
    """One size of a family of encoders.

    Attributes:
        build: From the rate of stochastic depth at the last block (which convolutional encoders ignore) to the
            encoder with random weights, in training mode.
        mean: What pretrained weights expect to be subtracted from pictures; ImageNet's by default.
        std: What they expect pictures to be divided by after that.
    """

    build: Callable[[float], Encoder]
    mean: Colour = (123.675, 116.28, 103.53)
    std: Colour = (58.395, 57.12, 57.375)


@contextmanager
def left_out(block: nn.Module) -> Generator[None]:
    """Inside, a block returns its first input unchanged."""
    plain = block.forward
    block.forward = _first
    try:
        yield
    finally:
        block.forward = plain


def _first(tokens: Tensor, *others: object, **named: object) -> Tensor:
    return tokens
