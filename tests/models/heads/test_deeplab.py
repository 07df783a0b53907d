"""DeepLab's heads: numbers of the code that everybody copied, official names, any size, gradients everywhere."""

from pathlib import Path

import pytest
import torch
from tests.parity import checkpoint_shapes, numbers

from segue.models.build import build_segmenter
from segue.models.heads.deeplab import BRANCHES, DeepLabV2Head, DeepLabV3PlusHead
from segue.models.settings import NetworkSettings

RESNET = (256, 512, 1024, 2048)
SMALL = (8, 12, 16, 20)


@pytest.fixture(scope="module")
def official(fixtures_dir: Path):
    return numbers(fixtures_dir, "deeplab_v2_head")


@pytest.mark.parametrize("context", BRANCHES)
def test_numbers_of_the_published_code(official, context):
    head = DeepLabV2Head((5,), 4, NetworkSettings(context=context))
    head.load_state_dict(
        {
            name: official[name.replace("aspp_modules.", "state/conv2d_list.").replace(".conv.", ".")]
            for name in head.state_dict()
        }
    )
    features = official["input"].clone().requires_grad_()
    logits, embedding = head([features])
    assert embedding is features
    logits.square().sum().backward()
    torch.testing.assert_close(logits, official[f"{context}_branches/out"], rtol=1e-5, atol=1e-5)
    gradient = official[f"{context}_branches/grad_input"]
    assert (features.grad - gradient).abs().max() <= 1e-4 * gradient.abs().max()


def named_as_official(fixtures_dir: Path, file: str, head: torch.nn.Module) -> bool:
    keys = checkpoint_shapes(fixtures_dir, file)
    expected = {name.removeprefix("decode_head."): tuple(shape) for name, shape in keys.items()}
    return {name: tuple(value.shape) for name, value in head.state_dict().items()} == expected


def test_names_shapes_and_count_of_version_two(fixtures_dir: Path):
    with torch.device("meta"):
        four, two = (
            DeepLabV2Head(RESNET, 19, NetworkSettings(context=context)) for context in ("four", "two")
        )
    assert named_as_official(fixtures_dir, "head_deeplabv2_r50_d8", four)
    assert sum(p.numel() for p in four.parameters()) == 1_400_908
    assert sum(p.numel() for p in two.parameters()) == 700_454


def test_names_shapes_and_count_of_version_three_plus(fixtures_dir: Path):
    with torch.device("meta"):
        head = DeepLabV3PlusHead(RESNET, 19, NetworkSettings(channels=512))
    assert named_as_official(fixtures_dir, "head_deeplabv3plus_r50_d8", head)
    assert sum(p.numel() for p in head.parameters()) == 17_697_923


def test_two_branches_by_default():
    head = DeepLabV2Head((4,), 2, NetworkSettings())
    assert [branch.conv.dilation for branch in head.aspp_modules] == [(6, 6), (12, 12)]
    weights = DeepLabV2Head((512,), 19, NetworkSettings()).aspp_modules[0].conv
    assert float(weights.weight.detach().std()) == pytest.approx(0.01, rel=0.1)


@pytest.mark.parametrize("size", [(16, 24), (17, 21)])
def test_any_size(size):
    coarse = tuple(-(-side // 2) for side in size)
    features = [torch.rand(2, SMALL[0], *size)] + [torch.rand(2, width, *coarse) for width in SMALL[1:]]
    for head, grid, width in (
        (DeepLabV2Head(SMALL, 5, NetworkSettings()), coarse, SMALL[-1]),
        (DeepLabV3PlusHead(SMALL, 5, NetworkSettings(channels=16)), size, 16),
    ):
        logits, embedding = head(features)
        assert logits.shape == (2, 5, *grid)
        assert embedding.shape == (2, width, *grid)
        logits.sum().backward()
        assert all(parameter.grad is not None for parameter in head.parameters())


def test_version_three_plus_joins_the_pyramid_as_the_official_head_does():
    """The mean first, then dilations 1, 12, 24, 36; the pyramid before the finest map."""
    head = DeepLabV3PlusHead(SMALL, 3, NetworkSettings(channels=4)).eval()
    assert [m.depthwise_conv.conv.dilation[0] for m in head.aspp_modules[1:]] == [12, 24, 36]
    features = [torch.rand(1, SMALL[0], 10, 12)] + [torch.rand(1, width, 5, 6) for width in SMALL[1:]]
    with torch.no_grad():
        mean = head.image_pool[1](features[-1].mean(dim=(2, 3), keepdim=True))
        parts = [mean.expand(1, 4, 5, 6), *(branch(features[-1]) for branch in head.aspp_modules)]
        maps = torch.nn.functional.interpolate(
            head.bottleneck(torch.cat(parts, 1)), size=(10, 12), mode="bilinear", align_corners=False
        )
        maps = head.sep_bottleneck(torch.cat([maps, head.c1_bottleneck(features[0])], 1))
        torch.testing.assert_close(head(features)[0], head.conv_seg(maps))


def test_unknown_context_names_the_known_ones():
    with pytest.raises(ValueError, match="unknown context 'six'; known: two, four"):
        DeepLabV2Head((4,), 2, NetworkSettings(context="six"))


@pytest.mark.parametrize("context", ["two", "four"])
def test_the_auxiliary_prediction_is_the_third_maps_and_of_training_alone(context):
    """It is the official classifier on another map, with the share that the settings say, and costs nothing later."""
    network = build_segmenter("mit_nano", "deeplab_v2", num_classes=5, context=context, auxiliary=0.1)
    plain = build_segmenter("mit_nano", "deeplab_v2", num_classes=5, context=context)
    assert isinstance(network.head, DeepLabV2Head) and isinstance(plain.head, DeepLabV2Head)
    image = torch.randn(1, 3, 64, 64)
    main, auxiliary = network.train()(image).supervised
    assert (
        auxiliary.share == 0.1 and auxiliary.logits.shape[-2:] == (4, 4) and main.logits.shape[-2:] == (2, 2)
    )
    maps = [torch.randn(1, width, 6, 6) for width in network.encoder.out_channels]
    expected = torch.stack([branch(maps[2]) for branch in network.head.auxiliary_modules]).sum(0)
    assert torch.equal(network.head.auxiliary(maps)[0].logits, expected)
    assert len(network.eval()(image).supervised) == 1
    assert len(plain.train()(image).supervised) == 1


def test_who_has_no_auxiliary_prediction_says_so():
    with pytest.raises(ValueError, match="head 'segformer' has no auxiliary prediction"):
        build_segmenter("mit_nano", "segformer", num_classes=5, auxiliary=0.1)
    with pytest.raises(ValueError, match="multi_resolution has no auxiliary prediction"):
        build_segmenter("mit_nano", "deeplab_v2", num_classes=5, auxiliary=0.1, multi_resolution={})


@pytest.mark.parametrize(("context", "counts"), [("two", (700_454, 350_246)), ("four", (1_400_908, 700_492))])
def test_both_predictions_have_as_many_parameters_as_the_official_ones(context, counts):
    with torch.device("meta"):
        head = DeepLabV2Head((256, 512, 1024, 2048), 19, NetworkSettings(context=context, auxiliary=0.1))
    both = (head.aspp_modules, head.auxiliary_modules)
    assert tuple(sum(p.numel() for p in part.parameters()) for part in both) == counts
