"""ProDA: prototypes begin as the target's class means; labels are corrected by them; the changed view is compared where
it is seen; stages follow one another, may be interrupted, and open no target label."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.tiny import (
    QUIET,
    assert_same_tensors,
    domains_whose_labels_are_opened,
    stopped_after_two_steps,
    tiny,
    write_model,
)
from torch import Tensor

from segue.engine.build import build_method, build_student
from segue.engine.domains import open_domain
from segue.engine.experiment import load, revise
from segue.engine.stages import train
from segue.methods.context import Preparation
from segue.methods.distillation import DistillationSettings
from segue.methods.prototypes import PROTOTYPES_FILE, PrototypeSettings, PrototypeTraining
from segue.methods.strong_view import StrongViewSettings
from segue.ops.prototypes import class_means, denoised_label
from segue.types import Batch, Source, Target

UNSCORED = {"data": {"evaluation": None, "source_evaluation": None}}


def built(**options: object) -> PrototypeTraining:
    torch.manual_seed(0)
    wanted = tiny("proda", {"method": options, "terms": {"adversarial": None}})
    method = build_method(wanted, build_student(wanted))
    assert isinstance(method, PrototypeTraining)
    return method


def batch() -> Batch:
    generator = torch.Generator().manual_seed(1)
    image = torch.randn(2, 3, 64, 64, generator=generator)
    label = torch.randint(0, 12, (2, 64, 64), generator=generator)
    soft = torch.rand(2, 12, 64, 64, generator=generator).softmax(1)
    valid = torch.ones(2, 64, 64, dtype=torch.bool)
    valid[:, :8] = False
    return Batch(Source(image, label, ["", ""]), Target(image.flip(0), valid, label, ["", ""], soft))


def test_prototypes_begin_as_the_means_of_the_target(tmp_path: Path) -> None:
    method, wanted = built(least=1), tiny("proda")
    source = open_domain(wanted.data, wanted.data.source, labelled=True)
    target = open_domain(wanted.data, wanted.data.target, labelled=False)
    boxes = {"source": None, "target": None}
    method.prepare(Preparation(tmp_path, source, target, boxes, torch.device("cpu")))
    found = load_file(tmp_path / PROTOTYPES_FILE)
    assert torch.equal(method.prototypes.prototypes, found["prototypes"])
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in method.colours)
    student = method.student.eval()
    every: list[Tensor] = []
    seen: list[Tensor] = []
    for place in range(len(target)):
        with torch.no_grad():
            output = student((target.image(place)[None].float() - mean) / std)
        means, there = class_means(output.embedding, output.logits.argmax(1), classes=12, least=1)
        every, seen = [*every, means[0]], [*seen, there[0]]
    counts = torch.stack(seen).sum(0)
    assert torch.equal(found["counts"], counts.float()) and int(counts.max()) > 1
    wanted_mean = (torch.stack(every) * torch.stack(seen)[..., None]).sum(0) / counts.clamp(min=1)[:, None]
    assert torch.allclose(found["prototypes"], wanted_mean, atol=1e-5)


def test_labels_are_corrected_and_the_changed_view_is_as_near() -> None:
    method, data = built(temperature=3.0), batch()
    assert data.target is not None and data.target.soft is not None
    method.train()
    assert not any(norm.training for norm in method._norms)  # statistics are frozen
    method.prototypes.prototypes.normal_()
    method.prototypes.counts.fill_(100.0)
    before = method.prototypes.prototypes.clone()
    source, altered, target = method.views(data, 0)
    assert target.label is not None and target.teacher is not None
    moved = method.prototypes.prototypes
    assert not torch.equal(moved, before) and torch.allclose(moved, before, atol=0.2)
    with torch.no_grad():
        method.prototypes.prototypes.copy_(before)
        near = method._near(target.teacher, (64, 64))
    assert data.target.valid is not None
    corrected = denoised_label(data.target.soft, near).masked_fill(~data.target.valid, 255)
    assert torch.equal(target.label, corrected)
    assert not torch.equal(target.label[:, 8:], data.target.soft.argmax(1)[:, 8:])
    assert altered.label is None and altered.soft is not None and altered.weight is not None
    there = altered.weight > 0
    assert torch.allclose(altered.soft.sum(1)[there], torch.ones(()), atol=1e-4)
    assert 0.3 < float(there.float().mean()) < 1
    losses = method(altered)
    losses["altered/consistency"].backward()
    assert set(losses) == {"altered/consistency"} and float(losses["altered/consistency"].detach()) > 0
    assert any(p.grad is not None and p.grad.any() for p in method.student.parameters())
    assert set(method(target)) == {"target/segmentation", "target/confidence"}
    assert source.mean_over == "labelled"


def test_a_view_that_is_not_changed_is_as_near_as_the_picture() -> None:
    """Then the loss is zero: student and teacher are equal at the start."""
    method, data = built(), batch()
    still = StrongViewSettings(flip=0.0, move=0.0, cutout=0.0)
    quiet = still.augment.model_copy(update={"jitter_probability": 0.0, "blur_probability": 0.0})
    method.strong = still.model_copy(update={"augment": quiet}).build(_colours(method))
    method.eval()
    method.prototypes.prototypes.normal_()
    method.prototypes.counts.fill_(100.0)
    _, altered, _ = method.views(data, 0)
    assert float(method(altered)["altered/consistency"].detach()) == pytest.approx(0.0, abs=2e-3)


def _colours(method: PrototypeTraining) -> object:
    class Run:
        colours = method.colours

    return Run()  # type: ignore[return-value]


@pytest.mark.slow
def test_stages_follow_one_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = domains_whose_labels_are_opened(monkeypatch)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    wanted = tiny("proda", UNSCORED, {"method": {"distillations": 1, "sure": 0.0}})
    train(wanted, whole, console=QUIET, cpu=True)
    assert asked == {"source"}
    names = ("warmup", "corrected", "distilled1")
    first, second, third = (load(whole / name / "experiment.yaml") for name in names)
    assert first.method.name == "aligned" and set(first.terms.used()) == {"adversarial"}
    assert isinstance(second.method, PrototypeSettings) and second.method.labels == whole / "labels"
    assert second.network.start == whole / "warmup" and set(second.terms.used()) == {"confidence"}
    assert (
        isinstance(third.method, DistillationSettings) and third.method.teacher.model == whole / "corrected"
    )
    assert third.network.start is None and not third.terms.used()
    assert len(list((whole / "labels" / "soft").glob("*.npz"))) == 6
    for _ in names:
        with stopped_after_two_steps(monkeypatch):
            train(wanted, broken, console=QUIET, cpu=True)
    train(wanted, broken, console=QUIET, cpu=True)
    assert_same_tensors(whole / "model/model.safetensors", broken / "model/model.safetensors")
    file = "corrected/checkpoints/0000003/method.safetensors"
    assert_same_tensors(whole / file, broken / file)
    assert "terms.prototypes.prototypes" in load_file(whole / file)


def test_a_student_of_nobody_is_refused() -> None:
    with pytest.raises(ValueError, match=r"distils a model's labels: .* --set method\.labels=DIR"):
        DistillationSettings().reading("own")


def test_a_student_that_equals_its_teacher_is_told_nothing_by_its_probabilities(tmp_path: Path) -> None:
    """Labels are those of the folder, seen where the changed view shows them."""
    wanted = tiny("proda", {"terms": {"adversarial": None, "confidence": None}})
    write_model(wanted, tmp_path, seed=0)
    own = {"name": "distillation", "labels": "there", "teacher": {"name": "large", "model": str(tmp_path)}}
    wanted = revise(wanted, {"method": own})
    torch.manual_seed(0)
    method = build_method(wanted, build_student(wanted)).eval()
    data = batch()
    assert data.target is not None and data.target.offline is not None
    _, target, altered = method.views(data, 0)
    assert float(method(target)["target/segmentation"].detach()) == pytest.approx(0.0, abs=1e-4)
    assert altered.label is not None
    found, known = altered.label.unique().tolist(), data.target.offline.unique().tolist()
    assert (
        255 in found and set(found) <= {*known, 255} and not torch.equal(altered.label, data.target.offline)
    )
