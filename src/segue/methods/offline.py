"""Training on pseudo-labels that were made beforehand: by CBST's rounds, or by an ensemble."""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import nn

from segue.methods.class_weights import ClassWeightSettings, Percentile, labelled_loss
from segue.methods.context import Context
from segue.methods.ensemble import EnsembleSettings
from segue.methods.method import Method, MethodSettings, Reading, Term
from segue.methods.rounds import RoundSettings
from segue.methods.stages import Stages
from segue.ops.mixing import one_hot
from segue.settings import Settings, Share
from segue.types import Batch, Joint, Source, View

"""The base class of all norms that keep batch statistics."""


class MiningSettings(Settings):
    """Target pictures are cropped around pixels whose offline label is one of these classes."""

    classes: Annotated[list[str], Field(min_length=1)]
    chance: Share = 0.8  # how often a crop is cut so


class OfflineSettings(MethodSettings):
    """Training on labels of the target that were made beforehand, or by earlier stages of the run."""

    name: Literal["offline"] = "offline"
    shows_domains_apart: ClassVar[bool] = False
    labels_target: ClassVar[bool] = True
    labels: Path | None = None  # folder of label PNGs by picture name, with classes.json
    soft: bool = False  # learn the probabilities that are stored beside the labels
    # The share of the source's pictures that are learnt in common batches with the target's; None: the target alone.
    source_share: Share | None = None
    mining: MiningSettings | None = None
    frozen_statistics: bool = False  # batch norms keep the statistics that training starts with
    weights: ClassWeightSettings | None = None
    percentile: Percentile = 0.0
    rounds: RoundSettings | None = None
    ensemble: EnsembleSettings | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> "OfflineSettings":
        if sum(origin is not None for origin in (self.labels, self.rounds, self.ensemble)) > 1:
            raise ValueError(
                "labels, rounds and ensemble exclude each other: each says where labels come from"
            )
        if self.rounds is not None and (self.soft or self.mining or self.source_share is not None):
            raise ValueError(
                "rounds decide on soft, mining and source_share themselves: set method.rounds instead"
            )
        return self

    @property
    def deals_source(self) -> bool:
        """True of rounds, and wherever a share of the source is learnt."""
        return self.rounds is not None or self.source_share is not None

    def reading(self, recipe: str) -> Reading:
        """Read the target with its labels, and perhaps some of the source in the same batches."""
        if self.labels is None:
            raise ValueError(
                f"recipe {recipe} trains on labels made beforehand: name their folder with --set method.labels=DIR"
            )
        mined, chance = ([], 0.0) if self.mining is None else (self.mining.classes, self.mining.chance)
        return Reading(
            labels=self.labels,
            soft=self.soft,
            source_share=self.source_share,
            mined=mined,
            mine_chance=chance,
        )

    def build(self, context: Context, terms: Mapping[str, Term]) -> "OfflineTraining":
        """Build the method around the student."""
        return OfflineTraining(self, context, terms)

    def carry_out(self, stages: Stages) -> dict[str, Any] | None:
        """Train on given labels, or carry out the stages that make them."""
        staged = self.rounds or self.ensemble
        return stages.train() if staged is None else staged.carry_out(stages)


class OfflineTraining(Method):
    """The student learns the target's offline labels, alone or in common batches with the source.

    Source: CBST (Zou et al., ECCV 2018) and CRST (Zou et al., ICCV 2019) learn both domains, average the loss over the
    labelled pixels of both, and leave batch statistics as they were; ensemble distillation learns the target alone,
    with class weights and the hardest fifth of the pixels.
    """

    def __init__(self, settings: OfflineSettings, context: Context, terms: Mapping[str, Term]) -> None:
        super().__init__(context.student, terms, view_names=("target",))
        self.settings = settings
        self.weights = None if settings.weights is None else settings.weights.build(len(context.classes))

    def views(self, batch: Batch, step: int) -> Iterator[View | Joint]:
        """Yield the target's pictures with their offline labels, preceded by the source's in a common batch."""
        view = _target(batch)
        if self.settings.source_share is not None:
            view = _together(batch.source, view)
        assert view.label is not None
        weights = self.weights and self.weights(view.label)
        view.loss = partial(labelled_loss, weights=weights, percentile=self.settings.percentile)
        yield view

    def resting(self) -> Iterable[nn.Module]:
        """Batch norms with frozen statistics."""
        return self._norms if self.settings.frozen_statistics else ()


def _target(batch: Batch) -> View:
    """The target's pictures with their offline labels, ignored where a picture has no content."""
    target = batch.target
    assert target is not None and target.offline is not None, "the engine gives offline labels"
    return View("target", target.image, target.within(target.offline), soft=target.soft)


def _together(source: Source, target: View) -> View:
    """The pictures of both domains in one view; the mix mask is true for the source's."""
    assert target.label is not None
    label = torch.cat([source.label, target.label])
    is_source = torch.arange(len(label), device=label.device) < len(source.label)
    soft = target.soft
    return View(
        target.name,
        torch.cat([source.image, target.image]),
        label,
        mix_mask=is_source[:, None, None].expand_as(label),
        soft=None if soft is None else torch.cat([one_hot(source.label, soft), soft]),
    )
