"""Tables of docs/results.md, and the scores that `segue recipes` lists, are what the records of studies say."""

import json
from pathlib import Path
from types import ModuleType

import pytest
from tests.scripts import load_script

from segue.recipes.catalogue import RECIPES
from segue.recipes.measured import measured
from segue.study.record import Record, Score, Variant


@pytest.fixture
def results() -> ModuleType:
    return load_script("results")


def test_the_documents_are_up_to_date(results: ModuleType) -> None:
    for document in results.DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        assert results.filled(text) == text, "run python benchmarks/results.py"
    assert results.FILE.read_text(encoding="utf-8") == results.measured(), "run python benchmarks/results.py"
    assert set(measured()) <= set(RECIPES)


def test_a_number_changed_by_hand_is_made_anew(
    results: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "RECORDS", tmp_path)
    scores = {
        seed: Score(mean_iou=iou, classes={"road": iou, "car": None}) for seed, iou in enumerate((0.5, 0.6))
    }
    better = {
        seed: Score(mean_iou=score.mean_iou + 0.1, classes=score.classes) for seed, score in scores.items()
    }
    Record(
        study="x", question="Why?", paper="-", pair="p", baseline="a", seeds=[0, 1], tables={"only": ["a", "b"]},
        variants={
            "a": Variant(recipe="dacs", steps=3, scores=scores),
            "b": Variant(recipe="dacs", steps=3, scores=better),
        },
    ).write(tmp_path / "x.json")  # fmt: skip
    text = "before\n<!-- study: x -->\n<!-- end -->\nbetween\n<!-- study: x: a, b -->\nold\n<!-- end -->\nafter\n"
    once = results.filled(text)
    assert "| a | 55.0 | 7.1 |" in once and "| b | 65.0 | 7.1 | +10.0 | < 0.01 |" in once
    assert "| road | 55.0 | 55.0 |\n| car |  |  |\n| mean | 55.0 | 65.0 |" in once
    assert "old" not in once and all(part in once for part in ("before", "between", "after"))
    assert json.loads(results.measured()) == {"dacs": {"p": [55.0, 2, False]}}, "the first of two rows"
    assert results.filled(once) == once == results.filled(once.replace("65.0", "70.0"))


def test_gains_are_those_of_unchanged_recipes_that_go_on_from_the_source_only_model(
    results: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over the control of the same seeds, from all records of the pair, the one with most seeds if several have it."""
    monkeypatch.setattr(results, "RECORDS", tmp_path)
    start = "--set network.start=runs/source_only/seedSEED"

    def row(recipe: str, *ious: float, command: str = start, **changes: str) -> Variant:
        scores = {seed: Score(mean_iou=iou, minutes=2.0) for seed, iou in enumerate(ious)}
        return Variant(recipe=recipe, steps=3, scores=scores, command=command, changes=changes)

    studies = {
        "one": {"as long": row("source_only", 0.4, 0.5), "a": row("dacs", 0.5), "b": row("sac", 0.3, 0.5)},
        "two": {
            "a": row("dacs", 0.6, 0.65),
            "changed": row("fda", 0.9, 0.9, optim="else"),
            "from nothing": row("mic", 0.9, 0.9, command="segue train mic"),
            "and from source only": row("mic", 0.2, 0.4),
        },
        "elsewhere": {"c": row("fada", 0.9, 0.9)},
    }
    monkeypatch.setattr(results, "CONTROL", "as long")
    for name, variants in studies.items():
        Record(
            study=name, question="Why?", paper="-", pair="q.yaml" if name == "elsewhere" else "configs/p.yaml",
            baseline="a", seeds=[0, 1], tables={}, variants=variants,
        ).write(tmp_path / f"{name}.json")  # fmt: skip
    once = results.filled("a\n<!-- gains: p -->\nold\n<!-- end -->\nb\n")
    assert [line for line in once.splitlines() if line.startswith("| `")] == [
        "| `dacs` | 62.5 | +17.5 | 0.09 | 2 | 2.0 |",
        "| `sac` | 40.0 | -5.0 | 0.50 | 2 | 2.0 |",
        "| `mic` | 30.0 | -15.0 | 0.20 | 2 | 2.0 |",
    ]
    scores = json.loads(results.measured())
    assert scores["mic"] == {"p": [30.0, 2, True]}, "what went on is preferred"
    assert "source_only" not in scores, "the control is no score of the recipe"


def test_a_table_of_batch_statistics_says_means_and_what_measures_prefer(
    results: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "SPEEDS", tmp_path)

    def one(score: float, entropy: float, agreement: float | None) -> dict[str, float | None]:
        return {"mean IoU": score, "low entropy": entropy, "agreement": agreement}

    runs = {
        "runs/a_b/seed0": {"trained": one(0.4, -0.5, None), "target": one(0.5, -0.4, None)},
        "runs/a_b/seed1": {"trained": one(0.4, -0.5, 0.7), "target": one(0.42, -0.6, 0.8)},
        "runs/c/seed0": {"trained": one(0.6, -0.5, 0.7), "target": one(0.5, -0.4, 0.8)},
    }
    (tmp_path / "s.json").write_text(json.dumps(runs))
    once = results.filled("a\n<!-- statistics: s -->\nold\n<!-- end -->\nb\n")
    assert "| a b | 40.0 | 46.0 | +6.0 | 2 |\n| c | 60.0 | 50.0 | -10.0 | 1 |" in once and "old" not in once
    assert "low entropy in 1 of 3, agreement in 1 of 2 runs" in once
    assert results.filled(once) == once


def test_a_table_of_speeds_says_machine_peers_goals_and_noise(
    results: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "SPEEDS", tmp_path)
    row = {"name": "x", "value": 3.0, "unit": "ms", "peer": "them", "peer_value": 4.0, "ratio": 0.75}
    full = row | {"name": "y", "spread": [0.7, 0.8], "peer_range": 0.2, "goal": 0.65}
    facts = {"processor": "P", "cores": 2, "instructions": ["avx2"], "torch": "2.9", "threads": 1}
    families = [
        {"family": "a", "recipe": "r", "rows": [row, full], "noise": ["others"]},
        {"family": "b", "recipe": "r", "error": "broken", "noise": []},
    ]
    (tmp_path / "cpu.json").write_text(json.dumps({"machine": facts, "families": families}))
    once = results.filled("a\n<!-- speed: cpu -->\nold\n<!-- end -->\nb\n")
    assert "On P, 2 cores, avx2, torch 2.9, 1 threads." in once and "old" not in once
    assert "| x | 3 ms | 4 ms | 0.75 |  |  | 1 |" in once
    assert "| y | 3 ms | 4 ms | 0.75 | 0.70 to 0.80 \\* | 0.65 | 1 |" in once
    assert "Peers: (1) them." in once and "\na (r): others.\n\nb (r): broken." in once
    assert results.filled(once) == once


def test_what_a_recipe_has_is_not_taken_from_a_changed_start_or_other_pictures(results: ModuleType) -> None:
    start = Variant(recipe="source_only", steps=1, changes={"method": {"weights": {}}})
    plain = start.model_copy(update={"changes": {}, "scores": {0: Score(mean_iou=0.5)}})
    on = {
        label: plain.model_copy(update={"command": f"--set network.start=runs/{label}/seedSEED"})
        for label in "pq"
    }
    elsewhere = plain.model_copy(update={"set_otherwise": {"data.evaluation.split": "val instead of test"}})
    study = Record(
        study="x", question="Why?", paper="-", pair="p", baseline="p", seeds=[0], tables={},
        variants={"p": plain, "q": start, "from p": on["p"], "from q": on["q"], "val": elsewhere},
    )  # fmt: skip
    kept = [label for label, row in study.variants.items() if results.as_it_is(row, study)]
    assert kept == ["p", "from p"]
