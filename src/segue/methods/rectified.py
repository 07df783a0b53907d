"""R-MRNet: labels are discounted where the two predictions of one network disagree."""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from segue.evaluation.model import TrainedModel
from segue.methods.aligned import AlignedSettings
from segue.methods.class_weights import ClassWeightSettings
from segue.methods.context import Context
from segue.methods.method import Method, MethodSettings, Reading, Term
from segue.methods.stages import Stages, label_together
from segue.methods.terms import TERMS
from segue.ops.disagreement import disagreement, rectified
from segue.ops.losses import cross_entropy
from segue.ops.resize import resize
from segue.settings import Count, Positive, Settings, Share
from segue.trees import Tree
from segue.types import Batch, Output, View


class LastStageSettings(Settings):
    """How the stage that learns labels differs from the run: None for no difference."""

    rate: Positive = 0.5  # learning rate as a share of optim.lr
    dropout: Share | None = 0.2  # of the heads
    crop: tuple[Count, Count] | None = None  # height, width
    resize: tuple[Count, Count] | None = None  # of the target, before cropping
    batch: Count | None = None

    def changes(self, rate: float) -> Tree:
        """As changes of a whole run's settings, whose encoder learns at a rate."""
        data: Tree = {
            "crop": self.crop,
            "batch": self.batch,
            "target": self.resize and {"resize": self.resize},
        }
        return {
            "optim": {"lr": self.rate * rate},
            "network": {} if self.dropout is None else {"dropout": self.dropout},
            "data": {key: value for key, value in data.items() if value is not None},
        }


class RectifiedSettings(MethodSettings):
    """Train a network with two predictions, label the target with it, and learn these labels as far as both agree."""

    name: Literal["rectified"] = "rectified"
    labels_target: ClassVar[bool] = True
    shows_domains_apart: ClassVar[bool] = False
    labels: Path | None = None  # folder of labels to learn; None: earlier stages make them
    model: Path | None = None  # run or model folder that labels; None: the first stage trains one
    first: AlignedSettings = AlignedSettings()  # what the first stage is trained by, beside the run's terms
    flip: bool = True  # labels are averaged over the picture and its mirror image
    scales: Annotated[list[Positive], Field(min_length=1)] = [1.0, 1.25]  # and over these sizes
    last: LastStageSettings = LastStageSettings()
    rectify: bool = True  # False: labels are learnt as they are
    weights: ClassWeightSettings | None = ClassWeightSettings()  # of the labels' classes

    def reading(self, recipe: str) -> Reading:
        """Both domains; in the last stage with labels."""
        return Reading(labels=self.labels)

    def build(self, context: Context, terms: Mapping[str, Term]) -> Method:
        """What either stage trains.

        Raises:
            ValueError: If the network makes a single prediction, or the first stage is not told what to align.
        """
        if context.network.auxiliary is None:
            raise ValueError(
                f"recipe {context.recipe} compares two predictions of the network: set network.head=deeplab_v2_se"
                " and network.auxiliary=0.5"
            )
        if self.labels is None:
            return self.first.build(context, terms)
        return Rectified(self, context, terms)

    def carry_out(self, stages: Stages) -> dict[str, Any] | None:
        """Train two predictions that agree, label the target with them, learn that as far as they agree.

        Source: MRNet (Zheng and Yang, IJCAI 2020) and R-MRNet (the same, 2020), and their code.
        """
        if self.labels is not None:
            return stages.train()
        stages.begin()
        model = self.model
        if model is None:
            stages.say("first stage: two predictions of one network learn to agree on the target")
            plain: Tree = {"method": self.first.model_dump(mode="json")}
            model = stages.folder / "memory"
            stages.train_stage(model, start=stages.start, changes=plain)
        stages.say("labels of the target")
        labels = stages.folder / "labels"
        self._label(stages, model, labels)
        stages.say("second stage: labels count less where the two disagree")
        learning: Tree = {"method": {"labels": str(labels), "model": None}, "terms": dict.fromkeys(TERMS)}
        last = stages.folder / "rectified"
        scores = stages.train_stage(last, start=model, changes={**self.last.changes(stages.rate), **learning})
        stages.keep(last)
        return scores

    def _label(self, stages: Stages, path: Path, labels: Path) -> None:
        model = TrainedModel.load(path, stages.device, flip=self.flip, scales=tuple(self.scales))
        made = {"model": str(path), "flip": self.flip, "scales": self.scales}
        label_together(stages, model, stages.target, labels, made=made)


class Rectified(Method):
    """The student learns the target's labels alone; either prediction is discounted where the other one differs.

    Source: R-MRNet (Zheng and Yang, 2020); as in its code, the difference is not detached, so that
    both predictions feel it, and class weights are not divided out of the mean.
    """

    def __init__(self, settings: RectifiedSettings, context: Context, terms: Mapping[str, Term]) -> None:
        super().__init__(context.student, terms, view_names=("target",))
        self.settings = settings
        self.weights = None if settings.weights is None else settings.weights.build(len(context.classes))

    def views(self, batch: Batch, step: int) -> Iterator[View]:
        """Yield the target's pictures with their labels, ignored where a picture has no content."""
        target = batch.target
        assert target is not None and target.offline is not None, "the engine gives offline labels"
        label = target.within(target.offline)
        weights = None if self.weights is None else self.weights(label)
        learnt = partial(rectified_loss, weights=weights, rectify=self.settings.rectify)
        yield View("target", target.image, label, whole_loss=learnt)


def rectified_loss(
    output: Output, view: View, *, weights: Tensor | None = None, rectify: bool = True
) -> Tensor:
    """The sum over two predictions of the rectified loss with the view's label, each times its share.

    Args:
        weights: Of the classes (K,); None for 1.
        rectify: False for the loss as it is.
    """
    assert view.label is not None and len(output.supervised) == 2, "settings ask for two predictions"
    size = (view.label.shape[-2], view.label.shape[-1])
    logits = [resize(one.logits.float(), size) for one in output.supervised]
    total: list[Tensor] = []
    for own, other, one in zip(logits, reversed(logits), output.supervised, strict=True):
        loss = cross_entropy(own, view.label)
        if weights is not None:
            loss = loss * weights[view.label.clamp(max=len(weights) - 1)]
        if rectify:
            loss = rectified(loss, disagreement(own, other))
        total.append(one.share * loss.mean())
    return torch.stack(total).sum()
