"""PIT: what a picture shows as a whole decides which classes its pixels may be labelled with."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from segue.evaluation.labelling import Labels, Rule
from segue.evaluation.model import TrainedModel
from segue.evaluation.predictors import evaluating, fitted_image
from segue.methods.class_weights import labelled_loss
from segue.methods.context import Context
from segue.methods.method import Method, MethodSettings, Reading, Term
from segue.methods.rounds import round_seed
from segue.methods.stages import Stages, label_together
from segue.methods.terms.presence import load_classifier
from segue.ops.regions import area, expanded
from segue.settings import Count, Positive, Settings, Share
from segue.types import Batch, Output, Target, View


class RegionSettings(Settings):
    """How a target picture is labelled; all numbers are ours."""

    score: Share = (
        0.5  # tau_img: what the classifier of whole pictures says of a class that is present, more than
    )
    area: Share = 0.005  # share of the picture that is predicted as a class that is present, more than
    seeds: Share = 0.05  # share of the pixels predicted as a class that its region grows from
    reach: Share = 0.5  # share of the seeds' mean probability that a region grows down to


class PivotSettings(MethodSettings):
    """Train with a classifier of whole pictures, label the target by regions of what it finds, and learn that."""

    name: Literal["pivot"] = "pivot"
    labels_target: ClassVar[bool] = True
    labels: Path | None = None  # folder of labels to learn beside the source; None: stages make them
    repeats: Count = 2  # how often the target is labelled and learnt
    regions: RegionSettings = RegionSettings()
    weights: list[Positive] = []  # of the labels' classes; empty: 1, and stages find their own

    def reading(self, recipe: str) -> Reading:
        """Both domains; in the rounds with labels."""
        return Reading(labels=self.labels)

    def build(self, context: Context, terms: Mapping[str, Term]) -> "Pivot":
        """What a stage trains.

        Raises:
            ValueError: If no term tells classes of whole pictures, or there is not one weight for each class.
        """
        if "presence" not in terms:
            raise ValueError(
                f"recipe {context.recipe} asks a classifier of whole pictures: set terms.presence={{}}"
            )
        if self.weights and len(self.weights) != len(context.classes):
            raise ValueError(
                f"method.weights has {len(self.weights)} numbers: give one for each of {len(context.classes)} classes"
            )
        return Pivot(self, context, terms)

    def carry_out(self, stages: Stages) -> dict[str, Any] | None:
        """Train on the source, then label and learn the target, round by round.

        Source: PIT (Lv et al., CVPR 2020) in outline; no code was published.
        """
        if self.labels is not None:
            return stages.train()
        stages.begin()
        stages.say("first stage: classes of pixels and of whole pictures, on the source")
        run = stages.folder / "first"
        stages.train_stage(run, start=stages.start, changes={})
        scores: dict[str, Any] | None = None
        for number in range(self.repeats):
            stages.say(f"round {number + 1} of {self.repeats}: regions of what pictures show are labelled")
            stage = stages.folder / f"round{number + 1}"
            self._label(stages, run, stage / "labels")
            weights = balanced(json.loads((stage / "labels" / "statistics.json").read_text(encoding="utf-8")))
            changes = {
                "seed": round_seed(stages.seed, number),
                "method": {"labels": str(stage / "labels"), "weights": weights},
            }
            scores = stages.train_stage(stage, start=run, changes=changes)
            run = stage
        stages.keep(run)
        return scores

    def _label(self, stages: Stages, run: Path, labels: Path) -> None:
        model = TrainedModel.load(run, stages.device)
        rule_of = _rule_of(self.regions, model, load_classifier(run, stages.device))
        label_together(stages, model, stages.target, labels, rule_of=rule_of)


class Pivot(Method):
    """The student learns the source's labels, and the target's regions once there are some, rare classes more.

    Source: PIT (Lv et al., CVPR 2020) in outline; the weights, by the square root of frequencies, are ours.
    """

    def __init__(self, settings: PivotSettings, context: Context, terms: Mapping[str, Term]) -> None:
        super().__init__(context.student, terms, view_names=("source", "target"))
        weights = torch.tensor(settings.weights or [1.0] * len(context.classes))
        self.register_buffer("weights", weights, persistent=False)

    def views(self, batch: Batch, step: int) -> Iterator[View]:
        """Yield the source view, then the target view, without a label in the first stage."""
        assert batch.target is not None, "the engine gives a target loader"
        yield View("source", batch.source.image, batch.source.label, mean_over="labelled")
        yield self._target(batch.target)

    def _target(self, target: Target) -> View:
        if target.offline is None:
            return View("target", target.image, weight=target.weight)
        loss = partial(labelled_loss, weights=self.get_buffer("weights"), percentile=0.0)
        return View("target", target.image, target.within(target.offline), loss=loss)


def balanced(statistics: Mapping[str, Any]) -> list[float]:
    """Weights of classes by one over the square root of their frequency, from a folder of labels' statistics."""
    pixels: Sequence[int] = [max(1, own["pixels"]) for own in statistics["classes"].values()]
    return [(sum(pixels) / own) ** 0.5 for own in pixels]


def _rule_of(
    regions: RegionSettings, model: TrainedModel, classifier: nn.Linear
) -> Callable[[str, Tensor], Rule]:
    """From a picture (3,H,W) to the rule by which its probabilities become labels."""

    def rule_of(name: str, image: Tensor) -> Rule:
        return partial(_labels, regions, picture_scores(model, classifier, image) > regions.score)

    return rule_of


def _labels(regions: RegionSettings, shown: Tensor, probability: Tensor) -> Labels:
    present = shown & (area(probability) > regions.area)
    return Labels(expanded(probability, present, seeds=regions.seeds, reach=regions.reach))


def picture_scores(model: TrainedModel, classifier: nn.Linear, image: Tensor) -> Tensor:
    """What the classifier of whole pictures says of each class (K,) of a picture of bytes (3,H,W)."""
    shown = fitted_image(model.normalised(image[None]), model.protocol.resize)
    with evaluating(model.network):
        output: Output = model.network(shown)
        return classifier(output.features[-1].mean((2, 3)).float()).sigmoid()[0]
