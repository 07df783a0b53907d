"""Runs on pictures that have one class each: scores, report, best step, and two processes as one."""

import csv
import json
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from PIL import Image
from tests.processes import POSIX, forget_processes, on_two
from tests.tiny import QUIET, tiny
from torch import Tensor

from segue.api import predict
from segue.engine.build import build_method, build_student
from segue.engine.loop import Trainer
from segue.engine.run import DISTRIBUTED
from segue.engine.settings import Experiment
from segue.engine.stages import train
from segue.evaluation.metrics import scores
from segue.evaluation.model import TrainedModel
from segue.report.page import write_report
from segue.scores import Scores
from segue.study.record import score_of
from segue.types import Batch, Source, Target

STEPS = 3


def test_scores_of_whole_pictures() -> None:
    """Accuracy, each class's, and their mean, from the confusion matrix; a class without a picture is left out."""
    confusion = torch.tensor([[3, 1, 0], [0, 1, 0], [0, 0, 0]])
    found = scores(confusion, ["a", "b", "c"], whole=True)
    assert (found.headline, found.called) == (4 / 5, "accuracy")
    assert found.by_class == {"a": 3 / 4, "b": 1.0, "c": None}
    content = json.loads(json.dumps(found.to_json()))
    assert content["class_accuracy"] == pytest.approx((3 / 4 + 1) / 2)
    assert content["confusion"] == confusion.tolist()
    assert Scores.from_json(content | {"measure": "class_accuracy"}, "x").headline == pytest.approx(0.875)
    assert "confusion" not in scores(confusion, ["a", "b", "c"]).to_json()


@pytest.mark.slow
def test_a_run_is_scored_reported_and_predicts(tmp_path: Path) -> None:
    """Report and study show accuracy; the best step by a measure without labels is kept and scored beside the last."""
    wanted = tiny("sdat", {"evidence": {"pictures": 4, "best": "information"}, "run": {"save_every": 1}})
    run = tmp_path / "run"
    found = train(wanted, run, console=QUIET, cpu=True)
    assert found is not None and found["measure"] == "accuracy"
    assert sum(map(sum, found["confusion"])) == found["pixels"] == 8
    rows = json.loads((run / "evidence.json").read_text())["rows"]
    values = {row["step"]: row["values"]["information"] for row in rows if row["step"]}
    assert found["best"]["step"] == max(values, key=values.__getitem__) and len(values) == STEPS
    assert found["best"]["chosen_by"] == "information"
    page = write_report(tmp_path / "report.html", [run], title="x").read_text()
    assert "% accuracy" in page and "takes for what" in page and "% mean IoU" not in page
    score = score_of(run)
    assert score is not None and (score.mean_iou, score.measure) == (found["accuracy"], "accuracy")
    model = TrainedModel.load(run)
    prediction = model.predict(torch.zeros(3, 40, 50, dtype=torch.uint8))
    assert prediction.index.shape == (40, 50) and len(set(prediction.index.flatten().tolist())) == 1
    picture = tmp_path / "pictures" / "a, b.png"
    picture.parent.mkdir()
    Image.new("RGB", (50, 40)).save(picture)
    (picture.parent / "bad.png").write_bytes(b"no picture")
    written = predict(run, picture.parent, tmp_path / "predicted")
    assert (written.predicted, list(written.failed), written.files) == (1, ["bad"], ("predictions.csv",))
    assert {path.name for path in (tmp_path / "predicted").iterdir()} == {"classes.json", "predictions.csv"}
    with (tmp_path / "predicted/predictions.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    named, sure = prediction.classes.names[prediction.index[0, 0]], prediction.confidence[0, 0]
    assert (row["picture"], row["class"]) == ("a, b", named)
    assert float(row["confidence"]) == pytest.approx(sure, abs=1e-4)


def batch(step: int, slots: slice) -> Batch:
    generator = torch.Generator().manual_seed(step)
    image, other = (torch.randn(8, 3, 32, 32, generator=generator) for _ in range(2))
    label = torch.randint(0, 8, (8, 1, 1), generator=generator)
    names = [""] * 8
    return Batch(
        Source(image[slots], label[slots], names[slots]), Target(other[slots], None, None, names[slots])
    )


def trained(wanted: Experiment, folder: Path, slots: slice) -> dict[str, Tensor]:
    torch.manual_seed(0)
    method = build_method(wanted, build_student(wanted))
    accelerator = Accelerator(cpu=True, kwargs_handlers=[DISTRIBUTED])
    trainer = Trainer(wanted, folder, method=method, accelerator=accelerator)
    for step in range(STEPS):
        trainer.update(iter([batch(step, slots)]), step)
    return {name: value.clone() for name, value in method.state_dict().items()}


def one_half(rank: int, wanted: Experiment, folder: Path) -> None:
    state = trained(wanted, folder / "none", slice(4 * rank, 4 * rank + 4))
    torch.save(state, folder / f"{rank}.pt")


@pytest.mark.slow
@POSIX
def test_two_processes_with_half_of_each_batch_equal_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CDAN, MCC and two passes a step: classes are compared, and norms taken, over the pictures of both processes."""
    wanted = tiny("sdat", {"run": {"sync_batch_norm": True}, "optim": {"lr": 0.01}})
    forget_processes()
    alone = trained(wanted, tmp_path / "alone", slice(0, 8))
    on_two(one_half, wanted, tmp_path)
    one, other = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert one.keys() == alone.keys()
    for name, value in alone.items():
        assert torch.equal(one[name], other[name]), name
        assert torch.allclose(one[name], value, rtol=1e-3, atol=2e-5), name
