"""Checkpoints with every official list of names and shapes are recognised, complete both ways, or clearly refused."""

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.parity import checkpoint_shapes, to_foreign
from torch import Tensor

from segue.models import naming
from segue.models.build import build_segmenter
from segue.models.encoders.mit import MixTransformer
from segue.models.heads.segformer import SegformerHead
from segue.models.official import read_official
from segue.models.segmenter import Segmenter
from segue.models.settings import NetworkSettings

State = dict[str, Tensor]


def synthesised(fixtures_dir: Path, name: str) -> State:
    """Random numbers under official names, in official shapes; small numbers, so that files stay honest."""
    generator = torch.Generator().manual_seed(0)
    return {
        key: torch.tensor(7)
        if key.endswith("num_batches_tracked")
        else torch.rand(shape, generator=generator)
        for key, shape in checkpoint_shapes(fixtures_dir, name).items()
    }


def with_encoder(fixtures_dir: Path, head: str) -> State:
    encoder = synthesised(fixtures_dir, "mit_b5")
    return {f"backbone.{name}": value for name, value in encoder.items()} | synthesised(fixtures_dir, head)


@pytest.fixture
def saved(tmp_path: Path):
    def save(content: object) -> Path:
        path = tmp_path / "file.pth"
        torch.save(content, path)
        return path

    return save


FILES = {
    "segformer_b0_nvlabs": ("segformer", "mit_b0", naming.NVLABS),
    "segformer_b3_nvlabs": ("segformer", "mit_b3", naming.NVLABS),
    "transformers_segformer_b0_saved_file": ("segformer", "mit_b0", naming.HUGGING_FACE),
    "transformers_segformer_b0_in_memory": ("segformer", "mit_b0", naming.HUGGING_FACE_LOADED),
    "daformer_mitb5_sepaspp": ("daformer", "mit_b5", naming.MMSEG),
    "hrda_mitb5": ("hrda", "mit_b5", naming.MULTI_RESOLUTION),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", list(FILES))
def test_whole_networks_both_ways(fixtures_dir: Path, saved, name: str) -> None:
    kind, encoder, rules = FILES[name]
    official = synthesised(fixtures_dir, name)
    found = read_official(saved(official))
    assert (found.kind, found.network["encoder"], found.network["num_classes"]) == (kind, encoder, 19)
    network = build_segmenter(**found.network)
    network.load_state_dict(found.state)
    back = to_foreign(network.state_dict(), rules)
    kept = {
        key: value
        for key, value in official.items()
        if "decode_head.conv_seg" not in key or kind == "daformer"
    }
    assert back.keys() == kept.keys()
    assert all(torch.equal(back[key], value) for key, value in kept.items())


@pytest.mark.slow
@pytest.mark.parametrize("size", range(6))
def test_encoders(fixtures_dir: Path, saved, size: int) -> None:
    official = synthesised(fixtures_dir, f"mit_b{size}")
    found = read_official(
        saved({**official, "head.weight": torch.zeros(1000, 8), "head.bias": torch.zeros(1000)})
    )
    assert (found.kind, found.network) == ("encoder", {"encoder": f"mit_b{size}"})
    assert found.state.keys() == official.keys()


@pytest.mark.slow
@pytest.mark.parametrize("context", ["aspp", "conv1", "isa", "sepaspp_bottleneck"])
def test_other_contexts(fixtures_dir: Path, saved, context: str) -> None:
    found = read_official(saved(with_encoder(fixtures_dir, f"head_daformer_{context}_mitb5")))
    assert found.network["context"] == context and found.kind == "daformer"


def checkpoint(state: State) -> dict[str, object]:
    """Laid out as the official training code saves it."""
    both = {f"{prefix}.{key}": value for key, value in state.items() for prefix in ("model", "imnet_model")}
    teacher = {f"ema_model.{key}": value + 1 for key, value in state.items()}
    meta = {
        "CLASSES": tuple(f"class {i}" for i in range(19)),
        "PALETTE": [[i, 0, 0] for i in range(19)],
        "iter": 40000,
    }
    optimizer = {"state": {0: {"step": 3, "exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 0.1}]}
    return {"meta": meta, "state_dict": both | teacher, "optimizer": optimizer}


@pytest.fixture(scope="module")
def small(fixtures_dir: Path) -> State:
    return synthesised(fixtures_dir, "segformer_b0_nvlabs")


def test_student_and_teacher_of_a_checkpoint(saved, small: State) -> None:
    path = saved(checkpoint(small))
    student, teacher = read_official(path), read_official(path, part="teacher")
    assert (student.part, teacher.part) == ("student", "teacher")
    assert student.step == 40000 and student.classes[3] == "class 3" and student.colours[2] == [2, 0, 0]
    name = "encoder.norm1.weight"
    assert torch.equal(student.state[name] + 1, teacher.state[name])
    distributed = {f"module.{key}": value for key, value in small.items()}
    assert read_official(saved({"state_dict": distributed})).part is None


def test_new_mmsegmentation_s_names(saved, small: State) -> None:
    new: State = {}
    for key, value in small.items():
        new |= _renamed(key, value)
    for key in [key for key in new if key.endswith("attn.q.weight") or key.endswith("attn.q.bias")]:
        kv = key.replace("attn.q.", "attn.kv.")
        new[key.replace("attn.q.", "attn.attn.in_proj_")] = torch.cat([new.pop(key), new.pop(kv)])
    found, expected = read_official(saved(new)), read_official(saved(small))
    assert found.network == expected.network
    assert all(torch.equal(found.state[key], value) for key, value in expected.state.items())


def _renamed(key: str, value: Tensor) -> State:
    import re

    match = re.fullmatch(r"backbone\.(patch_embed|block|norm)(\d)\.(.+)", key)
    if match is None:
        return {key: value}
    front = f"backbone.layers.{int(match[2]) - 1}."
    if match[1] == "patch_embed":
        return {front + "0." + match[3].replace("proj.", "projection."): value}
    if match[1] == "norm":
        return {front + "2." + match[3]: value}
    rest = (
        match[3].replace("mlp.dwconv.dwconv.", "ffn.layers.1.").replace("attn.proj.", "attn.attn.out_proj.")
    )
    for ours, theirs in (("mlp.fc1.", "ffn.layers.0."), ("mlp.fc2.", "ffn.layers.4.")):
        if ours in rest:
            rest = rest.replace(ours, theirs)
            value = value[:, :, None, None] if rest.endswith("weight") else value
    return {front + "1." + rest: value}


def test_hugging_face_numbers(tmp_path: Path) -> None:
    """The library's own logits from the file it saves, but for its layer norms: 1e-5 where the original adds 1e-6."""
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 2, 1], "num_attention_heads": [1, 2, 3, 4]}
    config = transformers.SegformerConfig(**sizes, decoder_hidden_size=16, num_labels=19)
    generator = torch.Generator().manual_seed(3)
    theirs = transformers.SegformerForSemanticSegmentation(config).eval()
    for name, value in theirs.state_dict().items():  # nothing stays at the zeros and ones that it begins with
        if value.is_floating_point():
            value.copy_(torch.randn(value.shape, generator=generator) * 0.3)
        if name.endswith("running_var"):
            value.abs_().add_(0.1)
    theirs.save_pretrained(tmp_path)

    encoder = MixTransformer((8, 16, 24, 32), (1, 1, 2, 1), heads=(1, 2, 3, 4), drop_path=0.0)
    network = Segmenter(encoder, SegformerHead(encoder.out_channels, 19, NetworkSettings(channels=16))).eval()
    saved = load_file(tmp_path / "model.safetensors")
    state, left = naming.to_ours(saved, list(network.state_dict()), naming.HUGGING_FACE)
    assert not left
    network.load_state_dict(state)
    image = torch.rand(2, 3, 96, 64, generator=generator)
    with torch.no_grad():
        logits, expected = network(image).logits, theirs(image).logits
    assert float((logits - expected).abs().max()) < 1e-3 * float(expected.abs().max())


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_a_malicious_file_is_refused_without_running_it(tmp_path: Path, saved) -> None:
    trace = tmp_path / "exploded"
    for content in ({"state_dict": Bomb(trace)}, {"meta": Bomb(trace), "state_dict": {}}):
        with pytest.raises(ValueError, match=r"refused: to open it, .* would have to be run"):
            read_official(saved(content))
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Bomb(trace), protocol=2))
    with pytest.raises(ValueError, match=r"plain\.pth"):
        read_official(tmp_path / "plain.pth")
    assert not trace.exists()


def test_strange_files_are_refused(tmp_path: Path, saved, small: State) -> None:
    cases = [
        ({}, "holds no named tensors"),
        ({"state_dict": {"a.weight": torch.zeros(1)}}, r"not a checkpoint that is known here \(.*a.weight"),
        (
            {"backbone.x": torch.zeros(1), "decode_head.y": torch.zeros(1)},
            "no mix transformer of a known size",
        ),
        (
            {key: v for key, v in small.items() if key != "backbone.norm2.bias"},
            r"1 missing \(encoder.norm2.bias\)",
        ),
        ({**small, "backbone.extra": torch.zeros(1)}, r"1 unexpected \(backbone.extra\)"),
        ({**small, "backbone.norm2.bias": torch.zeros(3)}, r"1 of another shape \(encoder.norm2.bias\)"),
        ({f"ema_model.{key}": v for key, v in small.items()}, "holds no student, only the teacher"),
    ]
    for content, message in cases:
        with pytest.raises(ValueError, match=message):
            read_official(saved(content))
    with pytest.raises(ValueError, match="one network, which is no teacher"):
        read_official(saved(small), part="teacher")
    path = saved(small)
    (tmp_path / "cut.pth").write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ValueError, match=r"cut.pth: damaged"):
        read_official(tmp_path / "cut.pth")
    with pytest.raises(FileNotFoundError, match="no such weights file"):
        read_official(tmp_path / "missing.pth")
