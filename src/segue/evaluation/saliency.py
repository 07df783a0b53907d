"""How much each layer of a network matters: the mean IoU, or accuracy, that is lost when the layer is left out."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from segue.evaluation.metrics import iou_per_class, mean_of
from segue.evaluation.model import Model, TrainedModel
from segue.evaluation.pictures import LabelledPictures, Pictures, evenly
from segue.evaluation.predictors import evaluating, fitted_image
from segue.ops.resize import resize
from segue.progress import counting
from segue.ranks import own_share, sum_over_ranks
from segue.types import IGNORE

Against = Literal["truth", "source", "pseudo", "agreement"]

SALIENT_FROM = 0.1
"""Points of mean IoU from which a layer matters (CLDA, section 5)."""

AGREEING_SHARE = 0.5
"""The share of layers that agreement calls non-salient: about the share that CLDA finds with labels."""

AGREEING_LOSS = 5.0
"""Points of agreement from which a layer matters in any case: a small network may need every layer it has."""

Reference = Callable[[int, tuple[int, int], Tensor], Tensor]
"""``(index of the picture, size, own prediction (h,w)) -> label (h,w)``, IGNORE without a label."""


@dataclass(frozen=True)
class Saliency:
    """What leaving out each layer costs.

    Attributes:
        against: What predictions were compared with: the target's "truth" (an oracle), the labels of the "source",
            the confident "pseudo"-labels of another model, or the network's own prediction ("agreement").
        mean_iou: That of the whole network, a fraction; for one that names whole pictures its accuracy.
        losses: By layer, the points of it that are lost without it; negative where leaving it out helps.
        stages: The layers' names, stage by stage.
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

        Against agreement the whole network scores 100 and every layer costs something, so that a threshold has no
        meaning. The non-salient layers are then the given share of those that cost least, unless they cost much.

        Source: CLDA, section 4.1 (a loss or a gain of at least 0.1 points makes a layer salient).

        Args:
            threshold: Points of mean IoU below which a layer does not matter; not used with agreement.
            share: The share of all layers; used only with agreement.
            tolerance: Points of mean IoU from which a layer matters even with agreement.
            signed: Whether a layer without which the network is better counts as non-salient, too.

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
        """What :meth:`to_json` wrote; a ValueError if a key is missing or unknown."""
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
) -> Saliency:
    """Predict pictures with each layer left out in turn, and score every such network.

    Pictures are predicted whole and compared at the size that the network sees; L layers cost L + 1 passes.

    Source: CLDA, section 4.1, equation 3.

    Args:
        pictures: Those of the target, or labelled ones of the source.
        resize: The box that pictures are fitted into; None keeps their size.
        most: The largest number of pictures, taken evenly.
        over_ranks: Whether the processes divide the pictures; all of them then have to call this.

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
    own = [chosen[place] for place in own_share(len(chosen))] if over_ranks else chosen
    with evaluating(network), counting("measuring layers", len(own)) as done:
        for index in own:
            image = fitted_image(model.normalised(pictures.image(index)[None]), resize)
            size = (image.shape[-2], image.shape[-1])
            predictions = torch.stack(
                [_classes(logits, size) for _, logits in network.without_each_layer(image)]
            )
            label = reference(index, size, predictions[-1]).to(device)
            confusion += _confusions(predictions, label, classes)
            done(index)
    whole_pictures = network.names_pictures
    scored = [
        _score(matrix, whole_pictures) for matrix in (sum_over_ranks(confusion) if over_ranks else confusion)
    ]
    whole = scored.pop()
    losses = {name: 100 * (whole - score) for name, score in zip(names, scored, strict=True)}
    stages = [list(stage) for stage in network.encoder.layers]
    return Saliency(against, whole, losses, stages, len(chosen))


def by_labels(pictures: LabelledPictures) -> Reference:
    """The data set's labels, resized to the nearest pixel."""

    def reference(index: int, size: tuple[int, int], own: Tensor) -> Tensor:
        label = pictures.label(index)[None, None].float()
        return F.interpolate(label, size, mode="nearest-exact")[0, 0].long()

    return reference


def by_agreement() -> Reference:
    """The whole network's own prediction."""
    return lambda index, size, own: own


def by_labeller(model: Model, pictures: Pictures, *, confidence: float = 0.968) -> Reference:
    """Another model's predictions on the same pictures; pixels below the ``confidence`` are ignored."""

    def reference(index: int, size: tuple[int, int], own: Tensor) -> Tensor:
        probability = resize(model.probabilities(pictures.image(index)[None]), size)
        sure, label = probability[0].max(0)
        return label.masked_fill(sure < confidence, IGNORE)

    return reference


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


def _score(confusion: Int64[Tensor, "k k"], whole_pictures: bool) -> float:
    labelled = int(confusion.sum())
    if whole_pictures and labelled:
        return int(confusion.trace()) / labelled
    mean = mean_of(iou_per_class(confusion))
    if mean is None:
        raise ValueError(
            "no pixel had a label to compare with; lower the confidence, or choose another reference"
        )
    return mean
