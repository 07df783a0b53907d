"""Undoing: a classifier carries the source's class frequencies; they are replaced by an estimate of the target's."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from segue.data.statistics import ClassStatistics, class_statistics
from segue.evaluation.model import Model, TrainedModel
from segue.evaluation.read_ahead import read_ahead
from segue.files import write_text
from segue.methods.aligned import AlignedSettings
from segue.methods.context import Context
from segue.methods.method import Method, MethodSettings, Term
from segue.methods.stages import Stages, label_together, pictures_by_name
from segue.methods.terms import TERMS
from segue.models.adjusted import Adjusted, adjusted
from segue.models.weights import load_model, model_folder, save_model
from segue.ops.label_shift import area, log_ratio, presence, shown
from segue.ranks import is_first_rank, wait_for_all
from segue.settings import Positive, Settings
from segue.trees import Tree

SCORES = {"presence": presence, "area": area}
"""How much of each class a picture shows, from probabilities (B,K,H,W)."""


class NewNetworkSettings(Settings):
    """A network of its own that learns the corrected one's labels of the target, from the run's start."""

    share: Positive = 0.5  # of the run's steps
    rate: Positive = 2.0  # learning rate as a share of optim.lr
    scale: tuple[Positive, Positive] = (0.5, 1.5)  # range of the random factor on size before cropping
    flip: bool = True  # labels are averaged over the picture and its mirror image


class LabelShiftSettings(MethodSettings):
    """Train a host, estimate the target's class frequencies with it, correct it, and distil it into a new network."""

    name: Literal["label_shift"] = "label_shift"
    labels_target: ClassVar[bool] = False
    model: Path | None = None  # run or model folder to correct; None: a first stage trains the host
    host: AlignedSettings = AlignedSettings()  # what the first stage is trained by, beside the run's terms
    # "adjust": logits are moved when predicting; "refine": the classifier learns the source again, without its
    # frequencies; "none": the host is distilled as it is.
    correct: Literal["adjust", "refine", "none"] = "adjust"
    # What a target picture must have more of than source pictures on average to count for a class: "presence" is the
    # official code's score, "area" the predicted share.
    score: Literal["presence", "area"] = "presence"
    distil: NewNetworkSettings | None = NewNetworkSettings()  # None: the corrected host is the result

    def build(self, context: Context, terms: Mapping[str, Term]) -> Method:
        """What the first stage trains."""
        return self.host.build(context, terms)

    def carry_out(self, stages: Stages) -> dict[str, Any] | None:
        """Train a host, count classes in both domains, correct it, distil it.

        Source: Undoing (Liu et al., CVPR 2022), with inference adjustment and classifier refinement, and its code,
        whose host is FADA (Wang et al., ECCV 2020).

        Raises:
            ValueError: If nothing is left to do, or the model has other classes than the pair.
        """
        if self.correct == "none" and self.distil is None:
            raise ValueError(
                "method.correct=none and method.distil=null leave the host alone: method.name=aligned trains that"
            )
        stages.begin()
        model = self.model
        if model is None:
            stages.say("first stage: the host")
            model = stages.folder / "host"
            plain: Tree = {"method": self.host.model_dump(mode="json")}
            stages.train_stage(model, start=stages.start, changes=plain)
        if self.correct == "adjust" and self.distil is None:
            if self.model is None:
                stages.keep(model)
            self._adjust(stages, model, stages.folder / "model")
            return stages.score()
        corrected = model if self.correct == "none" else self._corrected(stages, model)
        if self.distil is not None:
            return self._distilled(stages, corrected)
        stages.keep(corrected)
        return stages.score()

    def _corrected(self, stages: Stages, model: Path) -> Path:
        """The folder of the host with other class frequencies."""
        if self.correct == "adjust":
            self._adjust(stages, model, stages.folder / "adjusted")
            return stages.folder / "adjusted"
        stages.say("the classifier learns the source again, without its class frequencies")
        shift = self._shift(stages, model)
        refinement: Tree = {"name": "classifier_refinement", "shift": shift.tolist()}
        refined = stages.folder / "refined"
        stages.train_stage(
            refined, start=model, changes={"method": refinement, "terms": dict.fromkeys(TERMS)}
        )
        return refined

    def _adjust(self, stages: Stages, model: Path, out: Path) -> None:
        """Write the host with moved logits as a model."""
        shift = self._shift(stages, model)
        if is_first_rank():
            network, card = load_model(model_folder(model))
            arguments = adjusted(card.network, classes=len(card.classes))
            save_model(out, Adjusted(network, shift), replace(card, network=arguments, recipe=stages.recipe))
        wait_for_all()

    def _distilled(self, stages: Stages, model: Path) -> dict[str, Any] | None:
        assert self.distil is not None
        stages.say("labels of the target")
        distil, labels, last = self.distil, stages.folder / "labels", stages.folder / "student"
        labeller = TrainedModel.load(model, stages.device, flip=distil.flip)
        label_together(stages, labeller, stages.target, labels)
        stages.say("last stage: a new network learns them")
        changes: Tree = {
            "steps": max(1, round(distil.share * stages.steps)),
            "method": {"name": "offline", "labels": str(labels)},
            "terms": dict.fromkeys(TERMS),
            "optim": {"lr": distil.rate * stages.rate},
            "data": {"scale": list(distil.scale), "flip": 0.5},
        }
        scores = stages.train_stage(last, start=stages.start, changes=changes)
        stages.keep(last)
        return scores

    def _shift(self, stages: Stages, model: Path) -> Tensor:
        """What is added to logits; the first process counts for all, once."""
        path = stages.folder / "class_pictures.json"
        if is_first_rank() and not path.is_file():
            stages.say("counting in how many pictures of either domain each class is")
            self._count(stages, TrainedModel.load(model, stages.device), path)
        wait_for_all()
        counted: dict[str, dict[str, int]] = json.loads(path.read_text(encoding="utf-8"))
        counts = {domain: torch.tensor(list(own.values())) for domain, own in counted.items()}
        return log_ratio(counts["source"], counts["target"])

    def _count(self, stages: Stages, model: Model, path: Path) -> None:
        if list(model.classes.names) != list(stages.classes.names):
            raise ValueError(
                f"{self.model}: its classes ({', '.join(model.classes.names)}) are not those of the pair"
            )
        source, target = stages.open("source"), stages.target
        assert source is not None, "every pair has a source"
        statistics = class_statistics(source, cache=stages.folder / "class_statistics.json")
        usual = mean_share(statistics)
        counts = torch.zeros(len(usual), dtype=torch.int64)
        places = pictures_by_name(target)
        for _, image in read_ahead(lambda name: target.image(places[name]), places):
            score = SCORES[self.score](model.probabilities(image[None]))
            counts += shown(score.cpu(), usual)[0]
        names = model.classes.names
        both = {"source": (statistics.pixels > 0).sum(0), "target": counts}
        content = {domain: dict(zip(names, own.tolist(), strict=True)) for domain, own in both.items()}
        write_text(path, json.dumps(content, indent=1) + "\n")


def mean_share(statistics: ClassStatistics) -> Tensor:
    """The mean over pictures of the share of its pixels that each class has (K,), in float64."""
    return (statistics.pixels.double() / statistics.sizes.double()[:, None]).mean(0)
