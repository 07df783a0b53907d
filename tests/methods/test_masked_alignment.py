"""MIC for classification: the student learns from a part what the teacher is sure of on the whole."""

import torch
import torch.nn.functional as F
from tests.tiny import tiny
from torch import Tensor

from segue.engine.build import build_method, build_student
from segue.methods.masked_alignment import MaskedAlignment
from segue.methods.self_training import SelfTraining
from segue.types import Batch, Joint, Source, Target, View


def batch() -> Batch:
    image, label = torch.randn(4, 3, 32, 32), torch.randint(0, 8, (4, 1, 1))
    return Batch(Source(image, label, [""] * 4), Target(image.flip(0), None, None, [""] * 4))


def method(**mask: object) -> MaskedAlignment:
    torch.manual_seed(0)
    wanted = tiny(
        "mic_cls", {"method": {"augment": None, "mask": mask}, "terms": {"conditional_adversarial": None}}
    )
    built = build_method(wanted, build_student(wanted))
    assert isinstance(built, MaskedAlignment)
    return built.train()


def masked(built: MaskedAlignment, seen: Batch) -> View:
    first, last = built.views(seen, 0)
    assert isinstance(first, Joint) and [view.name for view in first.views] == ["source", "target"]
    assert isinstance(last, View) and last.name == "masked"
    return last


def test_with_nothing_hidden_the_loss_is_that_of_the_teachers_labels_by_its_certainty() -> None:
    built, seen = method(ratio=0.0), batch()
    assert seen.target is not None
    view = masked(built, seen)
    certainty, label = built.teacher(seen.target.image).logits.flatten(1).softmax(1).max(1)
    assert torch.equal(view.image, seen.target.image)
    loss = built(view)["masked/segmentation"]
    said: Tensor = built.student(seen.target.image).logits.flatten(1)
    expected = (certainty * F.cross_entropy(said, label, reduction="none")).mean()
    assert torch.allclose(loss, expected, atol=1e-6)


def test_hidden_blocks_are_zero_and_others_as_they_were() -> None:
    built, seen = method(ratio=0.7, block=8), batch()
    assert seen.target is not None
    image = masked(built, seen).image
    hidden = image == 0
    assert 0.4 < float(hidden.float().mean()) < 0.95
    assert torch.equal(image[~hidden], seen.target.image[~hidden])
    assert bool((hidden.unfold(2, 8, 8).unfold(3, 8, 8).flatten(4).float().mean(4) % 1 == 0).all())


def test_the_teacher_follows_the_student_and_gets_no_gradient() -> None:
    built, seen = method(ratio=0.5, block=8), batch()
    for view in built.views(seen, 5):
        torch.stack(list(built(view).values())).sum().backward()
    assert all(parameter.grad is None for parameter in built.teacher.parameters())
    own, student = next(built.teacher.parameters()), next(built.student.parameters())
    before = own.clone()
    with torch.no_grad():
        student.add_(1.0)
    built.after_step(seen, 5)
    assert torch.allclose(own, before.lerp(student, 1 - min(1 - 1 / 7, 0.9)), atol=1e-6)


def test_self_training_labels_pictures_by_a_single_cell() -> None:
    """What CLDA for classification stands on: a label for each picture, whatever the picture's size."""
    torch.manual_seed(0)
    wanted = tiny("clda_cls", {"method": {"teacher": {"name": "average"}, "threshold": 0.0}})
    built = build_method(wanted, build_student(wanted))
    assert isinstance(built, SelfTraining)
    _, target = built.views(batch(), 0)
    assert isinstance(target, View) and target.label is not None and target.weight is not None
    assert target.label.shape == target.weight.shape == (4, 1, 1) and float(target.weight.min()) == 1.0
