"""Ensemble distillation by probabilities: EnD learns the members' mean, EnD² their distribution."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal

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
"""The share of the uniform distribution that is mixed into each member's, so that its logarithm is bounded."""


class EnsembleDistillationSettings(MethodSettings):
    """EnD and EnD²: a student that learns the probabilities of several models on the target."""

    name: Literal["ensemble_distillation"] = "ensemble_distillation"
    labels_target: ClassVar[bool] = True
    members: dict[str, Path] = Field(default={})  # run or model folders of the pair's classes, by name
    # "mean" (EnD): learn the mean of the members' probabilities; "distribution" (EnD²): fit a Dirichlet distribution
    # to them.
    kind: Literal["mean", "distribution"] = "mean"
    # EnD²'s temperature at the start; held for a quarter of the run, it falls to 1 at three quarters.
    temperature: Positive = 2.5

    def build(self, context: Context, terms: Mapping[str, Term]) -> "EnsembleDistillation":
        """Build the method around the student, with its members, which are checked."""
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
    """The student learns the target from the outputs of several frozen members; the source is not used.

    Source: EnD (Hinton et al., 2015, for ensembles) and EnD² (Malinin et al., ICLR 2020), section 3, the baselines in
    the follow-up code of ensemble distillation.
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
        """Yield the target view, whose loss compares student and members."""
        assert batch.target is not None, "the engine gives distillation a target loader"
        image = batch.target.image
        logits = torch.stack([self._logits(member, image) for member in self.members])
        label = logits.softmax(2).mean(0).max(1).indices
        yield View("target", image, label, batch.target.weight, loss=self._loss(logits, step))

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
    """A temperature that is held for the first quarter of a run and has fallen to 1 at three quarters."""
    return start + (1.0 - start) * min(max((done - 0.25) / 0.5, 0.0), 1.0)


def smoothed_log_mean(logits: Tensor, temperature: float) -> Tensor:
    """The members' mean log probability (B,K,H,W), each mixed with a little of the uniform distribution.

    It is in float64 for :func:`segue.ops.losses.dirichlet_nll`. Logits (T,B,K,H,W) are divided by the temperature.
    """
    total = torch.zeros_like(logits[0], dtype=torch.float64)
    for member in logits:  # one by one, as float64 takes twice the memory
        probability = (member.double() / temperature).softmax(1)
        total += ((1 - SMOOTHING) * probability + SMOOTHING / member.shape[1]).log()
    return total / len(logits)
