"""How much each layer of a network matters: what mean IoU it loses when the layer is left out."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from segue.evaluation.metrics import iou_per_class
from segue.evaluation.model import Model, TrainedModel
from segue.evaluation.predictors import SMALLEST, evaluating
from segue.ops.resize import fitted, resize
from segue.ranks import own_share, sum_over_ranks
from segue.types import IGNORE

Against = Literal["truth", "source", "pseudo", "agreement"]

SALIENT_FROM = 0.1
"""Points of mean IoU from which a layer matters (CLDA, section 5)."""

AGREEING_SHARE = 0.5
"""The share of layers that are taken as non-salient by agreement: about what CLDA finds with labels."""

AGREEING_LOSS = 5.0
"""Points of agreement from which a layer matters all the same: a small network may need every layer it has."""

Reference = Callable[[int, tuple[int, int], Tensor], Tensor]
"""``(index of the picture, size, own prediction (h,w)) -> label (h,w)``, IGNORE where nothing is said."""


class Pictures(Protocol):
    """Pictures by index; every data set is this."""

    def __len__(self) -> int: ...

    def image(self, index: int) -> UInt8[Tensor, "3 h w"]:
        """RGB, 0 to 255."""
        ...


class LabelledPictures(Pictures, Protocol):
    """Pictures with labels."""

    def label(self, index: int) -> UInt8[Tensor, "h w"]:
        """Training class ids, IGNORE where unlabelled."""
        ...


@dataclass(frozen=True)
class Saliency:
    """What leaving out each layer costs.

    Attributes:
        against: What predictions were compared with: the target's "truth" (an oracle), the "source"'s labels,
            the confident "pseudo"-labels of another model, or the network's own prediction ("agreement").
        mean_iou: Of the whole network, a fraction.
        losses: By layer, the points of mean IoU that are lost without it; negative where leaving it out helps.
        stages: The layers' names, stage by stage.
        pictures: How many were predicted.
    """

    against: Against
    mean_iou: float
    losses: dict[str, float]
    stages: list[list[str]]
    pictures: int

    def non_salient(
        self,
        *,
        threshold: float = SALIENT_FROM,
        share: float = AGREEING_SHARE,
        tolerance: float = AGREEING_LOSS,
        signed: bool = False,
    ) -> list[str]:
        """The layers that the network can do without.

        By agreement a whole network scores 100 and every layer loses something, so that the threshold has no
        meaning: there it is the given share of layers that lose least, as far as they lose little.

        Source: CLDA, section 4.1 (a loss or a gain of at least 0.1 points makes a layer salient).

        Args:
            threshold: Points of mean IoU below which a layer does not matter.
            share: Of all layers, by agreement alone.
            tolerance: Points of mean IoU from which a layer matters by agreement, too.
            signed: Whether a layer without which the network is better does not matter either.

        Returns:
            Names in the network's order.
        """
        rates = {name: loss if signed else abs(loss) for name, loss in self.losses.items()}
        if self.against != "agreement":
            return [name for name, rate in rates.items() if rate < threshold]
        least = sorted(rates, key=rates.__getitem__)[: round(share * len(rates))]
        return [name for name, rate in rates.items() if name in set(least) and rate < tolerance]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Saliency":
        """What :meth:`to_json` wrote.

        Raises:
            ValueError: If a key is missing or unknown.
        """
        try:
            return cls(**content)
        except TypeError as error:
            raise ValueError(f"not a saliency: {error}") from None


def measure(
    model: TrainedModel,
    pictures: Pictures,
    *,
    against: Against,
    reference: Reference,
    resize: tuple[int, int] | None = None,
    most: int = 500,
    over_ranks: bool = False,
    watch: Callable[[], None] | None = None,
) -> Saliency:
    """Predict pictures with each layer left out in turn, and score every such network.

    Pictures are predicted whole and compared at the size that the network sees; L layers cost L + 1 passes.

    Source: CLDA, section 4.1, equation 3.

    Args:
        model: Whose layers are left out.
        pictures: Of the target, or labelled ones of the source.
        against: What the reference is called.
        reference: The label of a picture.
        resize: The box that pictures are fitted into; None keeps their size.
        most: How many pictures are enough; they are taken evenly.
        over_ranks: Whether each picture is predicted by one of all processes, which then all have to call this.
        watch: Called after every picture.

    Returns:
        The loss of every layer.

    Raises:
        ValueError: If the network's encoder has no layers to leave out, or no pixel had a label.
    """
    network, device, classes = model.network, model.device, len(model.classes)
    names = [name for stage in network.encoder.layers for name in stage]
    if not names:
        raise ValueError(
            f"{type(network.encoder).__name__} has no layers that can be left out: choose a mit, vit or dino"
            " encoder"
        )
    confusion = torch.zeros(len(names) + 1, classes, classes, dtype=torch.int64, device=device)
    chosen = evenly(len(pictures), most)
    with evaluating(network):
        for index in [chosen[place] for place in own_share(len(chosen))] if over_ranks else chosen:
            image = fitted_image(model.normalised(pictures.image(index)[None]), resize)
            size = (image.shape[-2], image.shape[-1])
            predictions = torch.stack(
                [_classes(logits, size) for _, logits in network.without_each_layer(image)]
            )
            label = reference(index, size, predictions[-1]).to(device)
            confusion += _confusions(predictions, label, classes)
            if watch is not None:
                watch()
    scored = [_mean_iou(matrix) for matrix in (sum_over_ranks(confusion) if over_ranks else confusion)]
    whole = scored.pop()
    losses = {name: 100 * (whole - score) for name, score in zip(names, scored, strict=True)}
    stages = [list(stage) for stage in network.encoder.layers]
    return Saliency(against, whole, losses, stages, len(chosen))


def by_labels(pictures: LabelledPictures) -> Reference:
    """Labels of a data set, nearest pixels at another size."""

    def reference(index: int, size: tuple[int, int], own: Tensor) -> Tensor:
        label = pictures.label(index)[None, None].float()
        return F.interpolate(label, size, mode="nearest-exact")[0, 0].long()

    return reference


def by_agreement() -> Reference:
    """The whole network's own prediction."""
    return lambda index, size, own: own


def by_labeller(model: Model, pictures: Pictures, *, confidence: float = 0.968) -> Reference:
    """The confident predictions of another model; other pixels are ignored.

    Args:
        model: The other one.
        pictures: The same that are measured on.
        confidence: Probability from which a prediction counts.
    """

    def reference(index: int, size: tuple[int, int], own: Tensor) -> Tensor:
        probability = resize(model.probabilities(pictures.image(index)[None]), size)
        sure, label = probability[0].max(0)
        return label.masked_fill(sure < confidence, IGNORE)

    return reference


def evenly(total: int, most: int) -> list[int]:
    """At most so many of the numbers below ``total``, at even distances."""
    wanted = min(total, most)
    return [place * total // wanted for place in range(wanted)]


def fitted_size(size: tuple[int, int], resize: tuple[int, int] | None) -> tuple[int, int]:
    """Rows and columns at which a network sees a picture: as large as fits a box; None leaves it, if not too small."""
    height, width = size if resize is None else fitted(size, resize)
    return max(height, SMALLEST), max(width, SMALLEST)


def fitted_image(image: Float[Tensor, "1 3 h w"], resize: tuple[int, int] | None) -> Tensor:
    """A picture at the size that a network sees it."""
    size = (image.shape[-2], image.shape[-1])
    other = fitted_size(size, resize)
    if other == size:
        return image
    return F.interpolate(image, size=other, mode="bilinear", align_corners=False, antialias=True)


def _classes(logits: Float[Tensor, "1 k h w"], size: tuple[int, int]) -> Int64[Tensor, "h2 w2"]:
    return resize(logits.float(), size)[0].max(0).indices


def _confusions(
    predictions: Int64[Tensor, "n h w"], label: Int64[Tensor, "h w"], classes: int
) -> Int64[Tensor, "n k k"]:
    """One matrix for each prediction, rows by label, columns by prediction."""
    labelled = label != IGNORE
    cells = label[labelled] * classes + predictions[:, labelled]
    offsets = torch.arange(len(predictions), device=label.device)[:, None] * classes**2
    counts = torch.bincount((cells + offsets).flatten(), minlength=len(predictions) * classes**2)
    return counts.view(-1, classes, classes)


def _mean_iou(confusion: Int64[Tensor, "k k"]) -> float:
    ious = [iou for iou in iou_per_class(confusion) if iou is not None]
    if not ious:
        raise ValueError(
            "no pixel had a label to compare with; lower the confidence, or choose another reference"
        )
    return sum(ious) / len(ious)
