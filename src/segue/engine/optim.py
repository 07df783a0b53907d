"""Optimisers: parameter groups, rates and their schedule of linear warm-up and polynomial decay."""

from collections.abc import Collection, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from segue.engine.settings import OptimSettings
from segue.engine.sharpness import Sharpness
from segue.methods.method import Method

NORMS = (nn.LayerNorm, nn.modules.batchnorm._NormBase, nn.GroupNorm)  # pyright: ignore[reportPrivateUsage]


def parameter_groups(
    module: nn.Module,
    *,
    lr: float,
    head_factor: float,
    weight_decay: float,
    norms_decay: bool = False,
    without: Collection[int] = (),
) -> list[dict[str, Any]]:
    """Three groups for an optimiser: heads at a rate of their own, all else, and the norms of all else.

    A module with ``learns_like_a_head`` counts as a head with all that it contains: a head, or new layers of an
    encoder. Layers of a term learn like the encoder. As in the official codes, norms inside a head keep their decay.

    Args:
        module: A method; parameters without gradient, such as a teacher's, are left out.
        lr: The encoder's.
        norms_decay: Whether norms outside of heads decay, too, as in official codes that train by SGD.
        without: Ids of parameters that another optimiser trains.

    Returns:
        The groups that are not empty, each with the extra key ``base_lr``.
    """
    norms = {id(p) for m in module.modules() if isinstance(m, NORMS) for p in m.parameters(recurse=False)}
    heads = {
        id(p) for m in module.modules() if getattr(m, "learns_like_a_head", False) for p in m.parameters()
    }
    encoder: list[nn.Parameter] = []
    encoder_norms: list[nn.Parameter] = []
    head: list[nn.Parameter] = []
    for parameter in module.parameters():
        if not parameter.requires_grad or id(parameter) in without:
            continue
        slow = encoder_norms if id(parameter) in norms else encoder
        group = head if id(parameter) in heads else slow
        group.append(parameter)
    groups = [
        (encoder, lr, weight_decay),
        (encoder_norms, lr, weight_decay if norms_decay else 0.0),
        (head, lr * head_factor, weight_decay),
    ]
    return [
        {"params": parameters, "lr": rate, "base_lr": rate, "weight_decay": decay}
        for parameters, rate, decay in groups
        if parameters
    ]


def schedule(
    step: int, steps: int, *, warmup: int, start: float = 1e-6, power: float = 1.0, hold: float = 0.0
) -> float:
    """The factor on every learning rate at a step: linear warm-up times polynomial decay.

    The usual values (power 1.0, 1500 of 40 000 steps of warm-up from a factor of 1e-6) are those of the official codes.

    Args:
        step: Updates so far, 0 to steps - 1.
        warmup: Updates during warm-up.
        start: The first factor of the warm-up.
        power: Of the decay.
        hold: Share of the steps before the decay begins.
    """
    decay = min(1.0, (1.0 - step / steps) / (1.0 - hold)) ** power
    if step >= warmup:
        return decay
    return decay * (1.0 - (1.0 - step / warmup) * (1.0 - start))


def faded(step: int, *, fading: float, power: float) -> float:
    """The factor on every learning rate at a step where it does not depend on the length of the run.

    Adversarial classification has a fading of 0.001 and a power of 0.75.
    """
    return (1 + fading * step) ** -power


def set_rates(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set every group's rate to the factor times its base rate."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor


class _Held(torch.optim.Optimizer):
    """An optimiser that does nothing while a flag on the device is 1: parameters, moments and counters stay.

    Attributes:
        held: 0 or 1, a scalar on the parameters' device; None for an optimiser that always acts.
    """

    held: Tensor | None = None

    def step(self, closure: Any = None) -> Any:
        """One update, or none."""
        if self.held is None:
            return super().step(closure)
        # Fused kernels skip an update if the flag of gradient scaling is set; the scaler may have set its own.
        overflow: Tensor | None = getattr(self, "found_inf", None)
        self.found_inf = self.held if overflow is None else torch.maximum(self.held, overflow)
        try:
            return super().step(closure)
        finally:
            if overflow is None:
                del self.found_inf


class HeldAdamW(_Held, torch.optim.AdamW):
    """AdamW that may be held."""


class HeldAdam(_Held, torch.optim.Adam):
    """Adam that may be held."""


class HeldSGD(_Held, torch.optim.SGD):
    """SGD that may be held.

    Its momentum starts from zero, which gives what torch's gives: torch's fused kernel takes a first step that was
    held for done, and then goes on from memory that nobody has written.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], **options: Any) -> None:
        super().__init__(groups, **options)
        for group in self.param_groups:
            if group["momentum"]:
                self.state.update({p: {"momentum_buffer": torch.zeros_like(p)} for p in group["params"]})


KINDS: dict[str, type[_Held]] = {"adam": HeldAdam, "adamw": HeldAdamW, "sgd": HeldSGD}


def adamw(groups: Iterable[dict[str, Any]], *, betas: tuple[float, float]) -> HeldAdamW:
    """AdamW over parameter groups; its update is fused into one kernel a group."""
    return HeldAdamW(list(groups), betas=betas, fused=True)


def _students(groups: Iterable[dict[str, Any]], settings: OptimSettings) -> _Held:
    if settings.name == "sgd":
        # A rate is only wanted by torch's check: every group has its own.
        return HeldSGD(
            list(groups), lr=settings.lr, momentum=settings.momentum, nesterov=settings.nesterov, fused=True
        )
    return adamw(groups, betas=settings.betas)


class Optimisers:
    """The student's optimiser, and those that the method and its terms have beside it.

    Attributes:
        by_name: All of them; the student's is called "optimizer", like its file in a checkpoint.
        sharpness: Moves the student's weights between two passes of a step; None for one pass a step.
    """

    def __init__(self, method: Method, settings: OptimSettings, *, steps: int) -> None:
        self.settings = settings
        self.steps = steps
        self.sharpness = settings.sharpness and Sharpness(settings.sharpness)
        self.further = method.optimisations()
        own = {id(parameter) for one in self.further.values() for parameter in one.parameters}
        groups = parameter_groups(
            method,
            lr=settings.lr,
            head_factor=settings.head_factor,
            weight_decay=settings.weight_decay,
            norms_decay=settings.name == "sgd",
            without=own,
        )
        self.by_name: dict[str, _Held] = {"optimizer": _students(groups, settings)}
        for name, one in self.further.items():
            group = {"params": list(one.parameters), "base_lr": one.lr}
            self.by_name[f"optimizer.{name}"] = KINDS[one.kind]([group], lr=one.lr, fused=True, **one.options)  # pyright: ignore[reportCallIssue]

    def parameters(self) -> list[nn.Parameter]:
        """Everything that learns by gradient."""
        return [p for one in self.by_name.values() for group in one.param_groups for p in group["params"]]

    def students(self) -> list[nn.Parameter]:
        """Everything that learns by the student's optimiser."""
        return [p for group in self.by_name["optimizer"].param_groups for p in group["params"]]

    def hold(self, held: Tensor) -> None:
        """Make all of them stand still while a flag is 1."""
        for one in self.by_name.values():
            one.held = held

    def set_rates(self, step: int) -> float:
        """Set every rate for a step, and return the encoder's."""
        settings = self.settings
        warmup = round(settings.warmup * self.steps)
        if settings.fading is None:
            factor = schedule(
                step,
                self.steps,
                warmup=warmup,
                start=settings.warmup_start,
                power=settings.power,
                hold=settings.hold,
            )
        else:
            factor = faded(step, fading=settings.fading, power=settings.power)
        set_rates(self.by_name["optimizer"], factor)
        for name, one in self.further.items():
            set_rates(self.by_name[f"optimizer.{name}"], one.schedule(step, self.steps))
        return settings.lr * factor
