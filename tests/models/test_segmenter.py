"""A segmenter returns all that methods need; its loss weighs, crops, shares and counts ignored pixels."""

import pytest
import torch
import torch.nn.functional as F

from segue.models.build import build_segmenter
from segue.models.segmenter import segmentation_loss
from segue.types import IGNORE, Output, Supervised, View


def output_of(*supervised: Supervised) -> Output:
    logits = supervised[0].logits
    return Output(logits, [], logits, list(supervised))


def view_of(label, **rest) -> View:
    return View("source", torch.zeros(len(label), 3, *label.shape[1:]), label, **rest)


@pytest.mark.parametrize("head", ["daformer", "segformer"])
@pytest.mark.parametrize("size", [(64, 96), (70, 90)])
def test_what_comes_out(head, size):
    network = build_segmenter("mit_nano", head, num_classes=5, channels=16)
    output = network(torch.rand(2, 3, *size))
    grid = tuple(-(-side // 4) for side in size)
    assert output.logits.shape == (2, 5, *grid)
    assert output.embedding.shape == (2, 16, *grid)
    assert len(output.features) == 4
    assert [part.logits is output.logits for part in output.supervised] == [True]


def test_names_that_optimisers_go_by():
    network = build_segmenter("mit_nano", "daformer", num_classes=5, channels=16)
    names = [name for name, _ in network.named_parameters()]
    assert {name.partition(".")[0] for name in names} == {"encoder", "head"}
    assert not any("head" in name for name in names if name.startswith("encoder."))
    norms = {n for n, m in network.encoder.named_modules() if isinstance(m, torch.nn.LayerNorm)}
    assert norms and all("norm" in name for name in norms)


def test_ignored_pixels_count_in_the_mean():
    logits = torch.rand(1, 3, 2, 2)
    label = torch.tensor([[[0, 2], [IGNORE, IGNORE]]])
    expected = F.cross_entropy(logits, label, ignore_index=IGNORE, reduction="sum") / 4
    torch.testing.assert_close(segmentation_loss(output_of(Supervised(logits)), view_of(label)), expected)


def test_logits_are_enlarged_and_pixels_weighted():
    logits, label = torch.rand(2, 3, 2, 2), torch.randint(0, 3, (2, 8, 8))
    weight = torch.rand(2, 8, 8)
    large = F.interpolate(logits, size=(8, 8), mode="bilinear", align_corners=False)
    expected = (F.cross_entropy(large, label, reduction="none") * weight).mean()
    loss = segmentation_loss(output_of(Supervised(logits)), view_of(label, weight=weight))
    torch.testing.assert_close(loss, expected)


def test_windows_and_shares():
    whole, detail = torch.rand(1, 3, 4, 4), torch.rand(1, 3, 2, 2)
    label, weight = torch.randint(0, 3, (1, 8, 8)), torch.rand(1, 8, 8)
    window = (slice(2, 6), slice(4, 8))
    view = view_of(label, weight=weight)
    parts = (Supervised(whole, share=0.9), Supervised(detail, window, share=0.1))
    cropped = view_of(label[:, 2:6, 4:8], weight=weight[:, 2:6, 4:8])
    expected = 0.9 * segmentation_loss(output_of(Supervised(whole)), view)
    expected = expected + 0.1 * segmentation_loss(output_of(Supervised(detail)), cropped)
    torch.testing.assert_close(segmentation_loss(output_of(*parts), view), expected)


def test_a_view_may_bring_its_own_loss():
    view = view_of(torch.zeros(1, 4, 4, dtype=torch.long), loss=lambda logits, label: logits[:, 0] * 0 + 3)
    assert segmentation_loss(output_of(Supervised(torch.rand(1, 3, 2, 2))), view) == 3


def test_all_ignored_is_zero_with_a_gradient_of_zero():
    logits = torch.rand(1, 3, 2, 2, requires_grad=True)
    loss = segmentation_loss(output_of(Supervised(logits)), view_of(torch.full((1, 4, 4), IGNORE)))
    loss.backward()
    assert loss == 0
    assert logits.grad.eq(0).all()


def test_a_view_without_label_is_an_error():
    view = View("target", torch.zeros(1, 3, 4, 4))
    with pytest.raises(ValueError, match="'target' has no label"):
        segmentation_loss(output_of(Supervised(torch.rand(1, 3, 2, 2))), view)


def test_probabilities_are_learnt_where_there_is_a_label():
    """One-hot probabilities teach what their label does; others what the definition says."""
    label = torch.randint(0, 3, (2, 4, 4))
    label[:, 0] = IGNORE
    output = output_of(Supervised(torch.randn(2, 3, 4, 4)))
    certain = F.one_hot(label.clamp(max=2), 3).permute(0, 3, 1, 2).float()
    expected = segmentation_loss(output, view_of(label))
    torch.testing.assert_close(segmentation_loss(output, view_of(label, soft=certain)), expected)
    soft = torch.rand(2, 3, 4, 4).softmax(1)
    loss = -(soft * output.logits.log_softmax(1)).sum(1)
    loss[:, 0] = 0
    torch.testing.assert_close(segmentation_loss(output, view_of(label, soft=soft)), loss.mean())
    own = view_of(label, soft=soft, loss=lambda logits, label, soft: (logits * soft).sum(1))
    torch.testing.assert_close(segmentation_loss(output, own), (output.logits * soft).sum(1).mean())


def test_predictions_enlarged_corner_on_corner():
    """As in AdaptSegNet's and ADVENT's codes, with the auxiliary one; without the setting they stay on their grid."""
    image = torch.rand(1, 3, 64, 96)
    network, plain = (
        build_segmenter(
            "mit_nano", "deeplab_v2", num_classes=5, drop_path=0.0, auxiliary=0.1, aligned_corners=aligned
        )
        for aligned in (True, False)
    )
    plain.load_state_dict(network.state_dict())
    for one, small in zip(network(image).supervised, plain(image).supervised, strict=True):
        assert small.logits.shape[-2:] < (64, 96) and one.share == small.share
        wanted = F.interpolate(small.logits, (64, 96), mode="bilinear", align_corners=True)
        torch.testing.assert_close(one.logits, wanted)
        torch.testing.assert_close(one.logits[..., 0, 0], small.logits[..., 0, 0])
        torch.testing.assert_close(one.logits[..., -1, -1], small.logits[..., -1, -1])
    with pytest.raises(ValueError, match=r"set network\.aligned_corners=false"):
        build_segmenter("mit_nano", "daformer", num_classes=5, multi_resolution={}, aligned_corners=True)
