"""Every recipe trains, yields the views it declares, and after an interruption ends bit-equal to an unbroken run."""

import io
import json
import math
from pathlib import Path

import pytest
import torch
from rich.console import Console

from segue.engine.build import build_method, build_student
from segue.engine.stages import train
from segue.recipes.catalogue import RECIPES
from segue.types import Batch, Joint, Source, Target
from tests.tiny import (
    QUIET,
    assert_same_tensors,
    domains_whose_labels_are_opened,
    ready,
    stopped_after_two_steps,
    tiny,
)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", list(RECIPES))
def test_three_steps_stopped_after_two_equal_three_in_one_go(
    recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = ready(tiny(recipe), tmp_path / "large")
    scores = train(wanted, tmp_path / "whole", console=QUIET, cpu=True)
    assert scores is not None and 0 <= scores["mean_iou"] <= 1
    rows = [json.loads(line) for line in (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [0, 1, 2]
    assert all(math.isfinite(value) for row in rows for value in row.values())

    with stopped_after_two_steps(monkeypatch):
        train(wanted, tmp_path / "broken", console=QUIET, cpu=True)
    assert train(wanted, tmp_path / "broken", console=QUIET, cpu=True) == scores
    files = [path.relative_to(tmp_path / "whole") for path in (tmp_path / "whole").rglob("*.safetensors")]
    assert any(path.parts[-2:] == ("0000003", "optimizer.safetensors") for path in files)
    for file in files:
        assert_same_tensors(tmp_path / "whole" / file, tmp_path / "broken" / file)
    for name in ("metrics.jsonl", "scores.json", "model/model.safetensors"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "broken" / name).read_bytes(), name


@pytest.mark.parametrize("recipe", list(RECIPES))
def test_what_is_yielded_is_what_is_declared(recipe: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    wanted = ready(tiny(recipe), tmp_path / "large")
    student = build_student(wanted)
    method = build_method(wanted, student)
    grid, classes = (1, 1) if wanted.data.names_pictures else (64, 64), len(wanted.data.classes)
    image, label = torch.randn(2, 3, 64, 64), torch.randint(0, classes, (2, *grid))
    soft = torch.randn(2, classes, *grid).softmax(1)
    depth = torch.rand(2, *grid) * 50 + 2
    target = Target(image.flip(0), None, label.flip(0), ["", ""], soft, depth)
    batch = Batch(Source(image, label, ["", ""], depth), target)
    seen = [
        view for one in method.views(batch, 0) for view in (one.views if isinstance(one, Joint) else [one])
    ]
    assert tuple(view.name for view in seen) == method.view_names


def test_a_run_folder_of_another_experiment_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    train(tiny("source_only", {"steps": 1}), tmp_path / "run", console=QUIET, cpu=True)
    with pytest.raises(ValueError, match=r"another experiment .*optim\.lr"):
        train(
            tiny("source_only", {"steps": 1, "optim": {"lr": 0.5}}), tmp_path / "run", console=QUIET, cpu=True
        )


def test_the_oracle_says_what_it_does(tmp_path: Path) -> None:
    said = io.StringIO()
    train(tiny("target_supervised", {"steps": 1}), tmp_path / "run", console=Console(file=said), cpu=True)
    assert "trains on target labels" in " ".join(said.getvalue().split())


def test_other_recipes_never_open_a_target_label(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every label asked for during training is of the source domain."""
    asked = domains_whose_labels_are_opened(monkeypatch)
    unscored = {"data": {"evaluation": None, "source_evaluation": None}}
    assert train(tiny("daformer", {"steps": 2}, unscored), tmp_path / "run", console=QUIET, cpu=True) is None
    assert asked == {"source"}
