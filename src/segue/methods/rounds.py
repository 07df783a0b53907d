"""A round of self-training: how pictures are looked at, what of them is labelled, and how that is learnt."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from segue.data.deck import epoch_steps
from segue.engine.method_settings import RoundSettings
from segue.engine.settings import Experiment
from segue.trees import Tree
from segue.evaluate.eyes import model_eye
from segue.evaluate.labelling import Eye, Rule, class_balanced, confidences
from segue.evaluate.predict import weighed
from segue.files import write_text
from segue.ops.balance import class_thresholds, rare_classes

BALANCE = "balance.json"
"""In a round's folder of labels: what was predicted, and from which confidence on it counts."""


@dataclass(frozen=True)
class Balance:
    """What a model predicts of the target.

    Attributes:
        thresholds: By class, the confidence from which it is labelled.
        predicted: By class, how many pixels of all pictures are predicted as it.
    """

    thresholds: dict[str, float]
    predicted: dict[str, int]

    def rule(self, alpha: float | None) -> Rule:
        """From probabilities to labels; soft ones with an ``alpha``."""
        return class_balanced(torch.tensor(list(self.thresholds.values())), alpha=alpha)

    def rare(self, below: float) -> list[str]:
        """The classes that are predicted on less than a share of all pixels, the rarest first."""
        names = list(self.predicted)
        return [names[place] for place in rare_classes(torch.tensor(list(self.predicted.values())), below)]


def portion(settings: RoundSettings, number: int) -> float:
    """The share of every class's pixels that a round labels; rounds count from 0."""
    return min(settings.most, settings.portion + number * settings.step)


def source_share(settings: RoundSettings, number: int) -> float:
    """The share of the source's pictures that a round learns; rounds count from 0."""
    return min(settings.source_most, settings.source_portion + number * settings.source_step)


def round_eye(model: Path, settings: RoundSettings, prior: Tensor | None, device: torch.device) -> Eye:
    """A model that looks at pictures as rounds do: in a scale and mirrored, expecting classes at their places."""
    eye = model_eye(model, device, flip=settings.flip, scales=tuple(settings.scales))
    return eye if prior is None else replace(eye, predictor=weighed(eye.predictor, prior))


def measure(
    eye: Eye, pictures: Mapping[str, Any], *, read: Callable[[Any], Tensor], every: int, portion: float
) -> Balance:
    """Look at all pictures once and find from which confidence a share of each class's pixels on is labelled."""
    sure, pixels = confidences(eye, pictures, read=read, every=every)
    names = eye.classes.names
    return Balance(
        dict(zip(names, class_thresholds(sure, portion).tolist(), strict=True)),
        dict(zip(names, pixels.tolist(), strict=True)),
    )


def keep(balance: Balance, labels: Path) -> None:
    """Write what was measured beside the labels."""
    content = {"thresholds": balance.thresholds, "predicted": balance.predicted}
    write_text(labels / BALANCE, json.dumps(content, indent=1) + "\n")


def kept(labels: Path) -> Balance | None:
    """What :func:`keep` wrote; None if it did not yet."""
    path = labels / BALANCE
    return Balance(**json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None


def fine_tuning(
    experiment: Experiment,
    settings: RoundSettings,
    number: int,
    balance: Balance,
    *,
    pictures: tuple[int, int],
    processes: int,
) -> Tree:
    """What the run that learns a round's labels has different from the whole: its data, its length, its rate.

    Args:
        experiment: The whole.
        settings: Of its rounds.
        number: Which round, from 0.
        balance: What was measured before labelling.
        pictures: Of the source and of the target.
        processes: That train together.
    """
    share = source_share(settings, number)
    rare = balance.rare(settings.rare) if settings.mine > 0 else []
    changed: Tree = {
        "seed": round_seed(experiment.seed, number),
        "method": {
            "source_share": share,
            "soft": settings.alpha is not None,
            "mining": {"classes": rare, "chance": settings.mine} if rare else None,
        },
        "optim": {"lr": settings.rate * experiment.optim.lr, "warmup": 0.0, "power": 0.0},
    }
    if settings.epochs is not None:
        together = experiment.data.batch * processes * experiment.optim.accumulate
        changed["steps"] = epoch_steps(*pictures, share=share, epochs=settings.epochs, batch=together)
    return changed


def round_seed(seed: int, number: int) -> int:
    """Every round draws other pictures and pieces, and no round of one seed those of another seed's."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0] >> 1)
