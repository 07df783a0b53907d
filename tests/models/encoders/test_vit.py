"""DINOv2 and DINOv3 give four maps of the usual grids, train, load the library's files strictly, and are saved."""

import copy
import json
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from segue.engine.optim import parameter_groups
from segue.methods.teachers.average import AverageSettings, EmaTeacher
from segue.models.build import build_encoder, build_segmenter, normalisation
from segue.models.segmenter import segmentation_loss
from segue.models.weights import Card, load_encoder, load_model, save_model
from segue.protocol import PredictionProtocol
from segue.types import View

pytestmark = pytest.mark.slow  # importing the library takes seconds
FAMILIES = ["dinov2_tiny", "dinov3_tiny"]


def segmenter(encoder: str, **options):
    return build_segmenter(encoder, "daformer", num_classes=3, channels=8, **options)


@pytest.mark.parametrize("encoder", FAMILIES)
@pytest.mark.parametrize("size", [(64, 96), (56, 112), (70, 91), (33, 17), (512, 512)])
def test_grids_and_widths(encoder, size):
    network = build_encoder(encoder).to("meta")
    features = network(torch.empty(2, 3, *size, device="meta"))
    expected = [tuple(-(-side // stride) for side in size) for stride in (4, 8, 16, 32)]
    assert [tuple(maps.shape[-2:]) for maps in features] == expected
    assert tuple(maps.shape[1] for maps in features) == network.out_channels == (8, 16, 32, 32)


@pytest.mark.parametrize(
    ("encoder", "vit"),
    [
        ("dinov2_small", 22_056_192),
        ("dinov2_base", 86_579_712),
        ("dinov2_large", 304_367_616),
        ("dinov3_small", 21_596_160),
        ("dinov3_base", 85_659_648),
        ("dinov3_large", 303_128_576),
    ],
)
def test_parameter_counts(encoder, vit):
    with torch.device("meta"):
        network = build_encoder(encoder)
    dim = network.out_channels[-1]
    pyramid = 4 * dim * (dim // 2) * 2 + 4 * (dim // 2) * (dim // 4) + 3 * (dim // 2 + dim // 2 + dim // 4)
    assert sum(p.numel() for p in network.vit.parameters()) == vit
    assert sum(p.numel() for p in network.pyramid_head.parameters()) == pyramid


@pytest.mark.parametrize("encoder", FAMILIES)
def test_the_maps_are_those_of_the_quarters(encoder):
    """The coarsest map holds the last block's normalised patches and nothing that is random."""
    network = build_encoder(encoder).eval()
    side = 4 * network.patch
    image = torch.rand(1, 3, side, side)
    with torch.no_grad():
        maps = network.vit(image).feature_maps
        features = network(image)
    assert [tuple(level.shape) for level in maps] == [(1, 32, 4, 4)] * 4
    expected = torch.nn.functional.adaptive_avg_pool2d(maps[-1], features[-1].shape[-2:])
    torch.testing.assert_close(features[-1], expected)
    assert maps[-1].mean(dim=1).abs().max() < 1e-5
    assert not torch.equal(maps[0], maps[-1])


@pytest.mark.parametrize("encoder", FAMILIES)
def test_one_training_step(encoder):
    torch.manual_seed(0)
    network = segmenter(encoder)
    groups = parameter_groups(network, lr=1e-4, head_factor=10.0, weight_decay=0.01)
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    fast = {name for name, p in network.named_parameters() if rates[id(p)] > 1e-4}
    assert fast == {n for n in rates_of(network) if n.startswith(("head.", "encoder.pyramid_head."))}
    teacher = EmaTeacher(AverageSettings(), network)
    view = View("source", torch.rand(2, 3, 40, 52), torch.randint(0, 3, (2, 40, 52)))
    loss = segmentation_loss(network(view.image), view)
    loss.backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    before = copy.deepcopy(network.state_dict())
    torch.optim.AdamW(groups).step()
    assert any(not torch.equal(value, before[name]) for name, value in network.state_dict().items())
    teacher.follow(network, None, 0)
    assert teacher(view.image).logits.isfinite().all()
    assert torch.equal(teacher(view.image).features[-1], teacher(view.image).features[-1])


def rates_of(network) -> set[str]:
    return {name for name, _ in network.named_parameters()}


@pytest.mark.parametrize("encoder", FAMILIES)
def test_stochastic_depth(encoder):
    image = torch.rand(4, 3, 64, 64)
    still, moving = build_encoder(encoder, drop_path=0.0), build_encoder(encoder, drop_path=0.5)
    assert torch.equal(still(image)[-1], still(image)[-1])
    assert not torch.equal(moving(image)[-1], moving(image)[-1])
    assert torch.equal(moving.eval()(image)[-1], moving(image)[-1])


@pytest.fixture
def folder(request, tmp_path: Path) -> Path:
    """What the library's save_pretrained writes, under the names of files on its hub."""
    source = build_encoder(request.param)
    library = type(source.vit)(copy.deepcopy(source.vit.config))
    library.load_state_dict(source.vit.state_dict(), strict=False)
    library.embeddings.mask_token.data.fill_(7.0)
    library.save_pretrained(tmp_path / "hub")
    torch.save(source.vit.state_dict(), tmp_path / "state.pth")
    return tmp_path / "hub"


@pytest.mark.parametrize(("folder", "encoder"), [(f, f) for f in FAMILIES], indirect=["folder"])
@pytest.mark.parametrize("single_file", [False, True])
def test_the_librarys_files(folder, encoder, single_file, capfd):
    assert json.loads((folder / "config.json").read_text())["hidden_size"] == 32
    names = set(load_file(folder / "model.safetensors"))
    hub = {"dinov2_tiny": "encoder.layer.0.attention.attention.query.weight"}
    assert hub.get(encoder, "layer.0.attention.q_proj.weight") in names
    network = build_encoder(encoder)
    pyramid = copy.deepcopy(network.pyramid_head.state_dict())
    capfd.readouterr()
    load_encoder(network, folder / "model.safetensors" if single_file else folder)
    assert capfd.readouterr().err == ""
    expected = torch.load(folder.parent / "state.pth", weights_only=True)
    assert expected.keys() == network.vit.state_dict().keys()
    assert all(torch.equal(value, expected[name]) for name, value in network.vit.state_dict().items())
    assert all(torch.equal(value, pyramid[name]) for name, value in network.pyramid_head.state_dict().items())


@pytest.mark.parametrize(("folder", "encoder"), [(f, f) for f in FAMILIES], indirect=["folder"])
def test_files_that_do_not_fit(folder, encoder):
    state = load_file(folder / "model.safetensors")
    state["surprise"] = state.pop(next(name for name in state if name.endswith("norm1.bias")))
    changed = next(name for name in state if name.endswith("norm2.bias"))
    state[changed] = torch.zeros(3)
    save_file({name: value.half() for name, value in state.items()}, folder / "model.safetensors")
    with pytest.raises(ValueError, match=r"hub: not the weights of this \w+Backbone") as caught:
        load_encoder(build_encoder(encoder), folder)
    message = str(caught.value)
    assert "1 missing" in message
    assert "norm1.bias" in message
    assert "1 unexpected (surprise)" in message
    assert "1 of another shape" in message


def test_a_folder_without_weights(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors: no such weights file"):
        load_encoder(build_encoder("dinov3_tiny"), tmp_path)


@pytest.mark.parametrize("encoder", FAMILIES)
def test_model_round_trip(tmp_path: Path, encoder):
    """A loaded model is built without memory: buffers such as DINOv3's frequencies come from the file too."""
    arguments = {"encoder": encoder, "head": "daformer", "num_classes": 2, "channels": 8}
    network = build_segmenter(**arguments)
    mean, std = normalisation(encoder)
    card = Card(
        ["a", "b"], [[0, 0, 0], [9, 9, 9]], mean, std, arguments, PredictionProtocol((64, 64)), "daformer", 1
    )
    save_model(tmp_path / "model", network, card)
    loaded, _ = load_model(tmp_path / "model")
    assert not any(value.is_meta for value in [*loaded.parameters(), *loaded.buffers()])
    image = torch.rand(1, 3, 50, 70)
    assert torch.equal(loaded(image).logits, network.eval()(image).logits)


def test_without_the_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ValueError, match=r"pip install 'segue-uda\[vit\]'"):
        build_encoder("dinov3_base")
