"""DRN-D-54 has the published size and names, its maps lie on the grids it states, and DeepLabV3+ decodes them."""

import torch

from segue.models.build import build_encoder, build_segmenter


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
