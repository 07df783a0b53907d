"""What every head promises."""

from typing import ClassVar

from torch import nn


class Head(nn.Module):
    """A network that turns an encoder's maps into class logits and the embedding before the classifier.

    Attributes:
        stride: Pixels a cell of the logits spans.
        options: Which of ``build_segmenter``'s arguments "channels", "context" and "dropout" it has.
    """

    stride: ClassVar[int] = 4
    options: ClassVar[tuple[str, ...]] = ("channels", "dropout")
