"""Photometric augmentation of whole batches on their device."""

import math

import kornia
import torch
from jaxtyping import Float
from torch import Tensor

JITTERS = ("brightness", "contrast", "saturation", "hue")


def denormalise(image: Float[Tensor, "b 3 h w"], mean: Tensor, std: Tensor) -> Float[Tensor, "b 3 h w"]:
    """Normalised pictures back to RGB in [0, 1]; mean and std (3,1,1) are in grey levels."""
    return (image * std + mean) / 255.0


def normalise(image: Float[Tensor, "b 3 h w"], mean: Tensor, std: Tensor) -> Float[Tensor, "b 3 h w"]:
    """RGB in [0, 1] to normalised pictures; mean and std (3,1,1) are in grey levels."""
    return (image * 255.0 - mean) / std


def jitter(
    image: Float[Tensor, "b 3 h w"], factors: Float[Tensor, "b 4"], order: tuple[int, ...] = (0, 1, 2, 3)
) -> Float[Tensor, "b 3 h w"]:
    """Change brightness, contrast, saturation and hue of pictures in [0, 1].

    Source: the colour jitter of kornia 0.5.8, which DAFormer pins: brightness adds its factor minus one,
    contrast multiplies without regard to the mean, hue is in turns.

    Args:
        factors: Columns as in JITTERS; 1, 1, 1 and 0 change nothing.
        order: The order of the changes, as positions in JITTERS.
    """
    brightness, contrast, saturation, hue = factors.unbind(1)
    for position in order:
        match JITTERS[position]:
            case "brightness":
                image = kornia.enhance.adjust_brightness(image, brightness - 1.0)
            case "contrast":
                image = kornia.enhance.adjust_contrast(image, contrast)
            case "saturation":
                image = kornia.enhance.adjust_saturation(image, saturation)
            case _:
                image = kornia.enhance.adjust_hue(image, hue * (2 * math.pi))
    return image


def grey(image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
    """Pictures without colours, as bright as before (ITU-R 601)."""
    red, green, blue = image.split(1, 1)
    return (0.299 * red + 0.587 * green + 0.114 * blue).expand_as(image)


def draw_jitter(
    count: int, strength: float, *, device: torch.device, generator: torch.Generator | None = None
) -> Float[Tensor, "b 4"]:
    """Jitter factors for ``count`` pictures: within ``strength`` of 1, for the hue within ``strength`` of 0."""
    factors = (torch.rand(count, 4, device=device, generator=generator) * 2 - 1) * strength
    factors[:, :3] += 1.0
    return factors


def blur_kernel_side(side: int) -> int:
    """DAFormer's kernel side for a picture's side: the odd number at or below a tenth of it, rounded up."""
    tenth = math.ceil(0.1 * side)
    return math.floor(tenth - 0.5 + tenth % 2)


def blur(
    image: Float[Tensor, "b 3 h w"], sigma: Float[Tensor, " b"], *, largest_sigma: float
) -> Float[Tensor, "b 3 h w"]:
    """Gaussian blur with one sigma (in pixels) per picture and mirrored borders.

    The sigmas may lie on the host: that they are positive is asked of them, which would wait for a device.

    Source: DAFormer's strong augmentation. Its kernels span a tenth of the picture (51 pixels at 512); weights
    beyond seven times ``largest_sigma`` are below float32 resolution, so the kernel ends there.
    """
    reach = 2 * math.ceil(7 * largest_sigma) + 1
    rows, columns = (max(1, min(reach, blur_kernel_side(side))) for side in image.shape[-2:])
    return kornia.filters.gaussian_blur2d(image, (rows, columns), sigma[:, None].expand(-1, 2))
