"""Stages on two processes wait for one another: labels, fused pictures and models are whole before they are read."""

import json
from pathlib import Path

import pytest
from rich.console import Console
from tests.processes import POSIX, on_two
from tests.tiny import ready, tiny

from segue.engine.experiment import revise
from segue.engine.settings import Experiment
from segue.engine.stages import train
from segue.methods.terms.patch_alignment import KINDS_FILE

pytestmark = [pytest.mark.slow, POSIX]


def train_stages(rank: int, experiments: dict[str, Experiment], folder: Path) -> None:
    for recipe, wanted in experiments.items():
        assert train(wanted, folder / recipe, console=Console(quiet=True), cpu=True) is None


LABELLED = {
    "cbst": "round2/labels",
    "ensemble": "fused",
    "intrada": "split/labels",
    "rmrnet": "labels",
    "undoing": "labels",
    "pit": "round2/labels",
    "fda": "round2/labels",
    "proda": "distilled2/labels",
    "dpl_dual": "round1/labels",
}
"""Where a recipe in stages leaves the labels that its last stage learns."""

UNLABELLED = ("patchalign", "sac")
"""No stages, but kinds of patches that the first process finds for all; and stages without labels made beforehand."""


def test_stages_on_two_processes(tmp_path: Path) -> None:
    """Without pictures to score on, nothing but the stages themselves makes a process wait."""
    unscored = {"data": {"evaluation": None, "source_evaluation": None}}
    experiments = {
        recipe: revise(ready(tiny(recipe), tmp_path / "members" / recipe), unscored)
        for recipe in (*LABELLED, *UNLABELLED)
    }
    # Its source's labels are made by both processes, too.
    experiments["dpl_dual"] = revise(experiments["dpl_dual"], {"method": {"correction": {"count": 1}}})
    on_two(train_stages, experiments, tmp_path)
    for recipe in experiments:
        assert (tmp_path / recipe / "model/model.safetensors").is_file(), recipe
    assert (tmp_path / "patchalign" / KINDS_FILE).is_file()
    for recipe, place in LABELLED.items():
        labels = tmp_path / recipe / place
        labelled = 4 if recipe == "intrada" else 6  # the easy ones
        assert len(list((labels / "index").glob("*.png"))) == labelled, recipe
        if recipe != "ensemble":
            assert json.loads((labels / "statistics.json").read_text())["pictures"] == labelled, recipe
    fused = tmp_path / "ensemble/fused"
    account = json.loads((fused / "fusion.json").read_text())
    assert account["pictures"] == 6 and sum(account["classes"]) + account["ignored"] == account["pixels"]
    assert {path.name for path in fused.glob("*.jsonl")} >= {"pictures-0.jsonl", "pictures-1.jsonl"}
