"""Predictors: functions from images to class probabilities, made from a network or from other predictors."""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import TypeAlias

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from segue.ops.resize import fitted, resize
from segue.ops.windows import assemble, cut, taper, window_grid
from segue.protocol import Blend, PredictionProtocol

Predictor: TypeAlias = Callable[[Float[Tensor, "b 3 h w"]], Float[Tensor, "b k h w"]]
"""From normalised images to the probability of every class at every pixel, in float32 and at the images' size.

A network that names whole pictures gives a single cell, at every size."""

WHOLE_UP_TO = 2
"""The sides, in training windows, of the largest picture that "auto" predicts whole.

DAFormer's protocol predicts pictures twice as wide as its crops whole, and where one crop fits into memory with its
gradients, four fit without.
"""

SMALLEST = 32
"""The smallest side that every encoder can take: one cell of its coarsest map covers 32 pixels."""


def predictor_of(model: nn.Module, protocol: PredictionProtocol) -> Predictor:
    """The predictor that follows a protocol with a network, see :func:`whole`."""
    predictor = padded(_pass(model, protocol), least=SMALLEST)
    if protocol.mode == "middle":
        predictor = middle(predictor, protocol.window)
    if protocol.scales != (1.0,):
        predictor = scaled(predictor, protocol.scales)
    if protocol.flip:
        predictor = flipped(predictor)
    box = protocol.resize
    if box is None:
        return predictor
    exactly = protocol.mode == "middle"
    return resized(predictor, lambda size: box if exactly else fitted(size, box))


def _pass(model: nn.Module, protocol: PredictionProtocol) -> Predictor:
    dtype = None if protocol.precision == "float32" else getattr(torch, protocol.precision)
    in_one = whole(model, dtype=dtype)
    by_windows = sliding(
        model, window=protocol.window, stride=protocol.stride, blend=protocol.blend, dtype=dtype
    )
    match protocol.mode:
        case "whole" | "middle":
            return in_one
        case "sliding":
            return by_windows
        case "auto":
            height, width = protocol.window
            return fitting(in_one, by_windows, largest=(height * WHOLE_UP_TO, width * WHOLE_UP_TO))


def whole(model: nn.Module, *, dtype: torch.dtype | None = None) -> Predictor:
    """Predict images as they are, in one pass.

    Args:
        model: From images to an ``Output``; put into evaluation mode for each prediction, then back as it was.
        dtype: The precision under autocast; None for float32.
    """

    def predict(image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b k h w"]:
        with evaluating(model):
            return _logits(model, image, dtype).softmax(dim=1)

    return predict


def sliding(
    model: nn.Module,
    *,
    window: tuple[int, int],
    stride: tuple[int, int],
    blend: Blend = "taper",
    dtype: torch.dtype | None = None,
) -> Predictor:
    """Predict window by window; where windows overlap, logits are averaged before the softmax.

    Memory grows with the window, not with the image. An image smaller than the window is one window.

    Args:
        model: As in :func:`whole`.
        window: Height and width.
        stride: Rows and columns from one window to the next.
        blend: "taper" weights a window less towards its border, so that no seam shows; "mean" is the plain
            mean of mmsegmentation and HRDA.
        dtype: As in :func:`whole`.

    Raises:
        ValueError: If the stride is not between 1 and the window.
    """
    if not all(1 <= step <= side for side, step in zip(window, stride, strict=True)):
        raise ValueError(f"windows {window} every {stride}: stride must be 1 to the window's side")

    def predict(image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b k h w"]:
        size = (image.shape[-2], image.shape[-1])
        windows = window_grid(size, window, stride=stride)
        weight = _blending(size, window, stride, image.device) if blend == "taper" else None
        pieces = (_logits(model, cut(image, [one])[0], dtype) for one in windows)
        with evaluating(model):
            merged = assemble(pieces, windows, size=size, weight=weight)
            # In strips and in place: windows are for large pictures, of which memory may not hold a second copy.
            for strip in merged.split(256, dim=2):
                strip.copy_(strip.softmax(dim=1))
            return merged

    return predict


def middle(predictor: Predictor, window: tuple[int, int]) -> Predictor:
    """Predict the middle window of images, for networks that name whole pictures; smaller sides stay as they are."""

    def predict(image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b k 1 1"]:
        rows, columns = (
            slice(max(0, round((side - size) / 2)), max(0, round((side - size) / 2)) + size)
            for side, size in zip(image.shape[-2:], window, strict=True)
        )
        return predictor(image[..., rows, columns])

    return predict


def flipped(predictor: Predictor) -> Predictor:
    """The mean of the predictions on an image and on its mirror image."""

    def predict(image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b k h w"]:
        return (predictor(image) + predictor(image.flip(-1)).flip(-1)) / 2

    return predict


def scaled(predictor: Predictor, scales: Sequence[float]) -> Predictor:
    """The mean of the predictions on an image at several scales: factors on both of its sides.

    Raises:
        ValueError: If there is no scale, or one is not above 0.
    """
    if not scales or min(scales) <= 0:
        raise ValueError(f"scales {list(scales)}: give at least one, each above 0")

    def at(scale: float) -> Predictor:
        return resized(
            predictor, lambda size: (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
        )

    return averaged([at(scale) for scale in scales])


def averaged(predictors: Sequence[Predictor]) -> Predictor:
    """The mean of the probabilities of several predictors of the same classes; a ValueError if there are none."""
    if not predictors:
        raise ValueError("no predictors: there is nothing to average")

    def predict(image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b k h w"]:
        total = predictors[0](image)
        for predictor in predictors[1:]:
            total = total + predictor(image)
        return total / len(predictors)

    return predict


def resized(predictor: Predictor, size_of: Callable[[tuple[int, int]], tuple[int, int]]) -> Predictor:
    """Predict images at another size and resize the probabilities back.

    Args:
        size_of: From an image's height and width to those at which it is predicted.
    """

    def predict(image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b k h w"]:
        size = (image.shape[-2], image.shape[-1])
        other = size_of(size)
        if other == size:
            return predictor(image)
        # As for training, images are antialiased when they shrink: every original pixel counts.
        image = F.interpolate(image, size=other, mode="bilinear", align_corners=False, antialias=True)
        maps = predictor(image)
        return maps if maps.shape[-2:] != other else resize(maps, size)  # a single cell stays one

    return predict


def fitted_size(size: tuple[int, int], box: tuple[int, int] | None) -> tuple[int, int]:
    """Height and width at which a network sees a picture: fitted into the box, if any, and no side below SMALLEST."""
    height, width = size if box is None else fitted(size, box)
    return max(height, SMALLEST), max(width, SMALLEST)


def fitted_image(image: Float[Tensor, "b 3 h w"], box: tuple[int, int] | None) -> Float[Tensor, "b 3 h2 w2"]:
    """Images at the size at which a network sees them."""
    size = (image.shape[-2], image.shape[-1])
    other = fitted_size(size, box)
    if other == size:
        return image
    return F.interpolate(image, size=other, mode="bilinear", align_corners=False, antialias=True)


def weighed(predictor: Predictor, maps: Float[Tensor, "k rows columns"]) -> Predictor:
    """Probabilities times a spatial prior, which is enlarged to the images.

    The products are no longer probabilities: they may only be compared with one another and with thresholds.

    Args:
        maps: In [0, 1], see :func:`segue.ops.prior.spatial_prior`.
    """

    def predict(image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b k h w"]:
        size = (image.shape[-2], image.shape[-1])
        return predictor(image) * resize(maps[None].to(image.device), size)

    return predict


def fitting(small: Predictor, large: Predictor, *, largest: tuple[int, int]) -> Predictor:
    """``small`` for images up to the height and width of ``largest``, ``large`` for all others."""

    def predict(image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b k h w"]:
        fits = image.shape[-2] <= largest[0] and image.shape[-1] <= largest[1]
        return small(image) if fits else large(image)

    return predict


def padded(predictor: Predictor, *, least: int) -> Predictor:
    """Pad images that have a side below ``least`` pixels, too small for most networks, and crop the prediction."""

    def predict(image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b k h w"]:
        height, width = image.shape[-2:]
        below, right = max(least - height, 0), max(least - width, 0)
        if below or right:
            image = F.pad(image, (0, right, 0, below), mode="replicate")
        return predictor(image)[..., :height, :width]

    return predict


def classify(probability: Float[Tensor, "b k h w"], size: tuple[int, int]) -> UInt8[Tensor, "b h2 w2"]:
    """The most probable class at every pixel, after the probabilities are resized to a given size."""
    # On a CPU, along a strided axis, max is several times faster than argmax.
    return resize(probability, size).max(dim=1).indices.to(torch.uint8)


@contextmanager
def in_evaluation_mode(model: nn.Module) -> Generator[None]:
    """Evaluation mode; afterwards every module is back in the mode it was in."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        # One by one: a part that was frozen in evaluation mode must not start to train with the rest.
        for module, mode in modes:
            module.training = mode


@contextmanager
def evaluating(model: nn.Module) -> Generator[None]:
    """Evaluation mode without gradients; no gradient can ever pass through what is computed."""
    with in_evaluation_mode(model), torch.inference_mode():
        yield


def _logits(
    model: nn.Module, image: Float[Tensor, "b 3 h w"], dtype: torch.dtype | None
) -> Float[Tensor, "b k h w"]:
    with torch.autocast(image.device.type, dtype=dtype, enabled=dtype is not None):
        logits: Tensor = model(image).logits
    if getattr(model, "names_pictures", False):
        return logits.float()
    return resize(logits.float(), (image.shape[-2], image.shape[-1]))


def _blending(
    size: tuple[int, int], window: tuple[int, int], stride: tuple[int, int], device: torch.device
) -> Float[Tensor, "h w"]:
    height, width = (min(side, whole) for side, whole in zip(window, size, strict=True))
    return taper((height, width), (min(stride[0], height), min(stride[1], width)), device=device)
