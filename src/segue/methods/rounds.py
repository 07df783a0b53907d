"""CBST and CRST: label what the model is most confident of, class by class, fine-tune it on that, and repeat."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from safetensors.torch import load_file, save
from torch import Tensor

from segue.data.dataset import Dataset
from segue.data.deck import epoch_steps
from segue.data.statistics import dataset_prior
from segue.evaluation.labelling import Rule, class_balanced, confidences, confident
from segue.evaluation.model import Model, TrainedModel
from segue.evaluation.predictors import weighed
from segue.files import write_bytes, write_text
from segue.methods.stages import Stages, is_labelled, label_together, learning, pictures_by_name
from segue.ops.balance import rare_classes
from segue.ranks import is_first_rank, said_by_first_rank, wait_for_all
from segue.settings import Count, Positive, Settings, Share
from segue.trees import Tree, merge

BALANCE = "balance.json"
"""The file in a round's folder of labels that holds its :class:`Balance`."""


class RoundSettings(Settings):
    """CBST and CRST: label, fine-tune, and repeat."""

    count: Count = 3  # how many rounds
    portion: Share = 0.2  # p_0: share of each class's pixels that the first round labels
    step: Share = 0.05  # how much larger that share is in each further round
    most: Share = 0.5  # its largest value
    every: Count = 4  # thresholds are found from every n-th pixel
    flip: bool = True  # labels are averaged over the picture and its mirror image
    scales: Annotated[list[Positive], Field(min_length=1)] = [0.9]  # and over these sizes
    alpha: Positive | None = None  # alpha of LRENT's soft labels; None for hard labels
    # CBST-SP: size of the Gaussian that smooths the prior, as a share of the height; None for no prior.
    prior: Share | None = None
    source_portion: Share = 0.03  # share of the source's pictures that the first round learns, too
    source_step: Share = 0.0025  # how much larger that share is in each further round
    source_most: Share = 0.06  # its largest value
    epochs: Count | None = 2  # how often a round learns each picture; None: a round takes the run's steps
    rate: Positive = 0.2  # learning rate as a share of optim.lr; held, without warm-up or decay
    rare: Share = 1e-3  # classes predicted on a smaller share of all pixels are mined
    mine: Share = 0.8  # how often a target picture is cropped around a mined class

    def labelled_share(self, number: int) -> float:
        """The share of every class's pixels that a round labels; rounds count from 0."""
        return min(self.most, self.portion + number * self.step)

    def source_share(self, number: int) -> float:
        """The share of the source's pictures that a round learns; rounds count from 0."""
        return min(self.source_most, self.source_portion + number * self.source_step)

    def carry_out(self, stages: Stages) -> dict[str, Any] | None:
        """Label with the last model what it is most confident of, class by class, fine-tune it on that, and repeat.

        Source: CBST (Zou et al., ECCV 2018), algorithm 1; CRST (Zou et al., ICCV 2019) with soft labels or the
        confidence regulariser; lengths, rates and shares as in the code of CRST.
        """
        model = stages.start
        if model is None:
            raise ValueError(
                f"recipe {stages.recipe} starts from a trained model: --set network.start=RUN, a source-only one for"
                " example"
            )
        stages.begin()
        source = stages.open("source")
        assert source is not None, "every pair has a source"
        prior = None if self.prior is None else _prior(stages, source, self.prior)
        scores: dict[str, Any] | None = None
        for number in range(self.count):
            share = 100 * self.labelled_share(number)
            stages.say(f"round {number + 1} of {self.count}: {share:.0f} % of every class are labelled")
            stage = stages.folder / f"round{number + 1}"
            balance = _label(stages, self, model, stage / "labels", number, prior)
            changes = fine_tuning(stages, self, number, balance, source_pictures=len(source))
            scores = stages.train_stage(
                stage, start=model, changes=merge(learning(stage / "labels"), changes)
            )
            model = stage / "model"
        stages.keep(stages.folder / f"round{self.count}")
        return scores


@dataclass(frozen=True)
class Balance:
    """What a model predicts of the target, by class.

    Attributes:
        thresholds: The confidence from which pixels are labelled.
        predicted: How many pixels of all pictures are predicted as the class.
    """

    thresholds: dict[str, float]
    predicted: dict[str, int]

    def rule(self, alpha: float | None) -> Rule:
        """How probabilities become labels: hard ones, or with an ``alpha`` soft ones."""
        return class_balanced(torch.tensor(list(self.thresholds.values())), alpha=alpha)

    def rare(self, below: float) -> list[str]:
        """The classes predicted on less than a share of all pixels, the rarest first."""
        names = list(self.predicted)
        return [names[place] for place in rare_classes(torch.tensor(list(self.predicted.values())), below)]


def round_model(path: Path, settings: RoundSettings, prior: Tensor | None, device: torch.device) -> Model:
    """A model that predicts as the settings of rounds say, weighed by the prior if there is one."""
    model = TrainedModel.load(path, device, flip=settings.flip, scales=tuple(settings.scales))
    if prior is not None:
        model.predictor = weighed(model.predictor, prior)
    return model


def measure(
    model: Model, pictures: Mapping[str, Any], *, read: Callable[[Any], Tensor], every: int, portion: float
) -> Balance:
    """Predict all pictures once; thresholds are such that they label a ``portion`` of each class's pixels.

    Processes divide the pictures, and all return the same.
    """
    found, names = confidences(model, pictures, read=read, every=every), model.classes.names
    return Balance(
        dict(zip(names, found.thresholds(portion).tolist(), strict=True)),
        dict(zip(names, found.pixels.tolist(), strict=True)),
    )


def keep(balance: Balance, labels: Path) -> None:
    """Write what was measured beside the labels."""
    write_text(labels / BALANCE, json.dumps(asdict(balance), indent=1) + "\n")


def kept(labels: Path) -> Balance | None:
    """What :func:`keep` wrote; None if it has not written yet."""
    path = labels / BALANCE
    return Balance(**json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None


def fine_tuning(
    stages: Stages, settings: RoundSettings, number: int, balance: Balance, *, source_pictures: int
) -> Tree:
    """How the settings of a round, counted from 0, differ from the whole run's: its data, its length and its rate."""
    share = settings.source_share(number)
    rare = balance.rare(settings.rare) if settings.mine > 0 else []
    changes: Tree = {
        "seed": round_seed(stages.seed, number),
        "method": {
            "source_share": share,
            "soft": settings.alpha is not None,
            "mining": {"classes": rare, "chance": settings.mine} if rare else None,
        },
        "optim": {"lr": settings.rate * stages.rate, "warmup": 0.0, "power": 0.0},
    }
    if settings.epochs is not None:
        changes["steps"] = epoch_steps(
            source_pictures, len(stages.target), share=share, epochs=settings.epochs, batch=stages.together
        )
    return changes


def _prior(stages: Stages, source: Dataset, side: float) -> Tensor:
    """Where in its pictures the source has each class; the first process reads its labels, once."""
    path = stages.folder / "prior.safetensors"
    if is_first_rank() and not path.is_file():
        stages.say("counting where the source has its classes")
        write_bytes(path, save({"prior": dataset_prior(source, side=side)}))
    wait_for_all()
    return load_file(path)["prior"]


def _label(
    stages: Stages, settings: RoundSettings, path: Path, out: Path, number: int, prior: Tensor | None
) -> Balance:
    """Label the target's pictures, and return what the thresholds follow from.

    What is measured is kept, so that a resumed run labels by the same thresholds.
    """
    done = is_labelled(out)
    target, pictures = stages.target, pictures_by_name(stages.target)
    model = round_model(path, settings, prior, stages.device)
    if not said_by_first_rank(kept(out) is not None):
        share = settings.labelled_share(number)
        found = measure(model, pictures, read=target.image, every=settings.every, portion=share)
        if is_first_rank():
            keep(found, out)
    wait_for_all()
    balance = kept(out)
    assert balance is not None, "the first process wrote it"
    if not done:
        label_together(stages, model, target, out, pictures=pictures, rule=balance.rule(settings.alpha))
    return balance


def label_by_rank(
    stages: Stages,
    model: Model,
    dataset: Dataset,
    out: Path,
    *,
    left_out: float,
    ceiling: float,
    every: int,
    rule_of: Callable[[Tensor], Callable[[str, Tensor], Rule]] | None = None,
) -> None:
    """Label pictures where a model is sure for the class; what is labelled already stays, and so do thresholds.

    Args:
        left_out: See :func:`segue.ops.balance.ranked_thresholds`, as for the ceiling.
        every: Thresholds are found from every n-th pixel of a class.
        rule_of: From thresholds (K,) to what ``label_pictures`` takes in the place of a rule for all pictures.
    """
    done = is_labelled(out)
    pictures, names = pictures_by_name(dataset), model.classes.names
    if not said_by_first_rank(kept(out) is not None):
        found = confidences(model, pictures, read=dataset.image, every=every)
        limits = found.ranked_thresholds(left_out=left_out, ceiling=ceiling).tolist()
        if is_first_rank():
            pixels = dict(zip(names, found.pixels.tolist(), strict=True))
            keep(Balance(dict(zip(names, limits, strict=True)), pixels), out)
    wait_for_all()
    balance = kept(out)
    assert balance is not None, "the first process wrote it"
    if done:
        return
    thresholds = torch.tensor(list(balance.thresholds.values()))
    own = None if rule_of is None else rule_of(thresholds)
    label_together(stages, model, dataset, out, rule=confident(thresholds), rule_of=own)


def round_seed(seed: int, number: int) -> int:
    """A seed of a round's own, so that rounds draw other pictures and crops, and so do runs of other seeds."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0] >> 1)
