"""Entropy, steadiness and agreement on pictures whose predictions are known by hand; the script that compares them."""

import io
from pathlib import Path

import pytest
import torch
from rich.console import Console
from tests.scripts import load_script
from tests.tiny import tiny
from torch import Tensor

from segue.classes import class_list
from segue.engine.stages import train
from segue.evaluation.model import Model
from segue.evaluation.unlabelled import look


def brightest(image: Tensor) -> Tensor:
    """The class of a pixel is its brightest colour, almost surely."""
    return (image * 100).softmax(dim=1)


def model(predictor=brightest) -> Model:
    return Model(predictor, class_list(["a", "b", "c"]), (0.0,) * 3, (255.0,) * 3, torch.device("cpu"))


def stripes(count: int = 4) -> list[Tensor]:
    images = torch.zeros(count, 3, 32, 48, dtype=torch.uint8)
    images[:, 0, :, :16], images[:, 1, :, 16:32], images[:, 2, :, 32:] = 255, 255, 255
    return list(images)


def test_sure_and_in_agreement_with_itself(in_memory) -> None:
    found = look(model(), in_memory(stripes(), []), other=model())
    assert found.entropy == pytest.approx(0, abs=1e-6) and found.agreement == 1.0
    assert 0.9 < found.steadiness <= 1.0 and found.pictures == 4


def test_a_guess_has_an_entropy_of_one(in_memory) -> None:
    found = look(model(lambda image: torch.full_like(image, 1 / 3)), in_memory(stripes(), []), most=2)
    assert found.entropy == pytest.approx(1.0) and found.agreement is None and found.pictures == 2


def test_agreement_is_a_mean_over_the_other_s_classes(in_memory) -> None:
    """The other one names the last stripe like the second: IoU 1, 1/2."""

    def merging(image: Tensor) -> Tensor:
        probability = brightest(image)
        return torch.stack([probability[:, 0], probability[:, 1:].sum(1), 0 * probability[:, 0]], 1)

    found = look(model(), in_memory(stripes(), []), other=model(merging))
    assert found.agreement == pytest.approx((1 + 1 / 2) / 2)


def test_steadiness_falls_if_the_prediction_changes_with_the_size(in_memory) -> None:
    def by_size(image: Tensor) -> Tensor:
        return brightest(image if image.shape[-1] == 48 else image.roll(1, 1))

    assert look(model(by_size), in_memory(stripes(), [])).steadiness < 0.1


@pytest.mark.slow
def test_the_script_compares_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for recipe in ("source_only", "daformer"):
        train(tiny(recipe), tmp_path / recipe, console=Console(file=io.StringIO()), cpu=True)
    script = load_script("batch_statistics")
    runs = [str(tmp_path / recipe) for recipe in ("source_only", "daformer")]
    script.main([*runs, "--device", "cpu", "--pictures", "2"])
    said = " ".join(capsys.readouterr().out.split())
    assert "points on average" in said
    assert "low entropy: prefers what scores better in" in said and "of 2 runs" in said
    assert "agrees with teacher: prefers what scores better in" in said and "of 1 runs" in said
