"""CorDA: its loss and its weights, and that without depth it is DACS to the bit."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.methods.building import self_training
from tests.tiny import QUIET, assert_same_tensors, tiny
from torch import Tensor, nn

from segue.engine.build import build_method, build_student
from segue.engine.stages import train
from segue.methods.depth_guidance import DepthGuidanceSettings, pixel_trust
from segue.methods.method import Method
from segue.methods.self_training import SelfTrainingSettings
from segue.models.build import build_segmenter
from segue.models.segmenter import segmentation_loss
from segue.ops.depth import UNKNOWN, berhu, depth_agreement
from segue.recipes.catalogue import RECIPES, experiment
from segue.recipes.pairs import PAIRS
from segue.types import Batch, Depths, Output, Source, Supervised, Target, View


def maps(*values: float) -> Tensor:
    return torch.tensor(values).view(1, 1, -1)


def test_the_loss_is_linear_up_to_a_fifth_of_the_largest_error_then_quadratic() -> None:
    wanted, predicted = maps(5.0, 5.0, 5.0, UNKNOWN), maps(15.0, 6.0, 2.0, 900.0)
    c = 0.2 * 10
    assert berhu(predicted, wanted) == pytest.approx(
        ((100 + c * c) / (2 * c) + 1 + (9 + c * c) / (2 * c)) / 3
    )


def test_its_value_and_slope_are_continuous() -> None:
    """Around c = 2, beside an error of 10 that decides it."""
    found: list[tuple[float, float]] = []
    for error in (2 - 1e-2, 2.0, 2 + 1e-2):
        predicted = maps(10.0, error).add(5).requires_grad_()
        loss = berhu(predicted, maps(5.0, 5.0))
        (slope,) = torch.autograd.grad(loss, predicted)
        found.append((float(loss.detach()), float(slope[0, 0, 1])))
    values, slopes = zip(*found, strict=True)
    assert [values[1] - values[0], values[2] - values[1]] == pytest.approx([5e-3, 5e-3], rel=0.01)
    assert slopes == pytest.approx((0.5, 0.5, 0.5), rel=6e-3)


@pytest.mark.parametrize(
    "wanted", [maps(3.0, 4.0), maps(UNKNOWN, UNKNOWN)], ids=["no error", "nothing known"]
)
def test_it_is_zero_without_error_or_known_pixels(wanted: Tensor) -> None:
    predicted = maps(3.0, 4.0).requires_grad_()
    loss = berhu(predicted, wanted)
    assert loss == 0 and (torch.autograd.grad(loss, predicted)[0] == 0).all()


def test_agreement_lies_in_0_and_1() -> None:
    one, other, wanted = (
        torch.randn(3, 4, 20, 20) * torch.tensor([40.0, 40.0, 9.0]).view(3, 1, 1, 1)
    ).unbind()
    wanted = wanted.abs() + UNKNOWN
    wanted[:, :5] = UNKNOWN
    agreed = depth_agreement(one, other, wanted)
    assert agreed.min() >= 1e-3 and agreed.max() <= 1 and (agreed[:, :5] == 1).all()
    assert agreed[:, 5:].min() == pytest.approx(1e-3)
    assert (depth_agreement(one, one, wanted) == 1).all()
    assert depth_agreement(maps(4.0), maps(6.0), maps(8.0)) == pytest.approx(0.751)


class Says(nn.Module):
    """One convolution for the classes, the opposite at the first stage; depths are given."""

    predicts_depth = True

    def __init__(self, depths: Depths) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 1)
        self.depths = depths

    def forward(self, image: Tensor) -> Output:
        logits = self.layer(image)
        return Output(logits, [], logits, [Supervised(logits)], -logits, self.depths)


def depths(*values: float) -> Depths:
    return Depths(*(torch.ones(2, 1, 8, 8) * value for value in values))


def batch() -> Batch:
    generator = torch.Generator().manual_seed(1)
    image = torch.randn(2, 2, 3, 8, 8, generator=generator)
    label = torch.randint(0, 4, (2, 8, 8), generator=generator)
    near = torch.rand(2, 2, 8, 8, generator=generator) * 20 + 2
    near[:, :, 0] = UNKNOWN
    names = ["", ""]
    return Batch(Source(image[0], label, names, near[0]), Target(image[1], None, None, names, depth=near[1]))


DACS = {"mix": "class_mix", "class_pool": "image", "source_mean": "labelled", "threshold": 0.3, "augment": {}}


def guided(student: nn.Module, **depth: Any) -> Method:
    return self_training(student, **{**DACS, "depth": depth, "teacher": {"name": "average", "momentum": 0.9}})


def seen(method: Method, step: int = 9) -> list[tuple[View, dict[str, Tensor]]]:
    torch.manual_seed(3)
    found = [(view, method(view)) for view in method.views(batch(), step)]
    return [(view, losses) for view, losses in found if isinstance(view, View)]


def test_the_weight_is_even_where_both_depths_agree_so_that_the_loss_is_dacss() -> None:
    same = Says(depths(7.0, 7.0, 1.0, 2.0))
    (_, _), (view, losses) = seen(guided(same))
    unweighed = seen(guided(same, weigh=False))[1]
    assert torch.equal(losses["target/segmentation"], unweighed[1]["target/segmentation"])
    assert view.weight is not None and torch.equal(view.weight, unweighed[0].weight)


def test_pixels_count_as_far_as_both_depths_agree_over_the_mean() -> None:
    other = Says(depths(7.0, 9.0, 1.0, 2.0))
    (source, _), (view, losses) = seen(guided(other))
    plain = seen(guided(other, weigh=False))[1][0].weight
    assert view.weight is not None and plain is not None and view.depth is not None and source.weight is None
    agreed = (1 - 2 / view.depth).clamp(min=0) + 1e-3
    agreed[view.depth == UNKNOWN] = 1
    agreed = agreed.clamp(max=1)
    assert torch.allclose(view.weight, plain * agreed / agreed.mean())
    assert (view.depth == UNKNOWN).any() and not view.weight.requires_grad
    expected = segmentation_loss(other(view.image), view)
    assert torch.allclose(losses["target/segmentation"], expected)


def test_depth_is_learnt_as_the_pasted_pixels_domain_has_it() -> None:
    given = Depths(*(torch.full((2, 1, 8, 8), float(v)).requires_grad_() for v in (3, 4, 5, 6)))
    (source, first), (view, second) = seen(guided(Says(given)))
    batches, mask = batch(), view.mix_mask
    assert mask is not None and source.depth is not None and mask.any() and not mask.all()
    assert torch.equal(view.depth, torch.where(mask, batches.source.depth, batches.target.depth))
    own = 0.01 * (berhu(given.source[:, 0], source.depth) + berhu(given.first_source[:, 0], source.depth))
    assert torch.allclose(first["source/depth"], own)
    stages = [(given.source, given.target), (given.first_source, given.first_target)]
    mixed = [berhu(torch.where(mask, s[:, 0], t[:, 0]), view.depth) for s, t in stages]
    assert torch.allclose(second["target/depth"], 0.001 * (mixed[0] + mixed[1]))
    of_target, of_source = torch.autograd.grad(second["target/depth"], [given.target, given.source])
    known = view.depth != UNKNOWN
    assert torch.equal(of_target[:, 0] != 0, ~mask & known) and torch.equal(
        of_source[:, 0] != 0, mask & known
    )


def test_the_first_prediction_labels_at_first() -> None:
    student = Says(depths(7.0, 7.0, 1.0, 2.0))
    method = guided(student, first_until=25_001 / 250_000)
    method.mix = None
    wanted = student.layer(batch().target.image)
    for step, logits in ((0, -wanted), (4000, wanted)):  # of 40 000
        (_, _), (view, _) = seen(method, step)
        assert torch.equal(view.label, logits.argmax(1)), step


def test_without_the_branches_it_is_dacs_to_the_bit() -> None:
    """The same seeds, views, losses, gradients and teachers, whatever the depths are."""
    torch.manual_seed(0)
    student = Says(depths(7.0, 99.0, 1.0, 2.0))
    off = {"source_share": 0.0, "target_share": 0.0, "weigh": False, "first_until": 0.0}
    plain = self_training(student, **DACS, teacher={"name": "average", "momentum": 0.9})
    results: list[list[Tensor]] = []
    for method in (guided(student, **off), plain):
        kept: list[Tensor] = []
        for view, losses in seen(method):
            total = torch.stack(list(losses.values())).sum()
            kept += [view.image, view.label, losses[f"{view.name}/segmentation"], total]
            kept += torch.autograd.grad(total, list(student.parameters()))
            kept += [] if view.weight is None else [view.weight]
        method.after_step(batch(), 5)
        results.append([*kept, *method.teacher.parameters()])
    assert len(results[0]) == len(results[1]) > 10
    assert all(map(torch.equal, *results))


@pytest.mark.slow
def test_the_recipe_without_depth_trains_what_dacs_trains(tmp_path: Path) -> None:
    bare = {"method": {"depth": None, "teacher": {"momentum": 0.9}}, "network": {"head": "segformer"}}
    for name, wanted in (("corda", tiny("corda", bare)), ("dacs", tiny("dacs"))):
        train(wanted, tmp_path / name, console=QUIET, cpu=True)
    assert_same_tensors(*(tmp_path / name / "model/model.safetensors" for name in ("corda", "dacs")))


def test_what_does_not_go_together_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"corda learns depth, which network\.head=segformer does not predict: set"
    ):
        wanted = tiny("corda", {"network": {"head": "segformer"}})
        build_method(wanted, build_student(wanted))
    with pytest.raises(
        ValueError, match=r"head=segformer_tasks predicts depth, which recipe dacs does not teach"
    ):
        wanted = tiny("dacs", {"network": {"head": "segformer_tasks"}})
        build_method(wanted, build_student(wanted))
    with pytest.raises(ValueError, match="set mask=null and pair=null"):
        tiny("corda", {"method": {"mask": {}}})
    with pytest.raises(ValueError, match=r"one resolution: set network\.multi_resolution=null"):
        build_segmenter("mit_nano", "segformer_tasks", num_classes=3, multi_resolution={"detail": (64, 64)})
    with pytest.raises(ValueError, match="a multiple of 4"):
        build_segmenter("mit_nano", "segformer_tasks", num_classes=3, channels=6)


def test_the_papers_pairs_have_its_network_rates_and_depths() -> None:
    for name, first, source, score in (
        ("gta5_to_cityscapes", "pyramid", "mono", 56.6),
        ("synthia_to_cityscapes", "pointwise", "synthia", 55.0),
    ):
        wanted = experiment("corda", PAIRS[name])
        network, data, settings = wanted.network, wanted.data, wanted.method
        assert (network.encoder, network.head, network.context) == ("resnet101_caffe", "deeplab_tasks", first)
        assert network.aligned_corners and network.channels == 256 and wanted.steps == 250_000
        assert (wanted.optim.name, wanted.optim.lr, wanted.optim.head_factor) == ("sgd", 2.5e-4, 10)
        assert data.source.depth is not None and data.source.depth.encoding == source
        assert data.target.depth is not None and data.target.depth.encoding == "stereo"
        assert isinstance(settings, SelfTrainingSettings)
        assert settings.depth == DepthGuidanceSettings(first_until=0.100004)
        assert round(settings.depth.first_until * wanted.steps) == 25_001
        assert (settings.teacher.momentum, settings.teacher.copies_first) == (0.999, True)
        assert RECIPES["corda"].rows[name].mean == score
        assert experiment("dacs", PAIRS[name]).data.source.depth is None
    assert experiment("corda", PAIRS["cityscapes_to_acdc"]).data.target.depth is None


def test_weights_are_float32_and_of_the_depths_size() -> None:
    half = Depths(*(torch.rand(2, 1, 4, 4).bfloat16() * 9 for _ in range(4)))
    view = View("target", torch.zeros(2, 3, 8, 8), depth=torch.rand(2, 8, 8) * 9 + 2)
    weight = pixel_trust(Output(torch.zeros(2, 4, 4, 4), [], torch.zeros(2, 1, 4, 4), [], depths=half), view)
    assert weight.dtype == torch.float32 and weight.shape == (2, 8, 8) and weight.mean() == pytest.approx(1)
