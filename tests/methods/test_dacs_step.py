"""A step of DACS equals the official one: teacher, mask, mixture, weights, losses, gradients, moving average."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from tests.methods.building import self_training
from tests.methods.test_teacher import BATCH, Tiny, load
from tests.parity import numbers
from torch import Tensor, nn

from segue.engine.build import build_method, build_student
from segue.methods.self_training import SelfTraining
from segue.methods.teachers.average import AverageSettings, EmaTeacher
from segue.models.segmenter import segmentation_loss
from segue.ops import mixing
from segue.recipes.catalogue import experiment
from segue.recipes.pairs import PAIRS, STREET_SCENES
from segue.types import IGNORE, Batch, Output, Source, Supervised, Target, View

SIZE = (24, 32)
Data = dict[str, Tensor]


@pytest.fixture(scope="module")
def data(fixtures_dir: Path) -> Data:
    return numbers(fixtures_dir, "dacs_mix")


class Says(nn.Module):
    """A network that says the same of every picture, enlarged as DeepLabV2's logits are: corners on corners."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, image: Tensor) -> Output:
        large = F.interpolate(self.logits, SIZE, mode="bilinear", align_corners=True)
        return Output(large, [], large, [Supervised(large)])


def chosen(data: Data, seed: str) -> Tensor:
    table = torch.zeros(2, mixing.VALUES, dtype=torch.bool)
    for picture in range(2):
        table[picture, data[f"{seed}/chosen{picture}"]] = True
    return table


@pytest.mark.parametrize("seed", ["seed7", "seed11"])
@pytest.mark.parametrize(("mode", "threshold"), [("threshold_uniform_CE", 0.968), ("none_CE", None)])
def test_a_step(data: Data, seed: str, mode: str, threshold: float | None, monkeypatch) -> None:
    label = data["source_label"].long()
    drawn = mixing.draw_classes(label, "image", torch.Generator().manual_seed(0))
    assert drawn.sum(1).tolist() == chosen(data, seed).sum(1).tolist(), "as many classes as there"
    monkeypatch.setattr(mixing, "draw_classes", lambda *_: chosen(data, seed))
    student = Says(data["student_logits"])
    method = self_training(
        student,
        teacher=Says(data["teacher_logits"]),
        threshold=threshold,
        mix="class_mix",
        class_pool="image",
        source_mean="labelled",
    )
    names = ["one", "other"]
    batch = Batch(
        Source(data["source_x4"].float() / 4, label, names),
        Target(data["target_x4"].float() / 4, None, None, names),
    )
    views = method.views(batch, 0)
    source = next(views)
    assert isinstance(source, View)
    loss = method(source)["source/segmentation"]
    assert torch.allclose(loss, data["source_loss"], rtol=1e-5)
    assert torch.allclose(torch.autograd.grad(loss, student.logits)[0], data["source_grad"], atol=1e-7)

    with torch.no_grad():
        mixed = next(views)
    assert isinstance(mixed, View) and mixed.mix_mask is not None and mixed.label is not None
    assert torch.equal(mixed.mix_mask, data[f"{seed}/mask"].bool())
    assert torch.equal(mixed.image, data[f"{seed}/mixed_image"])
    assert torch.equal(mixed.label, data[f"{seed}/mixed_label"].long())
    assert torch.equal(mixed.label[~mixed.mix_mask], data["teacher_label"].long()[~mixed.mix_mask])
    weight = data[f"{seed}/{mode}/pixel_weight"]
    assert mixed.weight is not None and torch.allclose(mixed.weight, weight, rtol=1e-6)
    if threshold is not None:
        assert float(mixed.weight.min()) == pytest.approx(float(data["quality"]))
    loss = method(mixed)["target/segmentation"]
    assert torch.allclose(loss, data[f"{seed}/{mode}/loss"], rtol=1e-5)
    assert torch.allclose(
        torch.autograd.grad(loss, student.logits)[0], data[f"{seed}/{mode}/grad"], atol=1e-7
    )


def test_the_average_is_the_official_one_at_every_iteration(data: Data) -> None:
    """It is the student itself after the first update, and has the paper's momentum from the hundredth on."""
    for iteration in (0, 1, 2, 97, 98, 99, 100, 5000):
        student, teacher = Tiny(), EmaTeacher(AverageSettings(momentum=0.99, copies_first=True), Tiny())
        load(student, data, "ema/student/")
        load(teacher.network, data, "ema/teacher/")
        teacher.follow(student, BATCH, iteration)
        for name, value in teacher.network.named_parameters():
            official = data.get(f"ema/iteration{iteration}/{name}")
            assert official is None or torch.allclose(value, official, atol=1e-6), (iteration, name)
        buffers = dict(teacher.network.named_buffers())
        assert torch.equal(buffers["bn.running_mean"], data["ema/teacher/bn.running_mean"])


def test_a_crop_without_a_label_costs_nothing() -> None:
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    view = View("source", torch.zeros(1, 3, 4, 4), torch.full((1, 4, 4), IGNORE), mean_over="labelled")
    loss = segmentation_loss(Output(logits, [], logits, [Supervised(logits)]), view)
    assert not loss.detach() and not torch.autograd.grad(loss, logits)[0].any()


def test_the_recipe_follows_dacs_and_daformer_its_own_code() -> None:
    """No margins, whatever the pair; a loss over labelled source pixels; crops as they come; DAFormer as before."""
    pair = PAIRS["gta5_to_cityscapes"]
    dacs, daformer = (experiment(name, pair) for name in ("dacs", "daformer"))
    mine, other = dacs.method.model_dump(), daformer.method.model_dump()
    assert mine["margins"] is None and other["margins"] is not None
    assert (mine["source_mean"], other["source_mean"]) == ("labelled", "pixels")
    assert (mine["teacher"]["copies_first"], other["teacher"]["copies_first"]) == (True, False)
    assert (mine["class_pool"], other["class_pool"]) == ("image", "batch")
    assert (dacs.data.flip, dacs.data.max_share) == (0.0, 1.0)
    assert (daformer.data.flip, daformer.data.max_share) == (0.5, 0.75)
    wanted = experiment("dacs", STREET_SCENES)
    method = build_method(wanted, build_student(wanted))
    assert isinstance(method, SelfTraining) and method.settings.source_mean == "labelled"
    assert isinstance(method.teacher, EmaTeacher) and method.teacher.settings.copies_first


def test_a_pair_brings_back_nothing_that_a_recipe_rules_out() -> None:
    """But what it leaves out itself is left out."""
    when = {"method.name=self_training": {"method": {"margins": {"top": 0.1}, "augment": None}}}
    pair = {**STREET_SCENES, "when": when}
    dacs, daformer = (experiment(name, pair).method.model_dump() for name in ("dacs", "daformer"))
    assert dacs["margins"] is None and daformer["margins"]["top"] == 0.1
    assert dacs["augment"] is None and daformer["augment"] is None
