"""DAFormer's head equals the official one: logits, losses, gradients, statistics, names and shapes."""

import copy
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from tests.parity import checkpoint_shapes, numbers

from segue.models.batch_norms import batch_norms, statistics_kept
from segue.models.heads.daformer import FUSIONS, DaformerHead
from segue.models.segmenter import segmentation_loss
from segue.models.settings import NetworkSettings
from segue.types import Output, Supervised, View

WIDTHS = (64, 128, 320, 512)


@pytest.fixture
def official(fixtures_dir: Path):
    return numbers(fixtures_dir, "daformer_head_tiny")


def part(data, prefix):
    return {name.removeprefix(prefix): value for name, value in data.items() if name.startswith(prefix)}


def tiny(data, context="sepaspp") -> DaformerHead:
    head = DaformerHead((8, 16, 24, 32), 19, NetworkSettings(channels=16, context=context, dropout=0.0))
    head.load_state_dict(part(data, f"{context}/state/"))
    return head


def loss_of(logits, data, *, weighted):
    label = data["label"][:, 0].long()
    image = torch.zeros(2, 3, *label.shape[1:])
    view = View("source", image, label, data["pixel_weight"] if weighted else None)
    return segmentation_loss(Output(logits, [], logits, [Supervised(logits)]), view)


def features_of(data):
    return [data[f"feat{level}"] for level in range(1, 5)]


@pytest.mark.parametrize("context", ["sepaspp", "aspp", "conv1"])
def test_logits(official, context):
    logits, embedding = tiny(official, context).eval()(features_of(official))
    torch.testing.assert_close(
        logits[..., ::2, ::2], official[f"{context}/logits_eval_every2"], atol=1e-5, rtol=0
    )
    assert embedding.shape == (2, 16, 16, 24)


@pytest.mark.parametrize(
    ("weighted", "name"), [(False, "eval_loss_unweighted"), (True, "eval_loss_weighted")]
)
def test_loss(official, weighted, name):
    logits = tiny(official).eval()(features_of(official))[0]
    loss = loss_of(logits, official, weighted=weighted)
    torch.testing.assert_close(loss, official[f"sepaspp/{name}"], atol=1e-5, rtol=0)


def test_training_pass(official):
    head = tiny(official).train()
    features = [feature.requires_grad_() for feature in features_of(official)]
    loss = loss_of(head(features)[0], official, weighted=True)
    loss.backward()
    torch.testing.assert_close(loss.detach(), official["sepaspp/train_loss_weighted"], atol=1e-5, rtol=0)
    gradients = {name: parameter.grad for name, parameter in head.named_parameters()}
    expected = part(official, "sepaspp/train_grad/")
    for level, feature in enumerate(features, start=1):
        gradients[f"feat{level}"] = feature.grad
        expected[f"feat{level}"] = official[f"sepaspp/train_grad_feat{level}"]
    for name, gradient in expected.items():
        assert (gradients[name] - gradient).abs().max() <= 1e-4 * gradient.abs().max(), name
    buffers = dict(head.named_buffers())
    for name, value in part(official, "sepaspp/train_buffers_after/").items():
        torch.testing.assert_close(buffers[name], value, atol=1e-5, rtol=1e-5, msg=name)


@pytest.mark.parametrize("context", FUSIONS)
def test_names_and_shapes_are_official(fixtures_dir: Path, context):
    file = "daformer_mitb5_sepaspp" if context == "sepaspp" else f"head_daformer_{context}_mitb5"
    keys = checkpoint_shapes(fixtures_dir, file)
    head = {k.removeprefix("decode_head."): tuple(v) for k, v in keys.items() if k.startswith("decode_head.")}
    with torch.device("meta"):
        own = DaformerHead(WIDTHS, 19, NetworkSettings(context=context)).state_dict()
    assert {key: tuple(value.shape) for key, value in own.items()} == head


def test_parameter_count_of_the_paper():
    with torch.device("meta"):
        assert sum(p.numel() for p in DaformerHead(WIDTHS, 19, NetworkSettings()).parameters()) == 3_712_275


@pytest.mark.parametrize("context", FUSIONS)
@pytest.mark.parametrize("size", [(16, 24), (17, 21)])
def test_every_context_on_any_size(context, size):
    head = DaformerHead((8, 16, 24, 32), 5, NetworkSettings(channels=16, context=context))
    features = [
        torch.rand(2, width, *(-(-side // shrink) for side in size))
        for width, shrink in zip((8, 16, 24, 32), (1, 2, 4, 8), strict=True)
    ]
    logits, embedding = head(features)
    assert logits.shape == (2, 5, *size)
    assert embedding.shape == (2, 16, *size)
    logits.sum().backward()
    assert all(parameter.grad is not None for parameter in head.parameters())


def test_classifier_starts_small():
    head = DaformerHead((8, 16, 24, 32), 19, NetworkSettings(channels=256))
    assert float(head.conv_seg.weight.detach().std()) == pytest.approx(0.01, rel=0.1)
    assert head.conv_seg.bias.eq(0).all()


def test_unknown_context_names_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'sepaspp'"):
        DaformerHead((8, 16, 24, 32), 19, NetworkSettings(context="sepasp"))


@pytest.mark.parametrize("training", [True, False])
def test_saving_memory_changes_no_number_and_no_statistics(training: bool) -> None:
    """Without gradients, groups of channels one after the other: outputs and running statistics as in one go."""
    torch.manual_seed(0)
    plain = DaformerHead((24, 32, 48, 64), 5, NetworkSettings(channels=80, dropout=0.0)).train(training)
    saving = copy.deepcopy(plain)
    features = [torch.randn(2, width, 32 >> i, 48 >> i) for i, width in enumerate((24, 32, 48, 64))]
    logits, embedding = plain(features)
    with torch.no_grad():
        other_logits, other_embedding = saving(features)
    assert torch.allclose(logits, other_logits, atol=1e-5)
    assert torch.allclose(embedding, other_embedding, atol=5e-5)
    mine, theirs = plain.state_dict(), saving.state_dict()
    assert all(
        torch.allclose(value.double(), theirs[name].double(), atol=1e-6) for name, value in mine.items()
    )


@pytest.mark.parametrize("way", ["training", "frozen statistics", "statistics kept"])
def test_what_is_made_again_for_the_gradient_is_what_was_kept(way: str) -> None:
    """A norm with a hook keeps its map: gradients and statistics are the same, also after the context has ended."""
    torch.manual_seed(0)
    again = DaformerHead((24, 32, 48, 64), 5, NetworkSettings(channels=16, dropout=0.0)).train()
    if way == "frozen statistics":
        for norm in batch_norms(again):
            norm.eval()
    kept = copy.deepcopy(again)
    for norm in batch_norms(kept):
        norm.register_forward_hook(lambda *_: None)
    features = [torch.randn(2, width, 32 >> i, 48 >> i) for i, width in enumerate((24, 32, 48, 64))]
    for head in (again, kept):
        with statistics_kept(batch_norms(head)) if way == "statistics kept" else nullcontext():
            logits, _ = head(features)
        logits.square().mean().backward()
    for (name, mine), theirs in zip(again.named_parameters(), kept.parameters(), strict=True):
        assert mine.grad is not None and theirs.grad is not None
        most = float(theirs.grad.abs().max())
        assert float((mine.grad - theirs.grad).abs().max()) <= 1e-4 * most and most > 0, name
    start = DaformerHead((24, 32, 48, 64), 5, NetworkSettings(channels=16)).state_dict()
    for name, value in again.named_buffers():
        torch.testing.assert_close(value, kept.get_buffer(name), msg=name)
        assert torch.equal(value, start[name]) == (way != "training"), name
