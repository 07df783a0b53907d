"""The highest point of the loss near a network's weights, to first order."""
# pyright: reportPrivateUsage=false, reportPrivateImportUsage=false
# Kernels over many tensors have no public names; a loop over parameters would launch thousands of small ones.

from collections.abc import Sequence

import torch
from torch import Tensor


@torch.no_grad()
def raise_(values: Sequence[Tensor], gradients: Sequence[Tensor], *, radius: float, adaptive: bool) -> None:
    """Move values up their gradients, in place, so far that the norm of what is added to them all is the radius.

    Source: SAM (Foret et al., ICLR 2021), equation 2; with ``adaptive`` ASAM (Kwon et al., ICML 2021), equation 6,
    where a value moves in proportion to its square, and the norm is that of what is added over the value.
    """
    steepness, values = list(gradients), list(values)
    sizes = torch._foreach_abs(values) if adaptive else None
    if sizes is not None:
        steepness = torch._foreach_mul(sizes, steepness)
    norm = torch.stack(torch._foreach_norm(steepness)).norm()
    if sizes is not None:
        steepness = torch._foreach_mul(sizes, list(steepness))
    torch._foreach_add_(values, torch._foreach_mul(list(steepness), radius / (norm + 1e-12)))


@torch.no_grad()
def copy_all(values: Sequence[Tensor], others: Sequence[Tensor]) -> None:
    """Replace values by others of the same shapes, in place."""
    torch._foreach_copy_(list(values), list(others))
