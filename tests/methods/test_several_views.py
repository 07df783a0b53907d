"""SAC: the teacher sees clean views and moves seldom, with its statistics; the first view is the crop; without a share
it is source-only; a baseline comes first, whose batch statistics are those of both domains."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.methods.building import context
from tests.tiny import QUIET, assert_same_tensors, stopped_after_two_steps, tiny
from torch import Tensor, nn

from segue.engine.experiment import load
from segue.engine.stages import train
from segue.methods.several_views import SeveralViews, SeveralViewsSettings
from segue.methods.source_only import SourceOnlySettings
from segue.methods.teachers.slow import SlowSettings, SlowTeacher
from segue.ops.augment import grey
from segue.types import IGNORE, Batch, Output, Source, Supervised, Target, View

UNSCORED = {"data": {"evaluation": None, "source_evaluation": None}}


class Plain(nn.Module):
    """One convolution and a batch norm; it remembers what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 1)
        self.norm = nn.BatchNorm2d(4)
        self.shown: list[Tensor] = []

    def forward(self, image: Tensor) -> Output:
        self.shown.append(image)
        logits = self.norm(self.layer(image))
        return Output(logits, [], logits, [Supervised(logits)])


def method(**options: Any) -> SeveralViews:
    torch.manual_seed(0)
    settings = SeveralViewsSettings(baseline=False, **options)
    return settings.build(context(Plain(), classes=4), {})


def batch() -> Batch:
    image = torch.randn(2, 3, 32, 48, generator=torch.Generator().manual_seed(1))
    valid = torch.ones(2, 32, 48, dtype=torch.bool)
    valid[:, -4:] = False
    label = torch.zeros(2, 32, 48, dtype=torch.int64)
    return Batch(Source(image, label, ["", ""]), Target(image.flip(0), valid, None, ["", ""]))


def shown(built: SeveralViews, data: Batch) -> View:
    torch.manual_seed(2)
    _, target = built.views(data, 0)
    return target


def test_the_teacher_sees_clean_views_of_which_the_first_is_the_crop() -> None:
    built, data = method(views=3), batch()
    target = shown(built, data)
    assert data.target is not None and target.label is not None and target.weight is not None
    (seen,) = built.teacher.network.shown
    assert isinstance(seen, Tensor) and seen.shape == target.image.shape == (6, 3, 32, 48)
    assert torch.allclose(seen[::3], data.target.image, atol=1e-4)
    assert not torch.allclose(seen[1], data.target.image[0], atol=0.1)
    assert not torch.allclose(target.image, seen, atol=1e-3)  # its colours are changed
    clean = shown(method(views=3, augment=None), data)
    assert torch.allclose(clean.image, seen, atol=1e-6)
    assert bool((target.label[0, -4:] == IGNORE).all()) and bool((target.label != IGNORE).any())
    assert float(target.weight.min()) >= 0 and float(target.weight.max()) <= 1


def test_the_prior_is_the_teachers_mean_at_first() -> None:
    built = method()
    assert torch.equal(built.prior, torch.full((4,), 1e-3))
    shown(built, batch())
    (seen,) = built.teacher.network.shown
    built.teacher.train()
    mean = built.teacher(seen).logits.softmax(1).mean((0, 2, 3))  # type: ignore[arg-type]
    assert torch.allclose(built.prior, mean, atol=1e-6)


def test_the_official_confidence_is_that_of_all_views() -> None:
    own, all_of_them = (
        shown(method(confidence=kind, focus=0.0), batch()).weight for kind in ("view", "batch")
    )
    assert own is not None and all_of_them is not None
    assert torch.allclose(own.mean(0), all_of_them[0], atol=1e-6)
    assert torch.equal(all_of_them, all_of_them[:1].expand_as(all_of_them))


def test_the_slow_teacher_moves_only_now_and_then_with_its_statistics() -> None:
    torch.manual_seed(0)
    student = Plain()
    slow = SlowSettings(momentum=0.9, every=3).build(context(student), {})
    assert isinstance(slow, SlowTeacher) and not slow.train().network.training
    before = {name: value.clone() for name, value in slow.network.state_dict().items()}
    with torch.no_grad():
        for value in (*student.parameters(), student.norm.running_mean):
            assert value is not None
            value.add_(1.0)
    for step in (0, 1):
        slow.follow(student, batch(), step)
        assert all(torch.equal(value, before[name]) for name, value in slow.network.state_dict().items())
    slow.follow(student, batch(), 2)
    after = slow.network.state_dict()
    for name in ("layer.weight", "norm.running_mean"):
        assert torch.allclose(after[name], before[name] + 0.1, atol=1e-6)


def test_a_baseline_has_statistics_of_both_domains_and_the_gradient_of_one() -> None:
    torch.manual_seed(0)
    student, data = Plain(), batch()
    assert data.target is not None
    built = SourceOnlySettings(mixes_statistics=True).build(context(student), {})
    views = list(built.views(data, 0))
    assert [view.name for view in views] == ["source"] and len(student.shown) == 1
    assert torch.equal(student.shown[0], data.target.image)
    assert student.norm.num_batches_tracked == 1 and all(p.grad is None for p in student.parameters())


def test_grey_pictures_are_as_bright() -> None:
    picture = torch.rand(2, 3, 4, 4)
    found = grey(picture)
    assert torch.equal(found[:, 0], found[:, 2])
    assert torch.allclose(grey(found), found, atol=1e-6)


def test_a_share_of_nothing_is_source_only_bit_for_bit(tmp_path: Path) -> None:
    """All that learns is equal; running batch statistics follow both domains."""

    def learnt(name: str, *wishes: dict[str, Any]) -> dict[str, Tensor]:
        same = {"data": {"max_share": 1.0, "scale": [1.0, 1.0]}, "run": {"draw_every": 0}}
        train(tiny(name, same, UNSCORED, *wishes), tmp_path / name, console=QUIET, cpu=True)
        state = load_file(tmp_path / name / "model" / "model.safetensors")
        return {key: value for key, value in state.items() if "running_" not in key and "num_" not in key}

    nothing = {"method": {"share": 0.0, "baseline": False, "source_mean": "pixels"}}
    source, none = learnt("source_only"), learnt("sac", nothing)
    assert source.keys() == none.keys() and all(torch.equal(none[name], source[name]) for name in source)


@pytest.mark.slow
def test_both_stages_may_be_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    wanted = tiny("sac", UNSCORED, {"method": {"teacher": {"every": 1}}})
    train(wanted, whole, console=QUIET, cpu=True)
    first, last = (load(whole / name / "experiment.yaml") for name in ("baseline", "adapted"))
    assert first.method.name == "source_only" and last.network.start == whole / "baseline"
    for _ in range(2):
        with stopped_after_two_steps(monkeypatch):
            train(wanted, broken, console=QUIET, cpu=True)
    train(wanted, broken, console=QUIET, cpu=True)
    assert_same_tensors(whole / "model/model.safetensors", broken / "model/model.safetensors")
    file = "adapted/checkpoints/0000003/method.safetensors"
    assert_same_tensors(whole / file, broken / file)
    assert "prior" in load_file(whole / file)
