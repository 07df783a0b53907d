"""Networks by name: encoders, heads, and a segmenter from one of each."""

from collections.abc import Mapping
from typing import Any

from segue.classes import nearest
from segue.models.classifier import Classifier
from segue.models.encoders import ENCODERS
from segue.models.encoders.encoder import Colour, Encoder
from segue.models.heads import HEADS
from segue.models.multi_resolution import MultiResolution
from segue.models.segmenter import DepthSegmenter, Segmenter
from segue.models.settings import MultiResolutionSettings, NetworkSettings


def build_encoder(name: str, *, drop_path: float | None = None) -> Encoder:
    """An encoder of ``ENCODERS`` with random weights, in training mode.

    Args:
        drop_path: Rate of stochastic depth at the last block; None for the usual one. Convolutional encoders have none.

    Raises:
        ValueError: If there is no such encoder, or a library that it needs is not installed.
    """
    if name not in ENCODERS:
        raise ValueError(f"unknown encoder {name!r}{nearest(name, list(ENCODERS))}")
    return ENCODERS[name].build(NetworkSettings().drop_path if drop_path is None else drop_path)


def build_segmenter(
    encoder: str,
    head: str,
    *,
    num_classes: int,
    multi_resolution: Mapping[str, Any] | None = None,
    **options: Any,
) -> Segmenter:
    """A network with random weights, in training mode; a head that names whole pictures makes it a classifier.

    Args:
        multi_resolution: Arguments of ``MultiResolution``, with ``attention`` "class", "single" or "none"
            for one attention map a class, one for all, or plain halves; None for a single resolution.
        options: What else :class:`segue.models.settings.NetworkSettings` say of how it is built: ``channels``,
            ``context``, ``dropout``, ``drop_path``, ``auxiliary``,
            ``aligned_corners``.

    Raises:
        ValueError: If a name is unknown, a context is given to a head without a choice, an auxiliary prediction is
            asked of one without, or the encoder's maps do not have the grid on which several resolutions are fused.
    """
    if head not in HEADS:
        raise ValueError(f"unknown head {head!r}{nearest(head, list(HEADS))}")
    kind, settings = HEADS[head], NetworkSettings(encoder=encoder, head=head, **options)
    network = build_encoder(encoder, drop_path=settings.drop_path)
    if multi_resolution is not None and settings.auxiliary is not None:
        raise ValueError("multi_resolution has no auxiliary prediction: set network.auxiliary=null")
    if multi_resolution is not None and settings.aligned_corners:
        raise ValueError("multi_resolution fuses predictions on a grid: set network.aligned_corners=false")
    widths = network.out_channels
    decoder = kind(widths, num_classes, settings)
    if kind.names_pictures and (multi_resolution is not None or settings.aligned_corners):
        raise ValueError(
            f"head {head!r} names whole pictures: set network.multi_resolution=null and network.aligned_corners=false"
        )
    if kind.names_pictures:
        return Classifier(network, decoder)
    if kind.predicts_depth and multi_resolution is not None:
        raise ValueError(f"head {head!r} predicts depth at one resolution: set network.multi_resolution=null")
    if kind.predicts_depth:
        return DepthSegmenter(network, decoder, aligned_corners=settings.aligned_corners)
    if multi_resolution is None:
        return Segmenter(network, decoder, aligned_corners=settings.aligned_corners)
    if decoder.stride not in (*network.strides[:1], *network.strides[-1:]):
        raise ValueError(
            f"multi_resolution with encoder {encoder!r} and head {head!r}: logits must lie on a grid of"
            f" {decoder.stride} pixels, which this encoder does not have; choose another encoder or head"
        )
    wanted = MultiResolutionSettings().model_dump() | dict(multi_resolution)
    maps = {"class": num_classes, "single": 1, "none": 0}[wanted.pop("attention")]
    attention = kind(widths, maps, settings.model_copy(update=kind.as_attention)) if maps else None
    return MultiResolution(network, decoder, attention_head=attention, **wanted)


def normalisation(encoder: str) -> tuple[Colour, Colour]:
    """The mean and standard deviation of red, green and blue, in 0 to 255, that an encoder's pretrained weights expect.

    Raises:
        ValueError: If there is no such encoder.
    """
    if encoder not in ENCODERS:
        raise ValueError(f"unknown encoder {encoder!r}{nearest(encoder, list(ENCODERS))}")
    return ENCODERS[encoder].mean, ENCODERS[encoder].std
