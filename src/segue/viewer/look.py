"""What the networks of a run say of one picture: what is measured, and layers to be laid over the picture."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from PIL import Image
from torch import Tensor

from segue.classes import ClassList
from segue.evaluation.kept_pictures import size_within
from segue.evaluation.prediction_files import png
from segue.evaluation.unlabelled import Seen, entropy, sampled
from segue.ops.draw import colourise, heat
from segue.viewer.gallery import Facts
from segue.viewer.networks import Networks

DIFFERENT = (255, 96, 32, 255)
"""The colour, red to opacity, of pixels that are named otherwise."""


@dataclass(frozen=True)
class Look:
    """One picture, as seen by the networks.

    Attributes:
        layers: PNGs by name: "before", "after", "teacher", "confidence", "disagreement"; networks that are missing have
            none.
    """

    facts: Facts
    layers: dict[str, bytes]


def look(networks: Networks, image: UInt8[Tensor, "3 h w"]) -> Look:
    """Predict one picture with all networks."""
    classes = networks.after.classes
    probability = networks.after.probabilities(image[None])[0]
    highest = probability.max(dim=0)
    after, confidence = highest.indices.cpu(), highest.values.cpu()
    seen = sampled(probability)[None]
    del probability, highest  # of large pictures they take gigabytes
    ids = {"after": after}
    for name, model in (("before", networks.before), ("teacher", networks.teacher)):
        if model is not None:
            ids[name] = model.probabilities(image[None])[0].argmax(0).cpu()
    if "teacher" in ids:
        other = ids["teacher"]
    else:
        other = networks.after.probabilities(image[None].flip(-1))[0].argmax(0).flip(-1).cpu()
    different = after != other
    facts = Facts(
        entropy=round(entropy(Seen(seen, seen)), 4),
        doubt=round(1 - float(confidence.mean()), 4),
        disagreement=round(float(different.float().mean()), 4),
        changed=round(float((after != ids["before"]).float().mean()), 4) if "before" in ids else None,
        shares=_shares(after, classes),
    )
    layers = {name: _classes(found, classes) for name, found in ids.items()}
    return Look(facts, layers | {"confidence": _confidence(confidence), "disagreement": _marked(different)})


def _shares(ids: Tensor, classes: ClassList) -> dict[str, float]:
    shares = torch.bincount(ids.flatten(), minlength=len(classes)) / ids.numel()
    return {name: round(float(share), 6) for name, share in zip(classes.names, shares, strict=True) if share}


def _classes(ids: Tensor, classes: ClassList) -> bytes:
    return _drawn(Image.fromarray(colourise(ids, classes.colours)), Image.Resampling.NEAREST)


def _confidence(values: Float[Tensor, "h w"]) -> bytes:
    return _drawn(Image.fromarray(heat(values)), Image.Resampling.BILINEAR)


def _marked(different: Bool[Tensor, "h w"]) -> bytes:
    marked = np.zeros((*different.shape, 4), dtype=np.uint8)
    marked[different.numpy()] = DIFFERENT
    return _drawn(Image.fromarray(marked), Image.Resampling.NEAREST)


def _drawn(picture: Image.Image, resampling: Image.Resampling) -> bytes:
    size = size_within(picture.height, picture.width)
    return png(picture if size == picture.size else picture.resize(size, resampling), level=4)
