"""The running statistics of a network's batch norms: which pictures move them, and how cards describe them."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import TypeAlias, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from segue.ranks import processes, several, sum_with_gradient

AS_TRAINED = "as trained"
DOMAIN_SPECIFIC = "domain-specific"
"""What cards and protocols call statistics left as training made them, and statistics kept for each domain."""

BatchNorm: TypeAlias = nn.modules.batchnorm._BatchNorm  # pyright: ignore[reportPrivateUsage]

KEPT = ("running_mean", "running_var", "num_batches_tracked")


def of_target(pictures: int) -> str:
    """What cards and protocols call statistics that were estimated again."""
    return f"of {pictures} target pictures"


def batch_norms(network: nn.Module) -> list[BatchNorm]:
    """The norms of a network that keep running statistics, encoder and heads alike."""
    return [
        module
        for module in network.modules()
        if isinstance(module, BatchNorm) and module.running_mean is not None
    ]


class _Shared(BatchNorm):
    """A batch norm that normalises by the pictures of all processes, which must have equally many cells each.

    torch's own works on a GPU only; this one is the same on every device. Alone it is a plain batch norm.
    """

    def forward(self, input: Float[Tensor, "b c *cells"]) -> Float[Tensor, "b c *cells"]:
        """Normalise, and move the running statistics if they are tracked."""
        if not (self.training and several()):
            return super().forward(input)
        axes, shape = (
            tuple(place for place in range(input.ndim) if place != 1),
            (1, -1, *[1] * (input.ndim - 2)),
        )
        with torch.autocast(input.device.type, enabled=False):
            maps = input.float()
            count = processes() * maps.numel() / maps.shape[1]
            mean = sum_with_gradient(maps.sum(axes)) / count
            centred = maps - mean.view(shape)
            variance = sum_with_gradient(centred.square().sum(axes)) / count
            if self.track_running_stats and self.running_mean is not None and self.running_var is not None:
                assert self.num_batches_tracked is not None
                self.num_batches_tracked += 1
                share = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
                self.running_mean.lerp_(mean.detach(), share)
                self.running_var.lerp_(variance.detach() * (count / (count - 1)), share)
            normal = centred * (variance + self.eps).rsqrt().view(shape)
            if self.affine:
                normal = normal * self.weight.view(shape) + self.bias.view(shape)
        return normal.to(input.dtype)


class SharedBatchNorm(_Shared, nn.BatchNorm2d):
    """That of maps."""


class SharedVectorNorm(_Shared, nn.BatchNorm1d):
    """That of vectors."""


def share_statistics(network: nn.Module) -> None:
    """Turn the plain batch norms of a network into shared ones, in place."""
    shared: dict[type[nn.Module], type[nn.Module]] = {
        nn.BatchNorm2d: SharedBatchNorm,
        nn.BatchNorm1d: SharedVectorNorm,
    }
    for module in network.modules():
        module.__class__ = shared.get(type(module), type(module))


def is_watched(norm: BatchNorm) -> bool:
    """Whether a norm has forward hooks, for which it has to be called as a module."""
    return bool(norm._forward_hooks)  # pyright: ignore[reportPrivateUsage]


@contextmanager
def statistics_kept(norms: Sequence[BatchNorm]) -> Generator[None]:
    """Inside, norms in training mode normalise by the batch as usual, but do not move their running statistics."""
    tracking = [norm.track_running_stats for norm in norms]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm, tracks in zip(norms, tracking, strict=True):
            norm.track_running_stats = tracks


class RunningStatistics(nn.Module):
    """Another set of running statistics, first a copy of the norms', which the norms can use instead of their own."""

    def __init__(self, norms: Sequence[BatchNorm]) -> None:
        super().__init__()
        for place, norm in enumerate(norms):
            for name in KEPT:
                self.register_buffer(f"{name}_{place}", cast(Tensor, getattr(norm, name)).clone())

    @contextmanager
    def lent_to(self, norms: Sequence[BatchNorm]) -> Generator[None]:
        """Inside, the copied norms normalise by these in evaluation mode, and move these in training mode."""
        own = [[getattr(norm, name) for name in KEPT] for norm in norms]
        for place, norm in enumerate(norms):
            for name in KEPT:
                setattr(norm, name, getattr(self, f"{name}_{place}"))
        try:
            yield
        finally:
            for norm, values in zip(norms, own, strict=True):
                for name, value in zip(KEPT, values, strict=True):
                    setattr(norm, name, value)
