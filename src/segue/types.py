"""The few types that every layer shares: samples, batches, outputs, views."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor

IGNORE = 255
"""The label value that no loss and no metric counts, in every file and tensor."""

OutputLoss: TypeAlias = Callable[..., Tensor]
"""``(output, view) -> loss``, a scalar, for predictions that are not learnt one by one."""

PixelTrust: TypeAlias = Callable[..., Tensor]
"""``(output, view) -> factor (B,H,W)`` on each pixel's weight, called without gradient."""

PixelLoss: TypeAlias = Callable[..., Tensor]
"""``(logits (B,K,H,W), label (B,H,W)) -> loss (B,H,W)``, zero where the label is IGNORE; if a view has soft labels
to learn, their probabilities (B,K,H,W) are the third argument."""

MeanOver: TypeAlias = Literal["pixels", "labelled"]

Direction: TypeAlias = Literal["bidirectional", "s2t", "t2s", "none"]

Trust: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""``(logits (B,K,H,W), label (B,H,W)) -> weight (B,)`` in [0, 1], called without gradient."""


@dataclass
class Sample:
    """One picture as a data set returns it.

    A label has the picture's pixels, or a single cell where the whole picture has one class. So have all maps that go
    with it, here and in the types below.

    Attributes:
        image: RGB, 0 to 255; as large as the label, unless ``size`` is given.
        label: Training class ids, IGNORE where unlabelled; None for target pictures.
        valid: False where the picture has no content; None where all of it has.
        name: Relative to the data set, without extension.
        soft: Probabilities as bytes, learnt instead of the label.
        size: The picture's rows and columns, where the image was decoded at less; None if they are the image's.
        depth: How near things are, see :class:`Source`; of any size before cropping.
    """

    image: UInt8[Tensor, "3 rows columns"]
    label: UInt8[Tensor, "lh lw"] | None
    valid: Bool[Tensor, "vh vw"] | None
    name: str
    soft: UInt8[Tensor, "lh lw k"] | None = None
    size: tuple[int, int] | None = None
    depth: Float[Tensor, "dh dw"] | None = None


@dataclass
class Source:
    """The labelled half of a batch; images are normalised.

    Attributes:
        depth: How near things are: 655.36 over their depth in metres, or a disparity, and 1 where that is unknown or as
            good as nothing; None for methods that do not ask for it.
    """

    image: Float[Tensor, "b 3 h w"]
    label: Int64[Tensor, "b lh lw"]
    names: list[str]
    depth: Float[Tensor, "b lh lw"] | None = None


@dataclass
class Target:
    """The unlabelled half of a batch. There is no field for ground truth, so no method can read it.

    Attributes:
        valid: False where a picture has no content; None where all of it has.
        offline: Pseudo-labels made beforehand; None in online methods.
        soft: The probabilities behind them, if these are to be learnt.
        depth: As the source's, perhaps on another scale.
    """

    image: Float[Tensor, "b 3 h w"]
    valid: Bool[Tensor, "b lh lw"] | None
    offline: Int64[Tensor, "b lh lw"] | None
    names: list[str]
    soft: Float[Tensor, "b k lh lw"] | None = None
    depth: Float[Tensor, "b lh lw"] | None = None

    @property
    def weight(self) -> Float[Tensor, "b lh lw"] | None:
        """0 where a picture has no content, 1 elsewhere; None where all of it has."""
        return None if self.valid is None else self.valid.float()

    def within(self, label: Int64[Tensor, "b lh lw"]) -> Int64[Tensor, "b lh lw"]:
        """A label that is IGNORE where a picture has no content."""
        return label if self.valid is None else label.masked_fill(~self.valid, IGNORE)


@dataclass
class Batch:
    """What one training step receives, on the device. Supervised recipes have no target half.

    If the domains share one batch, either half may hold any number of pictures, even none.
    """

    source: Source
    target: Target | None


@dataclass
class Supervised:
    """One prediction to which the segmentation loss applies.

    Attributes:
        logits: On any grid; resized to the label for the loss.
        window: The (rows, columns) of the label that the logits cover; None for all of it.
        share: The prediction's share of the view's segmentation loss.
    """

    logits: Float[Tensor, "b k h w"]
    window: tuple[slice, slice] | None = None
    share: float = 1.0


@dataclass
class Depths:
    """What a network says of how near things are, in the scales of either domain's depths, at either of two stages."""

    target: Float[Tensor, "b 1 h w"]
    source: Float[Tensor, "b 1 h w"]
    first_target: Float[Tensor, "b 1 h w"]
    first_source: Float[Tensor, "b 1 h w"]


@dataclass
class Output:
    """What every segmenter returns.

    Attributes:
        logits: The prediction at the head's own resolution.
        features: The encoder's maps, fine to coarse.
        embedding: The head's map before its classifier.
        first_logits: A prediction of the classes before the head's tasks exchange what they know; None of most heads.
        depths: In training mode, of a head that predicts depth.
    """

    logits: Float[Tensor, "b k h w"]
    features: list[Tensor]
    embedding: Float[Tensor, "b d h2 w2"]
    supervised: list[Supervised]
    first_logits: Float[Tensor, "b k h w"] | None = None
    depths: Depths | None = None


@dataclass
class View:
    """A batch of pictures that the student is trained on, and what is known about it.

    Attributes:
        name: The view's role: "source", "target", "masked". Terms and logs use it.
        label: Ground truth or pseudo-labels; None if only terms train on this view.
        weight: Of each pixel's loss, in [0, 1] unless ``pixel_trust`` says otherwise; None for 1 everywhere.
        teacher: Its output on the unmixed target images.
        mix_mask: True where a pixel was taken from the source picture.
        loss: The per-pixel loss; None for cross-entropy with the label, or with ``soft``.
        whole_loss: The loss of all predictions together, in place of the sum of their own.
        trust: Gives each image a weight, once the student's prediction is known.
        pixel_trust: The same for each pixel.
        depth: How near things are, as the batch says; None in most methods.
        soft: Probabilities that are learnt instead of the label wherever the label is not IGNORE.
        mean_over: Which pixels the segmentation loss is averaged over: all of them, or only those with a label.
        moves_statistics: Whether this view moves the student's running batch statistics; either way the view is
            normalised by its own.
    """

    name: str
    image: Float[Tensor, "b 3 h w"]
    label: Int64[Tensor, "b lh lw"] | None = None
    weight: Float[Tensor, "b lh lw"] | None = None
    teacher: Output | None = None
    mix_mask: Bool[Tensor, "b lh lw"] | None = None
    loss: PixelLoss | None = None
    trust: Trust | None = None
    soft: Float[Tensor, "b k lh lw"] | None = None
    mean_over: MeanOver = "pixels"
    whole_loss: OutputLoss | None = None
    moves_statistics: bool = True
    pixel_trust: PixelTrust | None = None
    depth: Float[Tensor, "b lh lw"] | None = None


@dataclass(frozen=True)
class HybridRules:
    """Which tokens attend to which where a source and a target picture share their attention.

    Attributes:
        direction: "bidirectional": queries of both domains attend to keys of both. "s2t": only the source's do,
            the target's attend to their own picture (the paper's equations 6 and 7); "t2s": the other way round;
            "none": each picture attends to itself.
        inter_share: How much keys of the other domain count against those of the query's own, in (0, 1): 0.5
            leaves the scores as they are, 0.9 multiplies the odds of the other domain by nine.
        groups_itself: Whether a domain that attends only to its own picture does so within its group (as in the
            paper), or everywhere.
        stages: The encoder's stages with hybrid attention, counted from 1; the others have plain attention.

    Raises:
        ValueError: If ``inter_share`` is not strictly between 0 and 1.
    """

    direction: Direction = "bidirectional"
    inter_share: float = 0.5
    groups_itself: bool = True
    stages: tuple[int, ...] = (1, 2, 3, 4)

    def __post_init__(self) -> None:
        if not 0 < self.inter_share < 1:
            raise ValueError(
                f"inter_share {self.inter_share}: a share above 0 and below 1, one half for even odds"
            )

    @property
    def is_hybrid(self) -> tuple[bool, bool]:
        """Whether the source's queries attend to the target, and the target's to the source."""
        both = self.direction == "bidirectional"
        return both or self.direction == "s2t", both or self.direction == "t2s"

    @property
    def bias(self) -> float:
        """What is added to the scores of the other domain's keys: the log odds of ``inter_share``."""
        return math.log(self.inter_share / (1 - self.inter_share))


@dataclass
class Joint:
    """Views that share one pass of the student, and which of their tokens may attend to each other.

    Attributes:
        views: The source's and the target's, in this order.
        groups: (D,2,B,H,W) in {0, 1}: tokens attend within their group. D is one draw for all of the network's
            blocks, one for each stage, or one for each block. None if all tokens may attend to each other.
        rules: None if no token attends to another picture: the views only share a batch, by which batch norms
            normalise.
    """

    views: list[View] = field(default_factory=list)
    groups: UInt8[Tensor, "d 2 b h w"] | None = None
    rules: HybridRules | None = field(default_factory=HybridRules)

    @property
    def name(self) -> str:
        """The names of its views, joined."""
        return "+".join(view.name for view in self.views)
