"""A run's pseudo-labels are measured as a count of pixels one by one has it, for the start and every checkpoint."""

import io
import json
from collections import Counter
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file
from tests.scripts import load_script
from tests.tiny import tiny

from segue.engine.build import build_student
from segue.engine.domains import open_domain
from segue.engine.run import train
from segue.types import IGNORE

THRESHOLD = 0.2  # random weights are rarely surer
WANTED = tiny("daformer", {"run": {"save_every": 1, "keep": 99}, "method": {"threshold": THRESHOLD}})


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("pseudo_labels")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "daformer"
    train(WANTED, folder, console=Console(file=io.StringIO()), cpu=True)
    return folder


def naive(network: torch.nn.Module, batches: list) -> dict[str, float]:
    """Pixel by pixel, with batch norms that normalise by each batch, as the teacher's do while it teaches."""
    pairs: Counter[tuple[int, int]] = Counter()
    sure = right = pixels = above = 0
    network.eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.train()
    for image, label in batches:
        with torch.no_grad():
            logits = torch.nn.functional.interpolate(
                network(image).logits, size=image.shape[-2:], mode="bilinear", align_corners=False
            )
        highest = logits.softmax(1).max(1)
        rows = (label.flatten(), highest.indices.flatten(), highest.values.flatten())
        for true, named, confidence in zip(*(row.tolist() for row in rows), strict=True):
            pixels += 1
            above += confidence >= THRESHOLD
            if true == IGNORE:
                continue
            pairs[true, named] += 1
            if confidence >= THRESHOLD:
                sure += 1
                right += true == named
    labelled = sum(pairs.values())
    road = WANTED.data.classes.index("road")
    truly = sum(n for (true, _), n in pairs.items() if true == road)
    named = sum(n for (_, named), n in pairs.items() if named == road)
    return {
        "accuracy": sum(n for (true, named), n in pairs.items() if true == named) / labelled,
        "sure": above / pixels,
        "accuracy_of_sure": right / sure,
        "road named": named / labelled,
        "road there": truly / labelled,
        "road IoU": pairs[road, road] / (truly + named - pairs[road, road]),
    }


@pytest.mark.slow
def test_numbers_are_those_of_a_count_by_hand(script: ModuleType, run: Path) -> None:
    found = script.diagnose(run, device=torch.device("cpu"), most=100)
    assert [look.step for look in found.looks] == [0, 1, 2, 3] and found.pictures == 6
    target = open_domain(WANTED.data, WANTED.data.target, labelled=True)
    batches = list(script._batches(WANTED, target, range(6), torch.device("cpu")))
    torch.manual_seed(WANTED.seed)
    network = build_student(WANTED)  # the teacher at the start
    for look in found.looks:
        if look.step:
            state = load_file(run / "checkpoints" / f"{look.step:07d}" / "method.safetensors")
            prefix = "teacher.network."
            network.load_state_dict(
                {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
            )
        expected = naive(network, batches)
        measured = {
            "accuracy": look.accuracy,
            "sure": look.sure,
            "accuracy_of_sure": look.accuracy_of_sure,
            "road named": look.named["road"],
            "road there": found.there["road"],
            "road IoU": look.classes["road"],
        }
        assert measured == pytest.approx(expected, abs=1e-9), look.step
    assert len({look.accuracy for look in found.looks}) > 1, "the teacher follows its student"
    logged = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert found.weights == [(row["step"], row["target/weight"]) for row in logged] and len(logged) == 3


def test_labels_belong_to_the_crops(script: ModuleType) -> None:
    """A crop's picture and label are cut at one place: where the label says sky, the picture is the same as its own."""
    target = open_domain(WANTED.data, WANTED.data.target, labelled=True)
    (first, again) = (list(script._batches(WANTED, target, range(6), torch.device("cpu"))) for _ in range(2))
    assert all(
        torch.equal(a.image, b.image) and torch.equal(a.label, b.label)
        for a, b in zip(first, again, strict=True)
    )
    assert all(batch.image.shape[-2:] == batch.label.shape[-2:] == (64, 64) for batch in first)


def test_the_record_names_no_place_and_the_drawing_stands_alone(
    script: ModuleType, run: Path, tmp_path: Path
) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    script.main([str(run), "--out", str(tmp_path / "seen"), "--device", "cpu", "--pictures", "3"])
    text = (tmp_path / "seen.json").read_text()
    assert str(run.parent) not in text and str(tmp_path) not in text
    record = script.Record.model_validate_json(text)
    (one,) = record.runs.values()
    assert one.pictures == 3 and one.recipe == "daformer"
    drawing = (tmp_path / "seen.svg").read_text()
    ElementTree.fromstring(drawing)
    assert "http" not in drawing.replace("http://www.w3.org/2000/svg", "")
    for said in ("accuracy where sure", "logged weight", "traffic light", f"sure from {THRESHOLD}"):
        assert said in drawing
    assert before == {path: path.stat().st_mtime_ns for path in run.rglob("*")}, "the run is left alone"


def test_a_run_without_a_teacher_is_refused(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from segue.engine.experiment import save

    save(tiny("source_only"), tmp_path / "experiment.yaml")
    with pytest.raises(SystemExit):
        script.main([str(tmp_path), "--out", str(tmp_path / "x")])
    assert "in recipe source_only no teacher labels the target" in capsys.readouterr().err
