"""Measures without target labels on predictions known by hand; the script that compares two kinds of statistics."""

import io
import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console
from tests.scripts import load_script
from tests.tiny import tiny
from torch import Tensor

from segue.classes import class_list
from segue.engine.stages import train
from segue.evaluation import unlabelled
from segue.evaluation.model import Model
from segue.evaluation.unlabelled import MEASURES, Seen, look, look_at_source
from segue.types import IGNORE


def brightest(image: Tensor) -> Tensor:
    """The class of a pixel is its brightest colour, almost surely."""
    return (image * 100).softmax(dim=1)


def model(predictor=brightest) -> Model:
    return Model(predictor, class_list(["a", "b", "c"]), (0.0,) * 3, (255.0,) * 3, torch.device("cpu"))


def stripes(count: int = 4) -> list[Tensor]:
    images = torch.zeros(count, 3, 32, 48, dtype=torch.uint8)
    images[:, 0, :, :16], images[:, 1, :, 16:32], images[:, 2, :, 32:] = 255, 255, 255
    return list(images)


def values(found: Seen) -> dict[str, float | None]:
    return {name: measure.value(found) for name, measure in MEASURES.items()}


def made(target: list[list[float]], **more: Tensor) -> Seen:
    """One picture whose pixels have these probabilities, and which is steady."""
    one = torch.tensor(target).T[None]
    return Seen(one, one, **more)


def test_sure_and_in_agreement_with_itself(in_memory) -> None:
    found = values(look(model(), in_memory(stripes(), []), [0, 2], other=model()))
    assert found["entropy"] == pytest.approx(0, abs=1e-6) and found["agreement"] == 1.0
    assert found["steadiness"] > 0.9 and found["information"] == pytest.approx(1, abs=0.01)
    assert all(found[name] is None for name in ("source_score", "accuracy_by_threshold", "drift_from_start"))


def test_a_guess_has_an_entropy_of_one_and_says_nothing(in_memory) -> None:
    found = values(look(model(lambda image: torch.full_like(image, 1 / 3)), in_memory(stripes(), []), [0]))
    assert found["entropy"] == pytest.approx(1.0) and found["information"] == pytest.approx(0, abs=1e-6)
    assert found["density"] == pytest.approx(1.0) and found["agreement"] is None


def test_one_class_everywhere_is_sure_but_says_nothing() -> None:
    found = values(made([[1.0, 0.0, 0.0]] * 6))
    assert found["entropy"] == 0 and found["information"] == 0 and found["certainty"] == 1


def test_agreement_is_a_mean_over_the_other_s_classes(in_memory) -> None:
    """The other one names the last stripe like the second: IoU 1, 1/2."""

    def merging(image: Tensor) -> Tensor:
        probability = brightest(image)
        return torch.stack([probability[:, 0], probability[:, 1:].sum(1), 0 * probability[:, 0]], 1)

    found = look(model(), in_memory(stripes(), []), [0, 1], other=model(merging))
    assert unlabelled.agreement(found) == pytest.approx((1 + 1 / 2) / 2, abs=0.01)


def test_steadiness_falls_if_the_prediction_changes_with_the_size(in_memory) -> None:
    def by_size(image: Tensor) -> Tensor:
        return brightest(image if image.shape[-1] == 48 else image.roll(1, 1))

    assert unlabelled.steadiness(look(model(by_size), in_memory(stripes(), []), [0])) < 0.1


def test_certainty_counts_every_class_that_is_named_alike() -> None:
    found = made([[0.9, 0.1, 0.0], [0.9, 0.1, 0.0], [0.9, 0.1, 0.0], [0.4, 0.6, 0.0]])
    assert unlabelled.certainty_of_classes(found) == [pytest.approx(0.9), pytest.approx(0.6), None]
    assert unlabelled.certainty(found) == pytest.approx(0.75)


def test_density_is_the_entropy_of_who_is_alike() -> None:
    """Two pairs of pixels: each is like one other only, so its neighbours' entropy is none of log 3."""
    pairs = made([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    assert unlabelled.density(pairs) == pytest.approx(0, abs=1e-4)
    # Three pixels of which the middle one is as like the first as the last, and those two are unlike.
    odds = math.exp(math.sqrt(0.5) / unlabelled.TEMPERATURE)
    lonely = (odds * math.log((odds + 1) / odds) + math.log(odds + 1)) / (odds + 1)
    middle = made([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])
    assert unlabelled.density(middle) == pytest.approx((math.log(2) + 2 * lonely) / 3 / math.log(2), abs=1e-4)


def test_drift_is_the_share_of_pixels_that_would_have_to_change() -> None:
    found = made(
        [[1.0, 0.0]] * 3 + [[0.0, 1.0]],
        start=torch.tensor([0.25, 0.75]),
        source=torch.zeros(1, 2, 4),
        label=torch.tensor([[0, 0, 1, IGNORE]]),
    )
    assert unlabelled.drift_from_start(found) == pytest.approx(0.5)
    assert unlabelled.drift_from_source(found) == pytest.approx(0.75 - 2 / 3)


def test_estimates_of_accuracy_are_calibrated_on_the_source() -> None:
    """On the source 3 of 4 labelled pixels are right and the least sure one is wrong, so its certainty is the limit."""
    source = torch.tensor([[[0.9, 0.8, 0.7, 0.6, 0.99], [0.1, 0.2, 0.3, 0.4, 0.01]]])
    label = torch.tensor([[0, 0, 0, 1, IGNORE]])
    found = made([[0.95, 0.05], [0.65, 0.35], [0.3, 0.7], [0.45, 0.55]], source=source, label=label)
    # By threshold: surer than 0.6 are 0.95, 0.65 and 0.7; the limit itself is the lowest right one, 0.7.
    assert unlabelled.accuracy_by_threshold(found) == pytest.approx(2 / 4)
    assert unlabelled.accuracy_by_difference(found) == pytest.approx(
        0.75 - 0.75 + (0.95 + 0.65 + 0.7 + 0.55) / 4
    )
    assert unlabelled.accuracy_by_threshold(replace(found, target=source)) == pytest.approx(4 / 5)
    assert unlabelled.source_score(found) == pytest.approx((3 / 4 + 0) / 2)


def test_labels_are_read_at_the_places_of_the_pixels(in_memory) -> None:
    """The label is twice as large as the picture, and every pixel is right."""
    label = torch.zeros(64, 96, dtype=torch.uint8)
    label[:, 32:64], label[:, 64:] = 1, 2
    probability, labels = look_at_source(model(), in_memory(stripes(1), [label]), [0])
    assert bool((probability.argmax(1) == labels).all())


@pytest.mark.slow
def test_the_script_compares_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for recipe in ("source_only", "daformer"):
        train(tiny(recipe), tmp_path / recipe, console=Console(file=io.StringIO()), cpu=True)
    script = load_script("batch_statistics")
    runs = [str(tmp_path / recipe) for recipe in ("source_only", "daformer")]
    kept = tmp_path / "kept.json"
    script.main([*runs, "--device", "cpu", "--pictures", "2", "--json", str(kept)])
    said = " ".join(capsys.readouterr().out.split())
    assert re.search(r"\| source only \| [\d.]+ \| [\d.]+ \| [+-][\d.]+ \| 1 \| \| daformer \|", said)
    assert re.search(r"low entropy in [012] of 2, .*agreement with the teacher in [01] of 1 runs", said)
    assert list(json.loads(kept.read_text())) == runs

    def measured_again(*_: object, **__: object) -> None:
        raise AssertionError("what is kept is not measured again")

    monkeypatch.setattr(script, "measure", measured_again)
    script.main([*runs, "--json", str(kept)])
    assert " ".join(capsys.readouterr().out.split()) == said
