"""Both forms of ResNet and DRN-D-54 have the papers' grids, sizes and names, and read the files that exist for them."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from segue.engine.optim import parameter_groups
from segue.models.build import build_encoder, build_segmenter, normalisation
from segue.models.encoders.resnet import ResNet
from segue.models.weights import load_encoder

WIDTHS = (256, 512, 1024, 2048)


def small(*, caffe: bool = False) -> ResNet:
    return ResNet((1, 2, 2, 2), caffe=caffe)


def on_meta(name: str):
    with torch.device("meta"):
        return build_encoder(name)


def grids(network, size) -> list[tuple[int, ...]]:
    features = network.to("meta")(torch.empty(2, 3, *size, device="meta"))
    assert tuple(maps.shape[1] for maps in features) == network.out_channels == WIDTHS
    return [tuple(maps.shape[-2:]) for maps in features]


@pytest.mark.parametrize("size", [(512, 1024), (70, 91)])
def test_deep_stem_grids(size):
    expected = [tuple(-(-side // stride) for side in size) for stride in ResNet((1, 1, 1, 1)).strides]
    assert grids(small(), size) == expected


@pytest.mark.parametrize(
    ("size", "fine", "coarse"),
    [((512, 1024), (129, 257), (65, 129)), ((70, 91), (18, 24), (9, 12)), ((321, 321), (81, 81), (41, 41))],
)
def test_caffe_grids(size, fine, coarse):
    assert grids(small(caffe=True), size) == [fine, coarse, coarse, coarse]


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("resnet101_caffe", 42_500_160),  # the specification of DeepLabV2's trunk
        ("resnet101_v1c", 42_500_160 + 19_232),  # the deep stem has 28 768 instead of 9536
        ("resnet50_v1c", 25_557_032 - 2_049_000 + 19_232),  # torchvision's without classifier
    ],
)
def test_parameter_counts(name, count):
    assert sum(parameter.numel() for parameter in on_meta(name).parameters()) == count


def test_names_of_the_deep_stem_are_official():
    names = set(on_meta("resnet101_v1c").state_dict())
    stem = {f"stem.{i}.weight" for i in (0, 1, 3, 4, 6, 7)}
    assert {n for n in names if n.startswith("stem.") and n.endswith(".weight")} == stem
    blocks = {tuple(name.split(".")[:2]) for name in names if name.startswith("layer")}
    assert len(blocks) == 3 + 4 + 23 + 3
    inside = {name.split(".", 2)[2] for name in names if name.startswith("layer3.0.")}
    layers = ["conv1", "conv2", "conv3", "downsample.0"]
    norms = ["bn1", "bn2", "bn3", "downsample.1"]
    tensors = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    assert inside == {f"{layer}.weight" for layer in layers} | {f"{n}.{t}" for n in norms for t in tensors}
    assert "layer3.1.downsample.0.weight" not in names


def dilations(network: ResNet, stage: int) -> list[tuple[int, int, int]]:
    blocks = network.get_submodule(f"layer{stage}")
    return [(block.conv2.dilation[0], block.conv1.stride[0], block.conv2.stride[0]) for block in blocks]


def test_dilation_and_stride_of_the_deep_stem():
    network = small()
    assert dilations(network, 2) == [(1, 1, 2), (1, 1, 1)]
    assert dilations(network, 3) == [(1, 1, 1), (2, 1, 1)]  # contracted in the first block
    assert dilations(network, 4) == [(2, 1, 1), (4, 1, 1)]


def test_dilation_and_stride_of_caffe():
    network = small(caffe=True)
    assert dilations(network, 2) == [(1, 2, 1), (1, 1, 1)]
    assert dilations(network, 3) == [(2, 1, 1)] * 2
    assert dilations(network, 4) == [(4, 1, 1)] * 2


@pytest.mark.parametrize("caffe", [False, True])
def test_gradients_reach_everything_that_learns(caffe):
    network = small(caffe=caffe)
    sum(maps.mean() for maps in network(torch.rand(2, 3, 33, 40))).backward()
    frozen = {name for name, parameter in network.named_parameters() if not parameter.requires_grad}
    norms = {name for name, parameter in network.named_parameters() if parameter.ndim == 1}
    assert frozen == (norms if caffe else set())
    assert all(p.grad is not None for p in network.parameters() if p.requires_grad)


def test_caffes_statistics_move_and_its_frozen_norms_are_not_optimised():
    network = build_segmenter("resnet101_caffe", "deeplab_v2", num_classes=2)
    before = network.encoder.bn1.running_mean.clone()
    network.encoder.bn1(torch.rand(2, 64, 3, 3))
    assert not torch.equal(network.encoder.bn1.running_mean, before)
    groups = parameter_groups(network, lr=1.0, head_factor=10.0, weight_decay=0.0)
    assert [group["lr"] for group in groups] == [1.0, 10.0]
    assert all(parameter.ndim == 4 for parameter in groups[0]["params"])


def test_caffe_sees_blue_green_red():
    mean, std = normalisation("resnet101_caffe")
    assert (mean[::-1], std) == ((104.00698793, 116.66876762, 122.67891434), (1.0, 1.0, 1.0))
    network = small(caffe=True).eval()
    torch.nn.init.zeros_(network.conv1.weight)
    with torch.no_grad():
        network.conv1.weight[:, 0, 3, 3] = 1.0
        red, blue = torch.zeros(1, 3, 16, 16), torch.zeros(1, 3, 16, 16)
        red[:, 0], blue[:, 2] = 1.0, 1.0
        nothing = network(torch.zeros(1, 3, 16, 16))[0]
        assert torch.equal(network(red)[0], nothing)
        assert not torch.equal(network(blue)[0], nothing)


@pytest.mark.parametrize("prefix", ["", "Scale."], ids=["coco", "init"])
def test_caffe_files(tmp_path: Path, prefix):
    source, network = small(caffe=True), small(caffe=True)
    kept = {k: v for k, v in source.state_dict().items() if not k.endswith("num_batches_tracked")}
    heads = {f"layer5.conv2d_list.{i}.weight": torch.zeros(21, 2048, 3, 3) for i in range(4)}
    torch.save({prefix + name: value for name, value in {**kept, **heads}.items()}, tmp_path / "init.pth")
    load_encoder(network, tmp_path / "init.pth")
    assert all(torch.equal(a, b) for a, b in zip(source.parameters(), network.parameters(), strict=True))


def test_torchvisions_file_is_rewritten_for_caffes_colours(tmp_path: Path):
    network, source = small(caffe=True), small(caffe=True)
    with torch.no_grad():
        source.conv1.weight.mul_(100)
    save_file({**source.state_dict(), "fc.weight": torch.zeros(1000, 2048)}, tmp_path / "resnet.safetensors")
    load_encoder(network, tmp_path / "resnet.safetensors")
    assert torch.equal(network.layer1[0].conv1.weight, source.layer1[0].conv1.weight)
    picture = torch.rand(1, 3, 24, 24) * 255
    mean, std = (torch.tensor(part)[:, None, None] for part in normalisation("resnet101_v1c"))
    expected = source.conv1((picture - mean) / std)
    found = network.conv1((picture - mean).flip(1))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)


def test_the_deep_stems_file(tmp_path: Path):
    source, network = small(), small()
    state = {**source.state_dict(), "fc.weight": torch.zeros(1000, 2048), "fc.bias": torch.zeros(1000)}
    torch.save({"state_dict": state, "meta": {}}, tmp_path / "v1c.pth")
    load_encoder(network, tmp_path / "v1c.pth")
    assert all(torch.equal(a, b) for a, b in zip(source.parameters(), network.parameters(), strict=True))


def test_forms_are_not_confused(tmp_path: Path):
    save_file(small(caffe=True).state_dict(), tmp_path / "caffe.safetensors")
    with pytest.raises(ValueError, match=r"caffe\.safetensors: not the weights of this ResNet"):
        load_encoder(small(), tmp_path / "caffe.safetensors")


def librarys_name(name: str) -> str:
    name = name.replace("conv1.", "embedder.embedder.convolution.", 1) if name.startswith("conv1") else name
    name = name.replace("bn1.", "embedder.embedder.normalization.", 1) if name.startswith("bn1") else name
    parts = name.split(".")
    if not parts[0].startswith("layer"):
        return name
    stage, block, kind, *rest = parts
    if kind == "downsample":
        place = "shortcut." + ("convolution", "normalization")[int(rest.pop(0))]
    else:
        place = f"layer.{int(kind[-1]) - 1}." + {"conv": "convolution", "bn": "normalization"}[kind[:-1]]
    return ".".join([f"encoder.stages.{int(stage[-1]) - 1}.layers.{block}", place, *rest])


@pytest.mark.slow
def test_undilated_stages_equal_the_transformers_librarys():
    """Its ResNet can carry the stride in the first 1x1 convolution; at 61 pixels both ways of pooling agree."""
    from transformers import ResNetConfig, ResNetModel

    torch.manual_seed(0)
    ours = small(caffe=True).eval()
    config = ResNetConfig(depths=[1, 2, 2, 2], downsample_in_bottleneck=True)
    peer = ResNetModel(config).eval()
    state = {librarys_name(name): value for name, value in ours.state_dict().items()}
    for name, value in state.items():
        if name.endswith("running_mean"):
            value.normal_()
    peer.load_state_dict(state)
    image = torch.randn(2, 3, 61, 61)
    with torch.no_grad():
        features = ours(image)
        expected = peer(image.flip(1), output_hidden_states=True).hidden_states
    for own, other in zip(features[:2], expected[1:3], strict=True):
        torch.testing.assert_close(own, other, rtol=1e-4, atol=1e-4)


def test_it_has_the_published_size_and_names() -> None:
    encoder = build_encoder("drn_d_54")
    with_classifier = sum(p.numel() for p in encoder.parameters()) + 512 * 1000 + 1000
    assert with_classifier == 35_809_176
    names = set(encoder.state_dict())
    assert {
        "layer0.0.weight",
        "layer1.1.bias",
        "layer3.0.downsample.0.weight",
        "layer5.5.conv2.weight",
    } <= names
    assert {"layer7.0.weight", "layer8.1.running_var"} <= names and "layer5.0.downsample.0.weight" in names
    state = {**encoder.state_dict(), "fc.weight": torch.zeros(1000, 512, 1, 1), "fc.bias": torch.zeros(1000)}
    assert encoder.translated(state).keys() == names


def test_maps_and_dilations() -> None:
    encoder = build_encoder("drn_d_54").eval()
    with torch.no_grad():
        maps = encoder(torch.randn(1, 3, 64, 96))
    assert [tuple(one.shape[1:]) for one in maps] == [
        (256, 16, 24),
        (512, 8, 12),
        (2048, 8, 12),
        (512, 8, 12),
    ]
    assert tuple(one.shape[1] for one in maps) == encoder.out_channels
    dilations = [encoder.get_submodule(f"layer{level}.0.conv2").dilation for level in range(3, 7)]
    assert dilations == [(1, 1), (1, 1), (2, 2), (4, 4)]
    plain = [encoder.get_submodule(f"layer{level}.0").dilation for level in (7, 8)]
    assert plain == [(2, 2), (1, 1)]


def test_the_posters_student_predicts() -> None:
    network = build_segmenter("drn_d_54", "deeplab_v3plus", num_classes=5, channels=16).eval()
    with torch.no_grad():
        assert network(torch.randn(1, 3, 64, 64)).logits.shape == (1, 5, 16, 16)
