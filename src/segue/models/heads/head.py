"""The interface of all heads."""

from typing import ClassVar

from torch import nn


class Head(nn.Module):
    """A network that turns an encoder's maps into class logits and the embedding before the classifier.

    Attributes:
        stride: Pixels per cell of the logits.
        learns_like_a_head: Whether a module's parameters learn at the head's rate; any module may say so.
        options: Which of ``build_segmenter``'s arguments "channels", "context" and "dropout" it has.
        as_attention: Options that differ where such a head weights two resolutions.
    """

    stride: ClassVar[int] = 4
    learns_like_a_head: ClassVar[bool] = True
    options: ClassVar[tuple[str, ...]] = ("channels", "dropout")
    embedding_channels: int
    as_attention: ClassVar[dict[str, str]] = {}
