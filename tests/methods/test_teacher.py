"""The moving-average teacher equals the official one at every step, and frozen networks stay out of checkpoints."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from tests.methods.building import context
from tests.parity import numbers
from torch import nn

from segue.methods.teacher import Frozen
from segue.methods.teachers.average import AverageSettings, EmaTeacher
from segue.models.build import build_segmenter
from segue.types import Batch, Source

BATCH = Batch(Source(torch.zeros(1, 3, 2, 2), torch.zeros(1, 2, 2, dtype=torch.long), [""]), None)


class Tiny(nn.Module):
    """The fixture's network: a convolution, a batch norm, a scalar."""

    def __init__(self) -> None:
        super().__init__()
        self.c = nn.Conv2d(3, 4, 3)
        self.bn = nn.BatchNorm2d(4)
        self.s = nn.Parameter(torch.zeros(()))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.bn(self.c(image)) * self.s


def load(network: nn.Module, data: dict[str, torch.Tensor], prefix: str) -> None:
    state = {name.removeprefix(prefix): value for name, value in data.items() if name.startswith(prefix)}
    network.load_state_dict(state, strict=False)


def test_one_update_equals_the_official_one_at_every_iteration(fixtures_dir: Path) -> None:
    """The official iteration t is our step t - 1: the update after step i happens at the start of iteration i + 1."""
    data = numbers(fixtures_dir, "ema")
    for iteration in (1, 2, 10, 998, 999, 1000, 5000):
        student, teacher = Tiny(), EmaTeacher(AverageSettings(), Tiny())
        load(student, data, "student/")
        load(teacher.network, data, "teacher_before/")
        teacher.follow(student, BATCH, iteration - 1)
        for name, value in teacher.network.state_dict().items():
            if "num_batches" not in name:
                assert torch.allclose(value, data[f"after_iter{iteration}/{name}"], atol=1e-6), (
                    iteration,
                    name,
                )


def test_buffers_follow_only_when_asked() -> None:
    for statistics, expected in (("batch", 0.0), ("average", 0.5)):
        student = Tiny()
        teacher = EmaTeacher(AverageSettings(statistics=statistics), student)
        student.bn.running_mean.fill_(1.0)
        teacher.follow(student, BATCH, 0)
        assert float(teacher.network.bn.running_mean[0]) == expected


def test_batch_statistics_make_labels_depend_on_the_batch_and_averages_do_not() -> None:
    images = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    student = Tiny()
    nn.init.ones_(student.s)
    for statistics, depends in (("batch", True), ("average", False)):
        teacher = EmaTeacher(AverageSettings(statistics=statistics), student).train()
        together = teacher(images)[:1]
        alone = teacher(images[:1])
        assert torch.allclose(together, alone, atol=1e-5) is not depends


def test_dropout_is_off_in_the_teacher_even_while_training() -> None:
    teacher = EmaTeacher(AverageSettings(), nn.Sequential(nn.Dropout2d(0.9), nn.BatchNorm2d(3))).train()
    assert not teacher.network[0].training
    assert teacher.network[1].training


def test_a_frozen_network_moves_with_its_owner_but_is_not_in_its_state() -> None:
    frozen = Frozen(nn.Linear(2, 2))
    owner = nn.ModuleList([frozen])
    assert not list(owner.parameters()) and not owner.state_dict()
    owner.double().train()
    assert frozen(torch.ones(1, 2, dtype=torch.float64)).dtype == torch.float64
    assert not frozen(torch.ones(1, 2, dtype=torch.float64)).requires_grad


def test_a_teacher_looks_again() -> None:
    """Its label is the mean of what it says of a picture as it is, mirrored, and at other sizes."""
    torch.manual_seed(0)
    student = build_segmenter("mit_nano", "segformer", num_classes=5, channels=8).eval()
    image = torch.randn(2, 3, 64, 96)
    plain = AverageSettings(statistics="average").build(context(student), {})
    again = AverageSettings(statistics="average", scales=[1.5], flip=True).build(context(student), {})
    large = F.interpolate(image, scale_factor=1.5, mode="bilinear")
    with torch.no_grad():
        said = [student(seen).logits for seen in (image, image.flip(-1), large, large.flip(-1))]
    said[1::2] = [logits.flip(-1) for logits in said[1::2]]
    size = said[0].shape[-2:]
    expected = torch.stack([F.interpolate(one, size, mode="bilinear").softmax(1) for one in said]).mean(0)
    assert torch.allclose(again(image).logits.softmax(1), expected, atol=1e-6)
    assert torch.equal(plain(image).logits, said[0])
    assert not torch.allclose(said[0].softmax(1), expected, atol=1e-3)
    for own, other in zip(again(image).features, plain(image).features, strict=True):
        assert torch.equal(own, other)


@pytest.mark.parametrize(("scale", "words"), [(1.0, "leave it out"), (0.01, "0.25"), (100.0, "4")])
def test_looks_that_make_no_sense_are_refused(scale: float, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        AverageSettings(scales=[scale])


def test_it_never_looks_at_less_than_an_encoder_takes() -> None:
    student = build_segmenter("mit_nano", "segformer", num_classes=5, channels=8).eval()
    again = AverageSettings(statistics="average", scales=[0.25]).build(context(student), {})
    assert again(torch.randn(1, 3, 64, 96)).logits.isfinite().all()
