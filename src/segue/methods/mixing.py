"""How a target picture is changed before the student sees it: classes pasted in, colours jittered."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from segue.methods.context import Context
from segue.ops import augment, mixing
from segue.settings import Positive, Settings, Share
from segue.types import View


@dataclass(frozen=True)
class ClassMix:
    """Paste half of the source's classes, with their labels, over the target.

    Source: ClassMix (Olsson et al., WACV 2021) across domains, as in DACS (Tranheden et al., WACV 2021), section 3.1.
    :func:`segue.ops.mixing.draw_classes` explains ``pool``.
    """

    pool: Literal["batch", "image"]

    def __call__(self, source: View, target: View) -> View:
        """The target view with source pixels pasted in: image, label, depth, and a weight of 1 on pasted pixels."""
        assert source.label is not None and target.label is not None and target.weight is not None
        mask = mixing.class_mask(source.label, mixing.draw_classes(source.label, self.pool))
        return View(
            target.name,
            mixing.paste(mask, source.image, target.image),
            mixing.paste(mask, source.label, target.label),
            mixing.paste(mask, torch.ones_like(target.weight), target.weight),
            teacher=target.teacher,
            mix_mask=mask,
            soft=None
            if target.soft is None
            else mixing.paste(mask, mixing.one_hot(source.label, target.soft), target.soft),
            depth=None
            if source.depth is None or target.depth is None
            else mixing.paste(mask, source.depth, target.depth),
        )


class AugmentSettings(Settings):
    """Colour changes of the target pictures that the student sees (DACS, DAFormer)."""

    strength: Share = 0.2  # s: largest change of brightness, contrast, saturation and hue
    hue: Share | None = None  # the largest change of hue, if it is to be another one
    jitter_probability: Share = 0.8  # how often colours are jittered
    blur_probability: Share = 0.5
    sigma: tuple[Positive, Positive] = (0.15, 1.15)  # smallest and largest sigma of the blur, in pixels
    grey_probability: Share = 0.0  # how often a picture loses its colours

    def build(self, context: Context) -> "StrongAugment":
        """Build it for pictures that are normalised as the student expects."""
        return StrongAugment(self, *context.colours)


class StrongAugment:
    """Colour jitter and blur of the target pictures that the student sees.

    Source: the strong augmentation of DACS and DAFormer. Whether to jitter and whether to blur is drawn once for the
    whole batch, the strengths for each picture. The official code also draws the order of the four jitters for each
    picture; here it is drawn once a batch, so that the batch is changed in one call.

    ``mean`` and ``std`` (red, green, blue) are those of normalisation, in grey levels.
    """

    def __init__(
        self,
        settings: AugmentSettings,
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
    ) -> None:
        self.settings = settings
        self.mean = torch.tensor(mean).view(3, 1, 1)
        self.std = torch.tensor(std).view(3, 1, 1)

    def __call__(self, image: Tensor) -> Tensor:
        """Change normalised images (B,3,H,W) at random."""
        settings = self.settings
        often = torch.tensor([settings.jitter_probability, settings.blur_probability])
        jitters, blurs = (torch.rand(2) < often).tolist()  # on the host: nothing waits for the device
        if not (jitters or blurs or settings.grey_probability):
            return image
        if self.mean.device != image.device:
            self.mean, self.std = (
                value.to(image.device, non_blocking=True) for value in (self.mean, self.std)
            )
        mean, std = self.mean, self.std
        with torch.autocast(image.device.type, enabled=False):
            picture = augment.denormalise(image.float(), mean, std).clamp(0.0, 1.0)
            if jitters:
                factors = augment.draw_jitter(len(image), settings.strength, device=image.device)
                if settings.hue is not None:
                    factors[:, 3] *= settings.hue / max(settings.strength, 1e-6)
                picture = augment.jitter(picture, factors, tuple(torch.randperm(4).tolist()))
            if blurs:
                low, high = settings.sigma
                sigma = low + (high - low) * torch.rand(len(image))  # on the host, where it is checked
                picture = augment.blur(picture, sigma, largest_sigma=high)
            if settings.grey_probability:
                greys = torch.rand(len(image), 1, 1, 1, device=image.device) < settings.grey_probability
                picture = torch.where(greys, augment.grey(picture), picture)
            return augment.normalise(picture, mean, std)
