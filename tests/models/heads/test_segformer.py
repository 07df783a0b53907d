"""SegFormer's head equals DAFormer's copy of it, and after a change of names and order NVIDIA's original."""

from pathlib import Path

import pytest
import torch
from tests.parity import checkpoint_shapes, numbers, to_foreign

from segue.models.build import build_segmenter
from segue.models.heads.segformer import SegformerHead
from segue.models.naming import NVLABS, to_ours
from segue.models.settings import NetworkSettings


@pytest.fixture
def official(fixtures_dir: Path):
    features = numbers(fixtures_dir, "daformer_head_tiny")
    own = numbers(fixtures_dir, "segformer_head_tiny")
    return own | {name: value for name, value in features.items() if name.startswith("feat")}


def tiny() -> SegformerHead:
    return SegformerHead((8, 16, 24, 32), 19, NetworkSettings(channels=16)).eval()


def features_of(data):
    return [data[f"feat{level}"] for level in range(1, 5)]


def test_logits(official):
    head = tiny()
    state = {k.removeprefix("state/"): v for k, v in official.items() if k.startswith("state/")}
    head.load_state_dict({k: v for k, v in state.items() if not k.startswith("conv_seg.")})
    logits, embedding = head(features_of(official))
    torch.testing.assert_close(logits[..., ::2, ::2], official["logits_eval_every2"], atol=1e-5, rtol=0)
    assert embedding.shape == (2, 16, 16, 24)


def test_nvlabs_weights(official):
    prefix = "nvlabs/state/"
    foreign = {
        f"decode_head.{k.removeprefix(prefix)}": v for k, v in official.items() if k.startswith(prefix)
    }
    head = tiny()
    found, left = to_ours(foreign, [f"head.{name}" for name in head.state_dict()], NVLABS)
    assert all("conv_seg" in name for name in left)
    head.load_state_dict({k.removeprefix("head."): v for k, v in found.items()})
    logits, _ = head(features_of(official))
    torch.testing.assert_close(
        logits[..., ::2, ::2], official["nvlabs/logits_eval_every2"], atol=1e-5, rtol=0
    )

    back = to_foreign({f"head.{k}": v for k, v in head.state_dict().items()}, NVLABS)
    kept = {k: v for k, v in foreign.items() if "conv_seg" not in k}
    assert back.keys() == kept.keys()
    assert all(torch.equal(back[k], v) for k, v in kept.items())


@pytest.mark.parametrize("size", range(6))
def test_nvlabs_names_and_shapes(fixtures_dir: Path, size):
    keys = checkpoint_shapes(fixtures_dir, f"segformer_b{size}_nvlabs")
    official = {k: tuple(v) for k, v in keys.items() if "conv_seg" not in k}
    with torch.device("meta"):
        network = build_segmenter(
            f"mit_b{size}", "segformer", num_classes=19, channels=256 if size < 2 else 768
        )
    assert {k: tuple(v.shape) for k, v in to_foreign(network.state_dict(), NVLABS).items()} == official


def test_names_and_shapes_of_daformers_copy(fixtures_dir: Path):
    keys = checkpoint_shapes(fixtures_dir, "head_segformer_b5")
    official = {k.removeprefix("decode_head."): tuple(v) for k, v in keys.items() if "conv_seg" not in k}
    with torch.device("meta"):
        own = SegformerHead((64, 128, 320, 512), 19, NetworkSettings(channels=768)).state_dict()
    assert {k: tuple(v.shape) for k, v in own.items()} == official
