"""A segmentation network: an encoder, a head, and the loss over what the head predicts."""

from collections.abc import Iterator
from dataclasses import replace
from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from segue.models.encoders.encoder import Encoder, left_out
from segue.models.heads.head import Head
from segue.models.heads.tasks import TaskHead
from segue.ops.attention import MeetingPlan
from segue.ops.losses import cross_entropy, masked_mean, soft_cross_entropy
from segue.ops.resize import resize
from segue.types import IGNORE, Depths, HybridRules, Output, Supervised, View


class Segmenter(nn.Module):
    """An encoder and a head as one network.

    Args:
        encoder: From an image to four maps, fine to coarse.
        head: From the four maps to logits and the embedding before the classifier.
        aligned_corners: Whether predictions are enlarged here, to the image's size and corner on corner, as in the
            codes of AdaptSegNet and ADVENT; otherwise whoever uses them enlarges them, cell on cells.

    Attributes:
        names_pictures: Whether its maps are single cells, which say what the whole picture shows.
        shrinks: Downscaling factor of the pictures' sides before the encoder makes ``Output.features`` of them.
        predicts_depth: Whether its outputs say how near things are, too.
    """

    encoder: Encoder
    shrinks: int = 1
    names_pictures: bool = False
    predicts_depth: bool = False

    def __init__(self, encoder: Encoder, head: nn.Module, *, aligned_corners: bool = False) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.aligned_corners = aligned_corners

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> Output:
        """Predict every class at every cell of the head's own grid."""
        return self.decoded(cast(list[Tensor], self.encoder(image)), image)

    def together(self, images: list[Tensor], groups: Tensor | None, rules: HybridRules) -> Iterator[Output]:
        """Predict source and target pictures in one pass in which their tokens meet.

        The head sees either domain separately, when its output is asked for, so that its batch statistics stay those
        of one domain.

        Args:
            images: Sources and targets (B,3,H,W), in this order.
            groups: As in ``types.Joint``.

        Yields:
            The source's output, then the target's.
        """
        features = self.encoder.together(torch.cat(images), MeetingPlan(groups, rules))
        for own, image in zip(by_domain(features), images, strict=True):
            yield self.decoded(own, image)

    def decoded(self, features: list[Tensor], image: Tensor) -> Output:
        """What the head makes of the encoder's maps of an image."""
        logits, embedding = cast(tuple[Tensor, Tensor], self.head(features))
        further = cast(Head, self.head).auxiliary(features) if self.training else []
        if self.aligned_corners:
            logits = _enlarged(logits, image)
            further = [replace(one, logits=_enlarged(one.logits, image)) for one in further]
        return Output(logits, features, embedding, [Supervised(logits), *further])

    def without_each_layer(self, image: Tensor) -> Iterator[tuple[str | None, Tensor]]:
        """The logits of normalised images with each of the encoder's blocks left out in turn, then the network's own.

        Yields:
            The name of the block that is left out, None for none, and the logits.
        """
        for name in (name for stage in self.encoder.layers for name in stage):
            with left_out(self.encoder.get_submodule(name)):
                yield name, self(image).logits
        yield None, self(image).logits

    @property
    def embedding_channels(self) -> int:
        """Channels of the map before the classifier."""
        return cast(Head, self.head).embedding_channels

    def feature_network(self) -> nn.Module:
        """From an image to ``Output.features``, for terms that compare with a frozen copy."""
        return self.encoder


class DepthSegmenter(Segmenter):
    """An encoder and a head of several tasks; in training mode the classes are supervised at both of its stages."""

    predicts_depth = True

    def decoded(self, features: list[Tensor], image: Tensor) -> Output:
        """What the head makes of the encoder's maps of an image."""
        told = cast(TaskHead, self.head).tasks(features)
        logits, first, depths = told.logits, told.first_logits, told.depths
        if self.aligned_corners:
            logits, first = _enlarged(logits, image), _enlarged(first, image)
            depths = depths and Depths(*(_enlarged(one, image) for one in vars(depths).values()))
        supervised = [Supervised(logits), *([Supervised(first)] if self.training else [])]
        return Output(logits, features, told.embedding, supervised, first, depths)


def _enlarged(logits: Tensor, image: Tensor) -> Tensor:
    return F.interpolate(logits, image.shape[-2:], mode="bilinear", align_corners=True)


def by_domain(features: list[Tensor]) -> list[list[Tensor]]:
    """Joint maps of sources and targets, split again: the source's levels, then the target's."""
    halves = [level.chunk(2) for level in features]
    return [[half[domain] for half in halves] for domain in (0, 1)]


def segmentation_loss(output: Output, view: View) -> Float[Tensor, ""]:
    """The sum over all supervised predictions of the loss on the part of the label that each covers, times its share.

    Ignored pixels and pixels of weight zero count in the mean's denominator, so a view with few trusted
    pixels teaches little; with ``mean_over="labelled"`` ignored ones do not.

    Source: DAFormer (Hoyer et al., CVPR 2022), equations 1 and 3, and its official loss reduction. The code of DACS
    (Tranheden et al., WACV 2021) averages over all pixels on the mixed view and over labelled ones on the source.

    Raises:
        ValueError: If the view has no label.
    """
    if view.label is None:
        raise ValueError(f"view {view.name!r} has no label: no segmentation loss can be computed on it")
    pixel_loss = view.loss or (cross_entropy if view.soft is None else soft_cross_entropy)
    total = output.logits.new_zeros((), dtype=torch.float32)
    for part in output.supervised:
        window = (..., *part.window) if part.window else ...
        label = view.label[window]
        logits = resize(part.logits.float(), (label.shape[-2], label.shape[-1]))
        loss = pixel_loss(logits, label, *(() if view.soft is None else (view.soft[window],)))
        if view.weight is not None:
            loss = loss * view.weight[window]
        mean = masked_mean(loss, label != IGNORE) if view.mean_over == "labelled" else loss.mean()
        total = total + part.share * mean
    return total
