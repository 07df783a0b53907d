"""Names to networks: encoders, heads, and a segmenter from one of each."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from segue.classes import nearest
from segue.models.encoders.encoder import Encoder
from segue.models.encoders.mit import MixTransformer
from segue.models.encoders.mobilenet import MobileNetV2
from segue.models.encoders.resnet import ResNet
from segue.models.encoders.vit import dinov2, dinov3
from segue.models.heads.daformer import DaformerHead
from segue.models.heads.deeplab import DeepLabV2Head, DeepLabV3PlusHead
from segue.models.heads.head import Head
from segue.models.heads.segformer import SegformerHead
from segue.models.multi_resolution import MultiResolution
from segue.models.segmenter import Segmenter

Statistics = tuple[float, float, float]

IMAGENET: tuple[Statistics, Statistics] = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
SYMMETRIC: tuple[Statistics, Statistics] = ((127.5, 127.5, 127.5), (127.5, 127.5, 127.5))
"""Colours from -1 to 1."""

CAFFE: tuple[Statistics, Statistics] = ((122.67891434, 116.66876762, 104.00698793), (1.0, 1.0, 1.0))
"""Colours without their mean, undivided."""

MIT_SIZES: dict[str, tuple[Sequence[int], Sequence[int]]] = {
    "mit_b0": ((32, 64, 160, 256), (2, 2, 2, 2)),
    "mit_b1": ((64, 128, 320, 512), (2, 2, 2, 2)),
    "mit_b2": ((64, 128, 320, 512), (3, 4, 6, 3)),
    "mit_b3": ((64, 128, 320, 512), (3, 4, 18, 3)),
    "mit_b4": ((64, 128, 320, 512), (3, 8, 27, 3)),
    "mit_b5": ((64, 128, 320, 512), (3, 6, 40, 3)),
}
"""Channels and blocks of the four stages (SegFormer, table 6)."""


def _mit(name: str) -> Callable[[float], Encoder]:
    dims, depths = MIT_SIZES[name]
    return lambda drop_path: MixTransformer(dims, depths, drop_path=drop_path)


def _mit_nano(*depths: int) -> Callable[[float], Encoder]:
    """Small enough to learn pictures of 256x128 from scratch on two CPU cores within minutes."""
    return lambda drop_path: MixTransformer(
        (16, 32, 64, 128), depths, heads=(1, 2, 4, 8), drop_path=drop_path
    )


ENCODERS: dict[str, Callable[[float], Encoder]] = {
    "mit_nano": _mit_nano(1, 1, 1, 1),
    "mit_nano_deep": _mit_nano(2, 2, 4, 2),
    "mit_b0": _mit("mit_b0"),
    "mit_b1": _mit("mit_b1"),
    "mit_b2": _mit("mit_b2"),
    "mit_b3": _mit("mit_b3"),
    "mit_b4": _mit("mit_b4"),
    "mit_b5": _mit("mit_b5"),
    "mobilenet_v2": lambda drop_path: MobileNetV2(),
    "resnet50_v1c": lambda drop_path: ResNet((3, 4, 6, 3)),
    "resnet101_v1c": lambda drop_path: ResNet((3, 4, 23, 3)),
    "resnet101_caffe": lambda drop_path: ResNet((3, 4, 23, 3), caffe=True),
    "dinov2_tiny": lambda drop_path: dinov2("tiny", drop_path=drop_path),
    "dinov2_small": lambda drop_path: dinov2("small", drop_path=drop_path),
    "dinov2_base": lambda drop_path: dinov2("base", drop_path=drop_path),
    "dinov2_large": lambda drop_path: dinov2("large", drop_path=drop_path),
    "dinov3_tiny": lambda drop_path: dinov3("tiny", drop_path=drop_path),
    "dinov3_small": lambda drop_path: dinov3("small", drop_path=drop_path),
    "dinov3_base": lambda drop_path: dinov3("base", drop_path=drop_path),
    "dinov3_large": lambda drop_path: dinov3("large", drop_path=drop_path),
}
"""Encoder names to functions of the stochastic depth's rate."""

HEADS: dict[str, type[Head]] = {
    "daformer": DaformerHead,
    "segformer": SegformerHead,
    "deeplab_v2": DeepLabV2Head,
    "deeplab_v3plus": DeepLabV3PlusHead,
}

NORMALISATIONS = {"mobilenet_v2": SYMMETRIC, "resnet101_caffe": CAFFE}
"""Of encoders that expect something else than ``IMAGENET``."""


def build_encoder(name: str, *, drop_path: float = 0.1) -> Encoder:
    """An encoder with random weights.

    Args:
        name: A key of ``ENCODERS``.
        drop_path: Rate of stochastic depth at the last block; convolutional encoders have none.

    Returns:
        The encoder, in training mode.

    Raises:
        ValueError: If there is no such encoder, or a library that it needs is not installed.
    """
    if name not in ENCODERS:
        raise ValueError(f"unknown encoder {name!r}{nearest(name, list(ENCODERS))}")
    return ENCODERS[name](drop_path)


def build_segmenter(
    encoder: str,
    head: str,
    *,
    num_classes: int,
    channels: int = 256,
    context: str | None = None,
    dropout: float = 0.1,
    drop_path: float = 0.1,
    multi_resolution: Mapping[str, Any] | None = None,
) -> Segmenter:
    """A segmentation network with random weights.

    Args:
        encoder: A key of ``ENCODERS``.
        head: A key of ``HEADS``.
        num_classes: Classes to tell apart.
        channels: Width of the head; DeepLabV2's has none.
        context: How the head looks around: a key of ``heads.daformer.FUSIONS`` for DAFormer's, of
            ``heads.deeplab.BRANCHES`` for DeepLabV2's; None is the head's own default, and all that others take.
        dropout: Probability of a channel being dropped before the classifier.
        drop_path: Rate of stochastic depth at the encoder's last block.
        multi_resolution: The arguments of ``MultiResolution``, with ``attention`` "class", "single" or "none"
            for one attention map a class, one for all, or plain halves; None for a single resolution.

    Returns:
        The network, in training mode.

    Raises:
        ValueError: If a name is unknown, a context is given to a head without a choice, or the encoder's maps do
            not have the grid that several resolutions are joined on.
    """
    if head not in HEADS:
        raise ValueError(f"unknown head {head!r}{nearest(head, list(HEADS))}")
    kind = HEADS[head]
    if context is not None and "context" not in kind.options:
        raise ValueError(f"head {head!r} has no choice of context: leave out context {context!r}")
    network = build_encoder(encoder, drop_path=drop_path)
    widths = network.out_channels
    given: dict[str, Any] = {"channels": channels, "context": context, "dropout": dropout}
    options = {name: given[name] for name in kind.options if given[name] is not None}
    decoder = kind(widths, num_classes, **options)
    if multi_resolution is None:
        return Segmenter(network, decoder)
    if decoder.stride not in (*network.strides[:1], *network.strides[-1:]):
        raise ValueError(
            f"multi_resolution with encoder {encoder!r} and head {head!r}: logits must lie on a grid of"
            f" {decoder.stride} pixels, which this encoder does not have; choose another encoder or head"
        )
    wanted = dict(multi_resolution)
    maps = {"class": num_classes, "single": 1, "none": 0}[wanted.pop("attention", "class")]
    if kind is DaformerHead:
        options["context"] = "conv1"
    attention = kind(widths, maps, **options) if maps else None
    return MultiResolution(network, decoder, attention_head=attention, **wanted)


def normalisation(encoder: str) -> tuple[Statistics, Statistics]:
    """The colour statistics that an encoder's pretrained weights expect.

    Args:
        encoder: A key of ``ENCODERS``.

    Returns:
        Mean and standard deviation of red, green and blue, in 0 to 255.

    Raises:
        ValueError: If there is no such encoder.
    """
    if encoder not in ENCODERS:
        raise ValueError(f"unknown encoder {encoder!r}{nearest(encoder, list(ENCODERS))}")
    return NORMALISATIONS.get(encoder, IMAGENET)
