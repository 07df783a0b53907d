"""Networks that name whole pictures: one cell from every encoder, ImageNet's weights, rates by group."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tests.tiny import tiny

from segue.engine.build import build_method, build_student
from segue.engine.optim import Optimisers
from segue.evaluation.predictors import predictor_of
from segue.models.build import build_segmenter
from segue.models.encoders.plain_vit import PlainVit
from segue.models.encoders.resnet import ResNet
from segue.protocol import PredictionProtocol


@pytest.mark.parametrize("encoder", ["resnet50", "vit_nano", "mit_nano", "mobilenet_v2", "dinov2_tiny"])
def test_every_family_gives_one_cell_and_leaves_no_weight_unused(encoder: str) -> None:
    """Logits and embedding are single cells, and every parameter has a part in them, as processes demand."""
    if encoder.startswith("dino"):
        pytest.importorskip("transformers")
    network = build_segmenter(encoder, "bottleneck", num_classes=5, channels=8)
    output = network(torch.randn(2, 3, 64, 64))
    assert output.logits.shape == (2, 5, 1, 1) and output.embedding.shape == (2, 8, 1, 1)
    output.logits.square().sum().backward()
    assert not [name for name, parameter in network.named_parameters() if parameter.grad is None]


def test_a_vit_is_summed_up_by_its_class_token_and_a_resnet_by_its_mean() -> None:
    torch.manual_seed(0)
    image = torch.randn(2, 3, 32, 48)
    vit = PlainVit(32, 4, 2).eval()
    tokens = vit.vit.embedded(image, (2, 3))
    for block in vit.vit.blocks:
        tokens = block(tokens)
    assert torch.allclose(vit.summary(image).flatten(1), vit.vit.norm(tokens)[:, 0], atol=1e-6)
    resnet = ResNet((1, 1, 1, 1), plain=True).eval()
    assert torch.allclose(resnet.summary(image).flatten(1), resnet(image)[-1].mean((2, 3)))


def test_the_plain_resnet_has_the_published_strides_names_and_size() -> None:
    resnet = ResNet((3, 4, 6, 3), plain=True)
    maps = resnet(torch.randn(1, 3, 64, 64))
    assert [64 // level.shape[-1] for level in maps] == [4, 8, 16, 32]
    names = set(resnet.state_dict())
    assert {
        "conv1.weight",
        "bn1.running_mean",
        "layer1.0.downsample.0.weight",
        "layer4.2.conv3.weight",
    } <= names
    # ResNet-50's 25 557 032 parameters without the 2 049 000 of its classifier.
    assert sum(parameter.numel() for parameter in resnet.parameters()) == 23_508_032


OLDER = {
    "layers.": "encoder.layer.",
    "attention.q_proj": "attention.attention.query",
    "attention.k_proj": "attention.attention.key",
    "attention.v_proj": "attention.attention.value",
    "attention.o_proj": "attention.output.dense",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}
"""Names of version 5 of transformers, and those that files have."""


@pytest.mark.parametrize("names", [{}, OLDER], ids=["of version 5", "of files"])
def test_weights_of_transformers_fill_a_vit_and_compute_the_same(
    tmp_path: Path, names: dict[str, str]
) -> None:
    """A file in the names of transformers' ViT gives that library's class token."""
    library = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = library.ViTConfig(
        hidden_size=32, num_hidden_layers=4, num_attention_heads=2, intermediate_size=128, layer_norm_eps=1e-6
    )
    theirs = library.ViTModel(config, add_pooling_layer=False).eval()
    state = {f"vit.{name}": value for name, value in theirs.state_dict().items()}
    for new, old in names.items():
        state = {name.replace(new, old): value for name, value in state.items()}
    save_file(state | {"classifier.weight": torch.zeros(3, 32)}, tmp_path / "vit.safetensors")
    from segue.models.weights import load_encoder

    ours = PlainVit(32, 4, 2).eval()
    load_encoder(ours, tmp_path / "vit.safetensors")
    image = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        expected = theirs(image).last_hidden_state[:, 0]
        assert torch.allclose(ours.summary(image).flatten(1), expected, atol=1e-5)


def test_head_and_bottleneck_learn_ten_times_as_fast() -> None:
    wanted = tiny("sdat")
    optimisers = Optimisers(build_method(wanted, build_student(wanted)), wanted.optim, steps=10)
    optimisers.set_rates(0)
    *slow, fast = optimisers.by_name["optimizer"].param_groups
    assert {round(fast["lr"] / group["lr"]) for group in slow} == {10}
    assert {group["weight_decay"] for group in (*slow, fast)} == {1e-3}
    head = sum(parameter.numel() for parameter in build_student(wanted).head.parameters())
    assert sum(parameter.numel() for parameter in fast["params"]) == head
    optimisers.set_rates(1000)
    assert fast["lr"] == pytest.approx(fast["base_lr"] * 2**-0.75)


def test_only_the_middle_of_a_picture_is_seen_at_the_exact_size() -> None:
    """A picture is brought to the box whatever its shape; what lies outside of the middle window changes nothing."""
    network = build_segmenter("vit_nano", "bottleneck", num_classes=5, channels=8)
    protocol = PredictionProtocol(window=(32, 32), mode="middle", resize=(64, 64))
    predict = predictor_of(network, protocol)
    image = torch.randn(1, 3, 64, 64)
    changed = image.clone()
    changed[..., :16, :] = 0
    assert predict(image).shape == (1, 5, 1, 1)
    assert torch.equal(predict(image), predict(changed))
    changed[..., 30, 30] = 9
    assert not torch.equal(predict(image), predict(changed))
    assert predict(torch.randn(1, 3, 20, 100)).shape == (1, 5, 1, 1)
