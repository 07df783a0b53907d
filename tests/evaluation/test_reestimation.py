"""Batch statistics estimated again are those of one huge batch; nothing else of a network changes."""

import copy
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from segue.evaluation.model import TrainedModel
from segue.evaluation.reestimation import reestimate
from segue.models.batch_norms import batch_norms
from segue.models.build import build_segmenter
from segue.models.weights import Card
from segue.protocol import PredictionProtocol

WHOLE = PredictionProtocol((64, 64), mode="whole")


def trained(network: nn.Module, protocol: PredictionProtocol = WHOLE) -> TrainedModel:
    card = Card(["a", "b", "c"], [[0, 0, 0]] * 3, [0.0] * 3, [255.0] * 3, {}, protocol, "source_only", 1)
    return TrainedModel(network, card, torch.device("cpu"))


def random_pictures(count: int, size: tuple[int, int] = (64, 96)) -> list[Tensor]:
    """Each of another brightness, so that they differ as wholes, too."""
    generator = torch.Generator().manual_seed(count)
    return [
        torch.randint(0, 40 + 30 * (place % 7), (3, *size), generator=generator, dtype=torch.uint8)
        for place in range(count)
    ]


def segmenter(encoder: str, head: str, **options: object) -> nn.Module:
    torch.manual_seed(0)
    return build_segmenter(encoder, head, num_classes=3, channels=16, **options).eval()


def values(network: nn.Module) -> list[Tensor]:
    return [value for norm in batch_norms(network) for value in (norm.running_mean, norm.running_var)]


def of_one_batch(network: nn.Module, images: Sequence[Tensor]) -> list[Tensor]:
    """By torch itself: every norm in training mode, a momentum of 1, one batch of all pictures."""
    other = copy.deepcopy(network).eval()
    for norm in batch_norms(other):
        norm.train()
        norm.momentum = 1.0
    other(torch.stack(list(images)) / 255)
    return values(other)


def close(one: Sequence[Tensor], other: Sequence[Tensor], tolerance: float = 1e-4) -> bool:
    pairs = zip(one, other, strict=True)
    return all(torch.allclose(a, b, rtol=tolerance, atol=tolerance / 10) for a, b in pairs)


@pytest.mark.parametrize(
    ("encoder", "head"),
    [
        ("mobilenet_v2", "segformer"),
        ("mit_nano", "daformer"),  # its head computes some norms by itself where no gradient is wanted
        ("mobilenet_v2", "deeplab_v3plus"),
        ("mit_nano", "segformer"),
    ],
)
def test_one_huge_batch(encoder: str, head: str, in_memory) -> None:
    images, network = random_pictures(6), segmenter(encoder, head)
    expected = of_one_batch(network, images)
    assert not close(values(network), expected, 0.05)
    model = trained(network)
    assert reestimate(model, in_memory(images, []), at_once=6) == 6
    assert model.batch_statistics == "of 6 target pictures"
    assert close(values(network), expected)


@pytest.mark.parametrize("at_once", [1, 2, 3, 4, 7])
def test_the_first_norm_is_exact_however_pictures_are_batched(at_once: int, in_memory, pixelwise) -> None:
    """Mean and variance are those over all pixels: 7 pictures of different brightness, in batches of any size."""
    images, network = random_pictures(7), pixelwise().eval()
    reestimate(trained(network), in_memory(images, []), at_once=at_once)
    pixels = (torch.stack(images).double() / 255).transpose(0, 1).flatten(1)
    assert torch.allclose(network.norm.running_mean.double(), pixels.mean(1), rtol=1e-6)
    assert torch.allclose(network.norm.running_var.double(), pixels.var(1), rtol=1e-6)
    apart = torch.stack([(image.double() / 255).flatten(1).var(1) for image in images]).mean(0)
    assert (
        pixels.var(1) > 1.1 * apart
    ).all()  # a mean of variances would miss what lies between the pictures


def test_deeper_norms_hardly_depend_on_the_batches(in_memory) -> None:
    images, network = random_pictures(16), segmenter("mit_nano", "daformer")
    expected = of_one_batch(network, images)
    reestimate(trained(network), in_memory(images, []), at_once=8)
    spread = torch.cat([variance.sqrt() for variance in expected[1::2]])
    off = torch.cat([a - b for a, b in zip(values(network)[::2], expected[::2], strict=True)])
    assert float((off.abs() / spread.clamp(min=1e-3)).mean()) < 0.1


def test_nothing_but_means_and_variances_changes(in_memory) -> None:
    network = segmenter("mobilenet_v2", "segformer").train()
    network.encoder.features[3].eval()  # somebody froze a part
    before = {name: value.clone() for name, value in network.state_dict().items()}
    modes = [module.training for module in network.modules()]
    reestimate(trained(network), in_memory(random_pictures(3), []))
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed and all(name.endswith(("running_mean", "running_var")) for name in changed)
    assert modes == [module.training for module in network.modules()]
    for norm in batch_norms(network):
        assert norm.momentum == 0.1 and norm.track_running_stats and not norm._forward_hooks
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_it_does_not_matter_what_stood_there(in_memory) -> None:
    """Equal runs on equal pictures give equal bits, whatever the statistics were before."""
    pictures = in_memory(random_pictures(5), [])
    one = segmenter("mobilenet_v2", "segformer")
    other = copy.deepcopy(one)
    for norm in batch_norms(other):
        norm.running_mean.fill_(3.0)
        norm.running_var.fill_(7.0)
    for network in (one, other):
        reestimate(trained(network), pictures, at_once=2)
    assert all(torch.equal(a, b) for a, b in zip(values(one), values(other), strict=True))


def test_pictures_are_seen_as_evaluation_sees_them(in_memory, pixelwise) -> None:
    """Fitted to the protocol's box and cut into its windows; mirroring and scaling are an evaluation's own affair."""
    images, network = random_pictures(2, (60, 120)), pixelwise().eval()
    protocol = PredictionProtocol(
        (32, 32), mode="sliding", overlap=0.0, resize=(32, 64), flip=True, scales=(0.5, 1.0)
    )
    reestimate(trained(network, protocol), in_memory(images, []))
    assert network.seen == [(2, 3, 32, 32), (2, 3, 32, 32)]
    pixels = nn.functional.interpolate(
        torch.stack(images) / 255, (32, 64), mode="bilinear", align_corners=False, antialias=True
    )
    assert torch.allclose(network.norm.running_mean, pixels.transpose(0, 1).flatten(1).mean(1), rtol=1e-5)


def test_neighbours_of_one_size_go_together(in_memory, pixelwise) -> None:
    small, large = random_pictures(3, (32, 32)), random_pictures(2, (40, 48))
    images, network = [small[0], small[1], large[0], large[1], small[2]], pixelwise().eval()
    reestimate(trained(network), in_memory(images, []), at_once=5)
    assert [shape[0] for shape in network.seen] == [2, 2, 1]
    pixels = torch.cat([image.flatten(1) for image in images], dim=1) / 255
    assert torch.allclose(network.norm.running_var, pixels.var(1), rtol=1e-5)


def test_no_batch_is_left_with_one_picture(in_memory, pixelwise) -> None:
    """A norm behind global pooling has nothing to normalise by in a picture alone."""
    network = pixelwise().eval()
    reestimate(trained(network), in_memory(random_pictures(9), []), at_once=4)
    assert [shape[0] for shape in network.seen] == [3, 3, 3]


def test_enough_pictures_are_enough(in_memory, pixelwise) -> None:
    network = pixelwise().eval()
    assert reestimate(trained(network), in_memory(random_pictures(9), []), most=3) == 3
    assert sum(shape[0] for shape in network.seen) == 3


def test_a_network_without_batch_norms_is_not_even_run() -> None:
    class Unread:
        def __len__(self) -> int:
            return 5

        def image(self, index: int) -> Tensor:
            raise AssertionError("no picture is needed")

    network = segmenter("mit_nano", "deeplab_v2")
    assert not batch_norms(network)
    assert reestimate(trained(network), Unread()) == 0


def test_two_resolutions_and_maps_that_are_computed_again(in_memory) -> None:
    """The heads' norms see context and every detail window; recomputing stages for a gradient is no obstacle."""
    network = segmenter("mit_nano", "daformer", multi_resolution={"detail": (64, 64)})
    network.encoder.checkpointed = (1, 2)
    before = [value.clone() for value in values(network)]
    reestimate(trained(network), in_memory(random_pictures(4, (128, 128)), []))
    assert all(not torch.equal(a, b) for a, b in zip(values(network), before, strict=True))
