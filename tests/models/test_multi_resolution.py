"""HRDA's network equals the official one, inside and at the end, and keeps the promises of its specification."""

from pathlib import Path

import pytest
import torch
from tests.parity import numbers
from torch import Tensor

from segue.evaluation.predictors import sliding
from segue.models.build import build_segmenter
from segue.models.encoders.mit import MixTransformer
from segue.models.heads.daformer import DaformerHead
from segue.models.multi_resolution import MultiResolution
from segue.models.segmenter import segmentation_loss
from segue.models.settings import MultiResolutionSettings, NetworkSettings
from segue.ops.windows import window_grid
from segue.types import View

Data = dict[str, Tensor]
HRDA = MultiResolutionSettings().model_dump(exclude={"detail", "attention"})


@pytest.fixture(scope="module")
def data(fixtures_dir: Path) -> Data:
    return numbers(fixtures_dir, "hrda_tiny")


class GivenWindow(MultiResolution):
    """With the window that the official code drew."""

    given = (slice(0, 64), slice(0, 64))

    def draw_window(self, size):
        return self.given


def tiny(channels: int = 16) -> GivenWindow:
    encoder = MixTransformer((4, 8, 12, 16), (1, 1, 1, 1), heads=(1, 2, 3, 4), drop_path=0.0)
    widths = encoder.out_channels
    head = DaformerHead(widths, 19, NetworkSettings(channels=channels, dropout=0.0))
    attention = DaformerHead(widths, 19, NetworkSettings(channels=16, context="conv1", dropout=0.0))
    return GivenWindow(encoder, head, attention_head=attention, detail=(64, 64), **HRDA)


def ours(name: str) -> str:
    for official, own in (
        ("backbone.", "encoder."),
        ("decode_head.head.", "head."),
        ("decode_head.scale_attention.", "attention_head."),
    ):
        name = name.replace(official, own)
    return name


@pytest.fixture
def network(data: Data) -> GivenWindow:
    network = tiny()
    state = {ours(n.removeprefix("state/")): v for n, v in data.items() if n.startswith("state/")}
    network.load_state_dict(state)
    return network.eval()


def close(mine: Tensor, official: Tensor, tolerance: float = 2e-5) -> bool:
    return float((mine.detach() - official).abs().max()) < tolerance * max(1.0, float(official.abs().max()))


def test_windows_are_the_official_ones(data: Data) -> None:
    found = [
        [rows.start, rows.stop, columns.start, columns.stop]
        for rows, columns in window_grid((128, 128), (64, 64), stride=(32, 32))
    ]
    assert found == data["boxes_hr"].tolist()


@torch.no_grad()
def test_evaluation_equals_the_official_network(network: GivenWindow, data: Data) -> None:
    image = data["img_x32"].float() / 32
    output = network(image[:1])
    assert close(output.logits[..., ::2, ::2], data["eval/fused_first_every2"])
    features = network.encoder(torch.nn.functional.avg_pool2d(image[:1], 2))
    context = network.head(features)[0]
    assert close(context, data["eval/lr_raw_first"])
    assert close(network._attention(features, context), data["eval/attention_first"])
    assert close(network._detail_everywhere(image[:1])[..., ::2, ::2], data["eval/hr_first_every2"])
    whole = torch.nn.functional.interpolate(
        network(image).logits, (128, 128), mode="bilinear", align_corners=False
    )
    assert close(whole[..., ::8, ::8], data["eval/encode_decode_every8"])


def test_sliding_prediction_equals_the_official_one(network: GivenWindow, data: Data) -> None:
    image = data["slide/img_x32"].float() / 32
    predict = sliding(network, window=(128, 128), stride=(64, 64), blend="mean")
    probability = predict(image)
    official = data["slide/argmax"][0].long()
    assert (probability[0].argmax(0) == official).float().mean() > 0.9999
    expected = data["slide/logits_every8"].softmax(1)
    assert close(probability[..., ::8, ::8], expected)


def test_training_equals_the_official_network(network: GivenWindow, data: Data) -> None:
    y1, y2, x1, x2 = data["train/crop_box_y1y2x1x2"].tolist()
    network.given = (slice(y1, y2), slice(x1, x2))
    network.train()
    output = network(data["img_x32"].float() / 32)
    assert close(output.logits[:1, :, ::2, ::2], data["train/fused_first_every2"])
    assert close(output.supervised[1].logits[:1, :, ::2, ::2], data["train/hr_first_every2"])
    assert close(output.features[-1], data["train/feat_last"])
    label, weight = data["train/label"][:, 0].long(), data["train/weight"].float()
    view = View("source", data["img_x32"].float(), label, weight)
    loss = segmentation_loss(output, view)
    assert float(loss.detach()) == pytest.approx(
        float(data["train/loss_seg"] + data["train/hr_loss_seg"]), rel=1e-5
    )
    loss.backward()
    gradients = {
        ours(n.removeprefix("train/grad/")): v for n, v in data.items() if n.startswith("train/grad/")
    }
    assert gradients
    for name, official in gradients.items():
        mine = network.get_parameter(name).grad
        assert mine is not None, name
        assert float((mine - official).abs().max()) <= 2e-4 * float(official.abs().max()) + 1e-7, name


def test_the_detail_counts_only_inside_its_window() -> None:
    """With attention 1 the window is all detail; outside of it, and a cell's ring, all context."""
    torch.manual_seed(0)
    network = tiny().train()
    network.given = (slice(32, 96), slice(64, 128))
    attention = torch.ones(1, 1, 16, 16)
    context, detail = torch.randn(1, 19, 16, 16), torch.randn(1, 19, 16, 16)
    fused = network._fuse(context, attention, detail, network.given)
    # Rows 8 to 24 and columns 16 to 32 of the fused map are under the window; its rim is a mixture.
    assert torch.allclose(fused[..., 9:23, 17:32], detail[..., 1:15, 1:], atol=1e-6)
    plain = torch.nn.functional.interpolate(context, scale_factor=2.0, mode="bilinear", align_corners=False)
    assert torch.allclose(fused[..., :7, :], plain[..., :7, :])
    assert torch.allclose(fused[..., :, :15], plain[..., :, :15])


def test_without_attention_the_detail_learns_from_its_own_share_only() -> None:
    torch.manual_seed(0)
    network = tiny().train()
    torch.nn.init.constant_(network.attention_head.conv_seg.bias, -1e9)
    output = network(torch.randn(1, 3, 128, 128))
    (from_fused,) = torch.autograd.grad(
        output.supervised[0].logits.sum(), output.supervised[1].logits, allow_unused=True
    )
    assert from_fused is None or not from_fused.any()


def test_a_window_is_drawn_on_the_grid_and_reaches_both_borders() -> None:
    torch.manual_seed(0)
    network = MultiResolution(tiny().encoder, tiny().head, attention_head=None, detail=(64, 64), **HRDA)
    starts = {window.start for _ in range(300) for window in network.draw_window((128, 128))}
    assert starts == set(range(0, 65, 8))


def test_every_size_is_predicted_at_its_own_size_and_cropping_is_consistent() -> None:
    torch.manual_seed(0)
    network = tiny().eval()
    with torch.no_grad():
        odd = network(torch.randn(1, 3, 100, 137)).logits
        small = network(torch.randn(1, 3, 20, 30)).logits
        even = network(torch.randn(2, 3, 96, 160)).logits
    assert odd.shape[-2:] == (100, 137) and small.shape[-2:] == (20, 30) and even.shape[-2:] == (24, 40)


def test_windows_one_by_one_or_as_one_batch_agree_without_batch_statistics() -> None:
    torch.manual_seed(0)
    network = tiny().eval()
    parts = torch.randn(9, 2, 3, 64, 64)
    with torch.no_grad():
        in_turn = torch.stack(list(network._detail_of(parts)))
        at_once = network.head(network.encoder(parts.flatten(0, 1)))[0].unflatten(0, (9, 2))
    assert torch.allclose(in_turn, at_once, atol=1e-5)


def test_parameters_of_the_paper() -> None:
    with torch.device("meta"):
        hrda = build_segmenter("mit_b5", "daformer", num_classes=19, multi_resolution={"detail": (512, 512)})
    assert sum(p.numel() for p in hrda.parameters()) == 85_685_990
    assert sum(p.numel() for p in hrda.attention_head.parameters()) == 530_707


def test_features_are_the_context_s() -> None:
    torch.manual_seed(0)
    network = tiny().eval()
    image = torch.randn(1, 3, 128, 128)
    with torch.no_grad():
        for mine, other in zip(network(image).features, network.feature_network()(image), strict=True):
            assert torch.equal(mine, other)


@pytest.mark.parametrize("attention", ["single", "none"])
def test_other_ways_to_weigh(attention: str) -> None:
    network = build_segmenter(
        "mit_nano",
        "segformer",
        num_classes=5,
        channels=8,
        multi_resolution={"detail": (32, 64), "attention": attention},
    )
    output = network.train()(torch.randn(2, 3, 64, 128))
    assert [part.share for part in output.supervised] == [0.9, 0.1]
    assert output.logits.shape == (2, 5, 16, 32)


def test_what_cannot_lie_on_the_grid_is_refused() -> None:
    with pytest.raises(ValueError, match=r"60x64: its sides must be multiples of 8"):
        MultiResolution(tiny().encoder, tiny().head, attention_head=None, detail=(60, 64), **HRDA)
    with pytest.raises(ValueError, match=r"context_scale 0.3"):
        MultiResolution(
            tiny().encoder,
            tiny().head,
            attention_head=None,
            detail=(64, 64),
            **{**HRDA, "context_scale": 0.3},
        )
    with pytest.raises(ValueError, match=r"crops of 100x128: .* multiples of 8"):
        tiny().train()(torch.randn(1, 3, 100, 128))
