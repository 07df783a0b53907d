"""Every normalisation of every network sees dense maps, and dense gradients in the same layout.

Batch normalisation of a view cut out of something larger, or of a map and a gradient whose layouts differ, falls
into a path that is ten to forty times slower on a CPU. It is looked for below the modules, so that the groups of
channels that a teacher normalises by themselves count, too.
"""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from segue.models.build import build_segmenter
from segue.models.encoders import ENCODERS
from segue.models.encoders.drn import DilatedResNet
from segue.models.encoders.encoder import Variant
from segue.models.encoders.resnet import ResNet
from segue.models.heads import HEADS
from segue.models.heads.daformer import FUSIONS
from segue.models.heads.deeplab import BRANCHES
from segue.types import HybridRules

FAMILIES = (
    "mit_nano",
    "mobilenet_v2",
    "resnet50_v1c",
    "resnet101_caffe",
    "drn_d_54",
    "dinov2_tiny",
    "dinov3_tiny",
    "vit_nano",
)
MAPPING = [name for name, head in HEADS.items() if not head.names_pictures]
"""The heads that name pixels; a single cell has no layout."""

CONTEXTS = [
    *(("daformer", context) for context in FUSIONS),
    *(("deeplab_v2", context) for context in BRANCHES),
    *((head, None) for head in MAPPING),
]
SIDE = 160
"""Pixels: 40 cells, which dilations 6, 12 and 18 do not divide and for which taking apart is worth its padding."""


class Watch(TorchDispatchMode):
    """Notes what normalisations are given and what is not dense among it."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.wrong: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if "norm" in name and any(kind in name for kind in ("batch", "layer", "group")):
            maps = [a for a in args if isinstance(a, Tensor) and a.ndim > 2]
            self.seen.append(name)
            if not are_alike(maps):
                self.wrong.append(f"{name} {[(tuple(m.shape), m.stride()) for m in maps]}")
        return func(*args, **(kwargs or {}))


def are_alike(maps: Sequence[Tensor]) -> bool:
    layouts = [torch.contiguous_format, *([torch.channels_last] if maps[0].ndim == 4 else [])]
    return any(all(m.is_contiguous(memory_format=layout) for m in maps) for layout in layouts)


@pytest.fixture(autouse=True)
def _shallow(monkeypatch: pytest.MonkeyPatch) -> None:
    one = (1, 1, 1, 1)
    monkeypatch.setitem(ENCODERS, "resnet50_v1c", Variant(lambda drop_path: ResNet(one)))
    monkeypatch.setitem(ENCODERS, "resnet101_caffe", Variant(lambda drop_path: ResNet(one, caffe=True)))
    monkeypatch.setitem(ENCODERS, "drn_d_54", Variant(lambda drop_path: DilatedResNet(one + one)))


def watched(encoder: str, head: str, context: str | None, *, detail: bool = False) -> Watch:
    window = {"detail": (SIDE // 2, SIDE // 2)} if detail else None
    network = build_segmenter(
        encoder, head, num_classes=3, channels=16, context=context, multi_resolution=window
    ).train()
    image = torch.rand(2, 3, SIDE, SIDE)
    with Watch() as watch:
        torch.stack([part.logits.square().mean() for part in network(image).supervised]).sum().backward()
        with torch.no_grad():
            network(image)
    return watch


@pytest.mark.slow
@pytest.mark.parametrize("encoder", FAMILIES)
@pytest.mark.parametrize("head", MAPPING)
def test_every_encoder_and_head(encoder: str, head: str) -> None:
    watch = watched(encoder, head, None)
    assert watch.seen
    assert not watch.wrong


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("head", "context"), CONTEXTS)
def test_every_context_with_one_and_with_several_threads(
    head: str, context: str | None, threads: int
) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    watch = watched("mit_nano", head, context)
    torch.set_num_threads(before)
    assert watch.seen
    assert not watch.wrong


def test_two_resolutions() -> None:
    watch = watched("mit_nano", "daformer", None, detail=True)
    assert "native_batch_norm_backward" in watch.seen
    assert not watch.wrong


def test_source_and_target_together() -> None:
    network = build_segmenter("mit_nano", "daformer", num_classes=3, channels=16).train()
    images = [torch.rand(1, 3, SIDE, SIDE) for _ in range(2)]
    with Watch() as watch:
        outputs = network.together(images, None, HybridRules())
        torch.stack([output.logits.square().mean() for output in outputs]).sum().backward()
    assert "native_batch_norm_backward" in watch.seen
    assert not watch.wrong


def test_every_kind_of_encoder_is_looked_at() -> None:
    kinds = {name.split("_")[0].rstrip("0123456789") for name in ENCODERS}
    assert kinds == {name.split("_")[0].rstrip("0123456789") for name in FAMILIES}
