"""Exchanging the amplitude of low frequencies, which carries much of a picture's look and little of its content."""

from typing import Literal, TypeAlias

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Window: TypeAlias = Literal["centred", "corners"]


def exchange_amplitude(
    source: Float[Tensor, "b 3 h w"],
    target: Float[Tensor, "b 3 h w"],
    *,
    beta: float,
    window: Window = "centred",
) -> Float[Tensor, "b 3 h w"]:
    """The source's pictures with the amplitude of their low frequencies taken from the target's, in float32.

    Pictures are raw, on any scale: with a mean subtracted, the sign of a picture's own mean would be taken for phase.
    The result may leave the scale's range, as in the official code.

    Source: FDA (Yang and Soatto, CVPR 2020), equation 3.

    Args:
        beta: Half the window's side as a share of the shorter side, rounded down to b pixels.
        window: See :func:`low_frequencies`.
    """
    size = (source.shape[-2], source.shape[-1])
    if exchanges_nothing(size, beta=beta, window=window):
        return source.float()
    here, there = (torch.fft.rfft2(picture.float()) for picture in (source, target))
    taken = low_frequencies(size, beta=beta, window=window, device=source.device)
    return torch.fft.irfft2(torch.polar(torch.where(taken, there.abs(), here.abs()), here.angle()), s=size)


def exchanges_nothing(size: tuple[int, int], *, beta: float, window: Window) -> bool:
    """Whether a window is empty, which only corners can be."""
    return window == "corners" and int(min(size) * beta) == 0


def low_frequencies(
    size: tuple[int, int], *, beta: float, window: Window, device: torch.device | None = None
) -> Bool[Tensor, "h half"]:
    """True at the frequencies that are exchanged, on the half plane that ``torch.fft.rfft2`` computes.

    Either way they come in pairs of equal amplitude, so that the result is real.

    Args:
        window: "centred": all frequencies up to b in either direction, as in FDA's numpy function; that of the mean
            even where b is 0. "corners": what FDA's training computes. It exchanges frequencies from -b to b - 1 and
            inverts by a transform that reads a half plane and takes the rest as its mirror image; none where b is 0.
    """
    height, width = size
    reach = int(min(size) * beta)
    row = torch.arange(height, device=device)
    across = torch.arange(width // 2 + 1, device=device)
    if window == "centred":
        return (torch.minimum(row, height - row) <= reach)[:, None] & (across <= reach)
    taken = ((row < reach) | (row >= height - reach))[:, None] & (
        (across < reach) | (across >= width - reach)
    )
    # The columns that are their own mirror images are read down to the middle row.
    alone = (across == 0) | (2 * across == width)
    return torch.where(alone, taken[torch.minimum(row, height - row)], taken)


def low_amplitude(picture: Float[Tensor, "b 3 h w"], reach: int) -> Float[Tensor, "b 3 rows columns"]:
    """The amplitude of up to ``reach`` waves a side; rows run from -reach."""
    amplitude = torch.fft.rfft2(picture.float(), norm="forward").abs()[..., : reach + 1]
    height = amplitude.shape[-2]
    return torch.cat([amplitude[..., height - reach :, :], amplitude[..., : reach + 1, :]], -2)


def with_low_amplitude(
    picture: Float[Tensor, "b 3 h w"], amplitude: Float[Tensor, "3 rows columns"]
) -> Float[Tensor, "b 3 h w"]:
    """Raw pictures with a :func:`low_amplitude` in the place of their own, as far as they have one, in float32."""
    size = (picture.shape[-2], picture.shape[-1])
    spectrum = torch.fft.rfft2(picture.float(), norm="forward")
    most = amplitude.shape[-1] - 1
    reach = min(most, (min(size) - 1) // 2)
    own = amplitude[:, most - reach : most + reach + 1, : reach + 1]
    wanted = spectrum.abs()
    wanted[..., size[0] - reach :, : reach + 1] = own[:, :reach]
    wanted[..., : reach + 1, : reach + 1] = own[:, reach:]
    return torch.fft.irfft2(torch.polar(wanted, spectrum.angle()), s=size, norm="forward")
