"""The mix transformer equals the official one: outputs, gradients, names, shapes, parameter counts."""

from pathlib import Path

import pytest
import torch
from tests.parity import checkpoint_shapes, numbers

from segue.models.build import build_encoder
from segue.models.encoders.mit import SIZES, MixTransformer

PARAMETERS = {
    "mit_b0": 3_319_392,
    "mit_b1": 13_151_424,
    "mit_b2": 24_196_288,
    "mit_b3": 44_072_128,
    "mit_b4": 60_842_688,
    "mit_b5": 81_443_008,
}


@pytest.fixture(params=[1, 2])
def threads(request):
    """Linear layers run as convolutions with more than one thread, so both ways are tried."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


def tiny() -> MixTransformer:
    return MixTransformer((8, 16, 24, 32), (1, 1, 2, 1), heads=(1, 2, 3, 4), drop_path=0.1)


@pytest.fixture
def official(fixtures_dir: Path):
    data = numbers(fixtures_dir, "mit_tiny")
    network = tiny().eval()
    network.load_state_dict({k.removeprefix("state/"): v for k, v in data.items() if k.startswith("state/")})
    return network, data


@pytest.mark.parametrize("prefix", ["", "odd_"])
def test_outputs(official, threads, prefix):
    network, data = official
    for stage, maps in enumerate(network(data[f"{prefix}input"]), start=1):
        torch.testing.assert_close(maps, data[f"{prefix}out{stage}"], atol=1e-5, rtol=0)


def test_gradients(official, threads):
    network, data = official
    torch.stack([maps.square().sum() for maps in network(data["input"])]).sum().backward()
    for name, parameter in network.named_parameters():
        expected = data.get(f"grad/{name}")
        if expected is not None:
            difference = (parameter.grad - expected).abs().max()
            assert difference <= 1e-4 * expected.abs().max(), name


@pytest.mark.parametrize("name", SIZES)
def test_names_and_shapes_are_official(fixtures_dir: Path, name):
    official = {key: tuple(shape) for key, shape in checkpoint_shapes(fixtures_dir, name).items()}
    with torch.device("meta"):
        network = build_encoder(name)
    own = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    classifier = {key for key in official if key.startswith(network.classifier_names)}
    assert own == {key: shape for key, shape in official.items() if key not in classifier}


@pytest.mark.parametrize(("name", "count"), PARAMETERS.items())
def test_parameter_counts(name, count):
    with torch.device("meta"):
        assert sum(p.numel() for p in build_encoder(name).parameters()) == count


@pytest.mark.parametrize("size", [(64, 96), (70, 90)])
def test_strides(size):
    features = tiny()(torch.rand(1, 3, *size))
    expected = [tuple(-(-side // stride) for side in size) for stride in (4, 8, 16, 32)]
    assert [tuple(maps.shape[-2:]) for maps in features] == expected
    assert [maps.shape[1] for maps in features] == [8, 16, 24, 32]


def test_epsilons_of_the_norms():
    for name, module in tiny().named_modules():
        if isinstance(module, torch.nn.LayerNorm):
            inner = name.endswith("attn.norm") or name.startswith("patch_embed")
            assert module.eps == (1e-5 if inner else 1e-6), name


def test_stochastic_depth_rises_evenly():
    network = MixTransformer((8, 8, 8, 8), (2, 1, 3, 1), heads=(1, 1, 1, 1), drop_path=0.3)
    rates = [block.drop_path for stage in range(1, 5) for block in network.get_submodule(f"block{stage}")]
    assert rates == pytest.approx([0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3])


def test_stochastic_depth_keeps_the_mean():
    block = MixTransformer((8, 8, 8, 8), (1, 1, 1, 1), heads=(1, 1, 1, 1), drop_path=0.4).block4[0]
    dropped = block._drop(torch.ones(4000, 1, 1, 1))
    assert dropped.unique().tolist() == pytest.approx([0, 1 / 0.6])
    assert float(dropped.mean()) == pytest.approx(1, abs=0.05)
    assert block.eval()._drop(dropped) is dropped


def test_one_image_alone_equals_it_in_a_batch(threads):
    network = tiny().eval()
    images = torch.rand(2, 3, 64, 64)
    for alone, together in zip(network(images[:1]), network(images), strict=True):
        torch.testing.assert_close(alone, together[:1], atol=1e-5, rtol=1e-5)


def test_half_precision_stays_close():
    network = tiny().eval()
    image = torch.rand(1, 3, 64, 64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = network(image)
    for exact, maps in zip(network(image), rounded, strict=True):
        torch.testing.assert_close(maps.float(), exact, atol=0.1, rtol=0.1)
