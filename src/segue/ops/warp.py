"""Moving pictures and maps: mirrored, shrunk, sheared, turned, and back again."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor


def warped(
    maps: Float[Tensor, "b c h w"], affine: Float[Tensor, "b 2 3"], *, nearest: bool = False
) -> Float[Tensor, "b c h w"]:
    """Maps as they are seen from elsewhere, in float32; zero where nothing of them is seen.

    Args:
        affine: From a place in the result to the place in the maps that is seen there; a map reaches from -1 to 1, from
            the edge of its first cell to that of its last one, across (first row) and down.
        nearest: Take the nearest cell instead of mixing four.
    """
    grid = F.affine_grid(affine.float(), list(maps.shape), align_corners=False)
    mode = "nearest" if nearest else "bilinear"
    return F.grid_sample(maps.float(), grid, mode=mode, padding_mode="zeros", align_corners=False)


def visible(valid: Bool[Tensor, "b h w"], affine: Float[Tensor, "b 2 3"]) -> Bool[Tensor, "b h w"]:
    """Where :func:`warped` shows a valid cell."""
    return warped(valid[:, None].float(), affine, nearest=True)[:, 0] > 0.5


def inverse(affine: Float[Tensor, "b 2 3"]) -> Float[Tensor, "b 2 3"]:
    """The way back: of a linear part that can be inverted, in float32."""
    (a, b, right), (c, d, down) = (row.unbind(1) for row in affine.float().unbind(1))
    determinant = a * d - b * c
    a, b, c, d = d / determinant, -b / determinant, -c / determinant, a / determinant
    across = torch.stack([a, b, -(a * right + b * down)], 1)
    return torch.stack([across, torch.stack([c, d, -(c * right + d * down)], 1)], 1)


def zoomed(zoom: Float[Tensor, " b"], mirrored: Bool[Tensor, " b"]) -> Float[Tensor, "b 2 3"]:
    """From places in a picture to places in a view of it, mirrored left to right and shrunk around its centre.

    Source: the views of SAC (Araslanov and Roth, CVPR 2021) and its code.

    Args:
        zoom: Sides of the picture in the view, in (0, 1].
    """
    sign = torch.where(mirrored, -zoom, zoom)
    nothing = torch.zeros_like(zoom)
    return torch.stack(
        [torch.stack([sign, nothing, nothing], 1), torch.stack([nothing, zoom, nothing], 1)], 1
    )


def sheared_turned_or_moved(
    kind: Float[Tensor, " b"], amount: Float[Tensor, " b"], mirrored: Bool[Tensor, " b"]
) -> Float[Tensor, "b 2 3"]:
    """Affine maps of one of six kinds for each picture: none, shear across, shear down, turn, move across, move down.

    Args:
        kind: In [0, 1), which is divided evenly among the kinds.
        amount: In [-1, 1]: a shear of 0.1, a turn of 10 degrees (on a square picture), a move of a tenth of a side.
    """
    place = (kind * 6).long()
    shear_x, shear_y, turn, right, down = (
        torch.where(place == own, scale * amount, torch.zeros_like(amount))
        for own, scale in enumerate((0.1, 0.1, math.radians(10), 0.2, 0.2), 1)
    )
    cosine, sine = torch.cos(turn), torch.sin(turn)
    sign = torch.where(mirrored, -1.0, 1.0)
    return torch.stack(
        [
            torch.stack([sign * cosine, shear_x - sine, right], 1),
            torch.stack([sign * (shear_y + sine), cosine, down], 1),
        ],
        1,
    )
