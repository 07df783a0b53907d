"""Networks by name: encoders, heads, and a segmenter from one of each."""

from collections.abc import Mapping
from typing import Any

from segue.classes import nearest
from segue.models.encoders import ENCODERS
from segue.models.encoders.encoder import Colour, Encoder
from segue.models.heads import HEADS
from segue.models.multi_resolution import MultiResolution
from segue.models.segmenter import Segmenter


def build_encoder(name: str, *, drop_path: float = 0.1) -> Encoder:
    """An encoder of ``ENCODERS`` with random weights, in training mode.

    Args:
        drop_path: Rate of stochastic depth at the last block; convolutional encoders have none.

    Raises:
        ValueError: If there is no such encoder, or a library that it needs is not installed.
    """
    if name not in ENCODERS:
        raise ValueError(f"unknown encoder {name!r}{nearest(name, list(ENCODERS))}")
    return ENCODERS[name].build(drop_path)


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
    """A segmentation network with random weights, in training mode.

    Args:
        channels: Width of the head; DeepLabV2's has none.
        context: The head's context module: a key of ``heads.daformer.FUSIONS`` for DAFormer's, of
            ``heads.deeplab.BRANCHES`` for DeepLabV2's; None is the head's default, and the only value that others take.
        dropout: Probability of dropping a channel before the classifier.
        drop_path: Rate of stochastic depth at the encoder's last block.
        multi_resolution: The arguments of ``MultiResolution``, with ``attention`` "class", "single" or "none"
            for one attention map per class, one for all, or equal weights; None for a single resolution.

    Raises:
        ValueError: If a name is unknown, a context is given to a head without a choice, or the encoder's maps do
            not have the grid on which several resolutions are fused.
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
    attention = kind(widths, maps, **{**options, **kind.as_attention}) if maps else None
    return MultiResolution(network, decoder, attention_head=attention, **wanted)


def normalisation(encoder: str) -> tuple[Colour, Colour]:
    """The mean and standard deviation of red, green and blue, in 0 to 255, that an encoder's pretrained weights expect.

    Raises:
        ValueError: If there is no such encoder.
    """
    if encoder not in ENCODERS:
        raise ValueError(f"unknown encoder {encoder!r}{nearest(encoder, list(ENCODERS))}")
    return ENCODERS[encoder].mean, ENCODERS[encoder].std
