"""What every encoder promises."""

from torch import Tensor, nn

from segue.ops.attention import MeetingPlan


class Encoder(nn.Module):
    """A network that turns an image into maps at strides 4, 8, 16 and 32.

    Attributes:
        out_channels: Channels of the four maps.
        classifier_names: How the names begin that files of pretrained weights hold for classification only.
        checkpointed: Stages, from 1, whose maps are computed again for the gradient instead of being kept; an
            encoder that knows no such stages ignores it.
    """

    out_channels: tuple[int, ...] = ()
    classifier_names: tuple[str, ...] = ()
    checkpointed: tuple[int, ...] = ()

    def together(self, image: Tensor, plan: MeetingPlan) -> list[Tensor]:
        """The maps of sources and targets, in this order along the batch, that share their attention.

        Args:
            image: (2B,3,H,W), sources first.
            plan: Who looks at whom in each block.

        Raises:
            ValueError: If this encoder has no attention to share.
        """
        raise ValueError(
            f"{type(self).__name__} has no hybrid attention; choose one of the mit encoders, or method.pair=null"
        )
