"""The interface of all heads."""

from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor, nn

from segue.classes import nearest
from segue.models.settings import NetworkSettings
from segue.types import Supervised


class Head(nn.Module):
    """A network that turns an encoder's maps into class logits and the embedding before the classifier.

    Args:
        in_channels: Channels of the encoder's four maps.
        num_classes: Classes to tell apart.
        settings: Of the network: its width, context and dropout are the head's, as far as it has them.

    Attributes:
        stride: Pixels per cell of the logits.
        learns_like_a_head: Whether a module's parameters learn at the head's rate; any module may say so.
        contexts: The names of its ways to look around, its own first; empty if there is no choice.
        embedding_channels: Channels of the embedding.
        has_auxiliary: Whether it can make a second prediction to train.
        names_pictures: Whether it names the picture as a whole, from what the encoder makes of all of it, instead of
            each pixel.
        predicts_depth: Whether it predicts depth, too (:class:`segue.models.heads.tasks.TaskHead`).
        as_attention: Settings that differ where such a head weighs two resolutions.
        context: How it looks around; empty if there is no choice.

    Raises:
        ValueError: If there is no such context, or no auxiliary prediction.
    """

    stride: ClassVar[int] = 4
    learns_like_a_head: ClassVar[bool] = True
    contexts: ClassVar[tuple[str, ...]] = ()
    has_auxiliary: ClassVar[bool] = False
    names_pictures: ClassVar[bool] = False
    predicts_depth: ClassVar[bool] = False
    embedding_channels: int
    as_attention: ClassVar[dict[str, Any]] = {}

    def __init__(self, in_channels: Sequence[int], num_classes: int, settings: NetworkSettings) -> None:
        super().__init__()
        self.embedding_channels = settings.channels
        self.context = settings.context or "".join(self.contexts[:1])
        if self.context and not self.contexts:
            raise ValueError(
                f"head {settings.head!r} has no choice of context: leave out context {self.context!r}"
            )
        if self.context and self.context not in self.contexts:
            raise ValueError(f"unknown context {self.context!r}{nearest(self.context, self.contexts)}")
        if settings.auxiliary is not None and not self.has_auxiliary:
            raise ValueError(
                f"head {settings.head!r} has no auxiliary prediction: set network.auxiliary=null, or network.head to"
                " deeplab_v2 or deeplab_v2_se"
            )

    def auxiliary(self, features: list[Tensor]) -> list[Supervised]:
        """Further predictions from an encoder's maps, which are trained and never reported; none from most heads."""
        return []
