"""Ensemble distillation on soft outputs: EnD learns the members' mean, EnD² their distribution."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from segue.methods.context import Context
from segue.methods.method import Method, MethodSettings, Term
from segue.methods.teacher import Frozen
from segue.models.segmenter import Segmenter
from segue.models.weights import load_model, model_folder
from segue.ops.losses import dirichlet_nll, divergence
from segue.ops.resize import resize
from segue.settings import Positive
from segue.types import Batch, Joint, Output, PixelLoss, View

SMOOTHING = 1e-3
"""The share of the uniform distribution in a member's, so that no logarithm is without a bound."""


class EnsembleDistillationSettings(MethodSettings):
    """EnD and EnD²: a student of what several models say of the target, softly."""

    name: Literal["ensemble_distillation"] = "ensemble_distillation"
    members: dict[str, Path] = Field(default={})  # run or model folders of the pair's classes, by name
    # "mean": the divergence from the members' mean probability; "distribution": a Dirichlet distribution over theirs.
    kind: Literal["mean", "distribution"] = "mean"
    # Of EnD² at the start; it is held for a quarter of the run and falls to 1 at three quarters.
    temperature: Positive = 2.5

    def build(self, context: Context, terms: Mapping[str, Term]) -> "EnsembleDistillation":
        """Around the student, with its members, which are checked."""
        if not self.members:
            raise ValueError(
                f"recipe {context.recipe} distils models: --set method.members='{{a: RUN, b: RUN}}'"
            )
        if context.network.multi_resolution is not None:
            raise ValueError(
                f"recipe {context.recipe} does not go with network.multi_resolution: leave it out"
            )
        members: list[Segmenter] = []
        for path in self.members.values():
            network, card = load_model(model_folder(path))
            context.check_model(card, path)
            members.append(network)
        return EnsembleDistillation(self, context, members, terms)


class EnsembleDistillation(Method):
    """The student learns what several frozen members say of the target, without source and without labels.

    Source: EnD (Hinton et al., 2015, for ensembles) and EnD² (Malinin et al., ICLR 2020), section 3, as the
    follow-up code of ensemble distillation uses them as baselines.

    Args:
        members: Networks of the student's classes.
    """

    def __init__(
        self,
        settings: EnsembleDistillationSettings,
        context: Context,
        members: Sequence[nn.Module],
        terms: Mapping[str, Term],
    ) -> None:
        super().__init__(context.student, terms, view_names=("target",))
        self.settings = settings
        self.members = nn.ModuleList(Frozen(member) for member in members)
        self.steps = context.steps

    def views(self, batch: Batch, step: int) -> Iterator[View | Joint]:
        """One step of the algorithm.

        Yields:
            The target view with the members' loss.
        """
        assert batch.target is not None, "the engine gives distillation a target loader"
        image = batch.target.image
        logits = torch.stack([self._logits(member, image) for member in self.members])
        label = logits.softmax(2).mean(0).max(1).indices
        weight = None if batch.target.valid is None else batch.target.valid.float()
        yield View("target", image, label, weight, loss=self._loss(logits, step))

    def _logits(self, member: nn.Module, image: Tensor) -> Tensor:
        output: Output = member(image)
        return resize(output.logits.float(), (image.shape[-2], image.shape[-1]))

    def _loss(self, logits: Tensor, step: int) -> PixelLoss:
        if self.settings.kind == "mean":
            target = logits.softmax(2).mean(0)
            return lambda own, label: divergence(own, target)
        temperature = annealed(self.settings.temperature, step / self.steps)
        mean_log = smoothed_log_mean(logits, temperature)
        return lambda own, label: temperature**2 * dirichlet_nll(own / temperature, mean_log)


def annealed(start: float, done: float) -> float:
    """A temperature that is held for the first quarter of a run and falls to 1 until the last."""
    return start + (1.0 - start) * min(max((done - 0.25) / 0.5, 0.0), 1.0)


def smoothed_log_mean(logits: Tensor, temperature: float) -> Tensor:
    """The mean over the members of the log of their probability, mixed with a little of the uniform one.

    Args:
        logits: (T,B,K,H,W).
        temperature: The logits are divided by.

    Returns:
        (B,K,H,W), in float64 as :func:`segue.ops.losses.dirichlet_nll` needs it.
    """
    total = torch.zeros_like(logits[0], dtype=torch.float64)
    for member in logits:  # one after the other, to hold the larger numbers of one alone
        probability = (member.double() / temperature).softmax(1)
        total += ((1 - SMOOTHING) * probability + SMOOTHING / member.shape[1]).log()
    return total / len(logits)
