"""Mixing two pictures by class: which classes, which pixels, and the paste itself."""

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from segue.ranks import mean_over_ranks

VALUES = 256
"""The number of label values: the ignored one takes part in mixing like a class."""


def classes_present(label: Int64[Tensor, "b h w"]) -> Bool[Tensor, "b 256"]:
    """Which label values each picture contains, the ignored value included."""
    flat = label.flatten(1)
    present = torch.zeros(len(label), VALUES, dtype=torch.bool, device=label.device)
    return present.scatter_(1, flat, torch.ones_like(flat, dtype=torch.bool))


def draw_half(
    present: Bool[Tensor, "b 256"], generator: torch.Generator | None = None
) -> Bool[Tensor, "b 256"]:
    """For each row, a random half (rounded up) of the values that are present."""
    return draw_some(present, (present.sum(1, keepdim=True) + 1) // 2, generator)


def draw_some(
    present: Bool[Tensor, "b 256"],
    count: int | Int64[Tensor, "b 1"],
    generator: torch.Generator | None = None,
) -> Bool[Tensor, "b 256"]:
    """For each row, ``count`` random ones of the values that are present, or all of them if there are fewer.

    Random keys are sorted, as listing the present values would copy them to the host.
    """
    keys = torch.rand(present.shape, device=present.device, generator=generator)
    # Absent values get a key above all random ones, so that they have the last ranks.
    place = torch.where(present, keys, torch.full_like(keys, 2.0)).argsort(1).argsort(1)
    return present & (place < count)


def draw_classes(
    label: Int64[Tensor, "b h w"],
    pool: Literal["batch", "image"],
    generator: torch.Generator | None = None,
) -> Bool[Tensor, "b 256"]:
    """The classes that ClassMix pastes from each source picture.

    Source: ClassMix (Olsson et al., WACV 2021); DACS (Tranheden et al., WACV 2021), whose code draws from the
    picture's own classes (``pool="image"``). The code of DAFormer, HRDA and MIC draws, for every picture, from
    the classes of the whole batch (``pool="batch"``), some of which may be absent from the picture.
    """
    present = classes_present(label)
    if pool == "batch":
        everywhere = mean_over_ranks(present.any(0, keepdim=True).float()) > 0  # of all processes, as in one
        present = everywhere.expand_as(present)
    return draw_half(present, generator)


def class_mask(label: Int64[Tensor, "b h w"], chosen: Bool[Tensor, "b 256"]) -> Bool[Tensor, "b h w"]:
    """True at the pixels whose label value was chosen for their picture."""
    return chosen.gather(1, label.flatten(1)).view_as(label)


def paste(mask: Bool[Tensor, "b h w"], source: Tensor, target: Tensor) -> Tensor:
    """Source where the mask is true, target elsewhere; for (B,H,W) maps and (B,C,H,W) images."""
    return torch.where(mask if source.ndim == mask.ndim else mask.unsqueeze(1), source, target)


def one_hot(label: Int64[Tensor, "b h w"], like: Float[Tensor, "c k h w"]) -> Float[Tensor, "b k h w"]:
    """A label as probabilities of the classes that ``like`` has; they are all zero at an ignored pixel."""
    classes = torch.arange(like.shape[1], device=label.device).view(-1, 1, 1)
    return (label.unsqueeze(1) == classes).to(like.dtype)
