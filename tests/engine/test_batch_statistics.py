"""A run keeps the batch statistics it was asked for, says so beside every score, and resumes bit-equal with them."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.tiny import QUIET, domains_whose_labels_are_opened, ready, stopped_after_two_steps, tiny
from torch import Tensor

from segue.engine.settings import Experiment
from segue.engine.stages import train

RUNNING = (".running_mean", ".running_var")


def run(folder: Path, wanted: Experiment) -> dict[str, Any]:
    scores = train(wanted, folder, console=QUIET, cpu=True)
    assert scores is not None
    return scores


def keeping(statistics: str, recipe: str = "daformer_mic") -> Experiment:
    return tiny(recipe, {"network": {"statistics": statistics}})


def model(folder: Path, part: str = "model") -> dict[str, Tensor]:
    return load_file(folder / part / "model.safetensors")


def card(folder: Path, part: str = "model") -> dict[str, Any]:
    return json.loads((folder / part / "card.json").read_text())


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same training with statistics as trained, of the target, and by domain."""
    folder = tmp_path_factory.mktemp("runs")
    for statistics in ("trained", "target", "domain"):
        run(folder / statistics, keeping(statistics))
    return {statistics: folder / statistics for statistics in ("trained", "target", "domain")}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("statistics", "words"),
    [
        ("trained", "as trained"),
        ("target", "of 6 target pictures"),
        ("domain", "domain-specific"),
    ],
)
def test_every_score_and_the_card_say_whose_they_are(
    statistics: str, words: str, runs: dict[str, Path]
) -> None:
    scores = json.loads((runs[statistics] / "scores.json").read_text())
    assert scores["protocol"]["batch_statistics"] == words
    assert scores["source_evaluation"]["protocol"]["batch_statistics"] == words
    assert card(runs[statistics])["batch_statistics"] == words


@pytest.mark.slow
def test_weights_are_the_same_bits_whoever_s_statistics_are_kept(runs: dict[str, Path]) -> None:
    trained, target, domain = (model(runs[statistics]) for statistics in ("trained", "target", "domain"))
    for name, value in trained.items():
        if not name.endswith(RUNNING):
            assert name.endswith("num_batches_tracked") or torch.equal(value, domain[name]), name
            assert torch.equal(value, target[name]), name
        else:
            assert not torch.equal(value, target[name]) and not torch.equal(value, domain[name]), name


@pytest.mark.slow
def test_the_checkpoint_holds_them_as_trained(runs: dict[str, Path]) -> None:
    kept = load_file(runs["target"] / "checkpoints/0000003/method.safetensors")
    for name, value in model(runs["trained"]).items():
        assert torch.equal(value, kept[f"student.{name}"]), name


@pytest.mark.slow
def test_the_checkpoint_holds_those_of_the_source_where_they_are_kept_apart(runs: dict[str, Path]) -> None:
    kept = load_file(runs["domain"] / "checkpoints/0000003/method.safetensors")
    theirs = {name for name in kept if name.startswith("source_statistics.")}
    assert theirs and not any("source_statistics" in name for name in model(runs["domain"]))
    mixed = load_file(runs["trained"] / "checkpoints/0000003/method.safetensors")
    assert kept.keys() - theirs == mixed.keys()


@pytest.mark.slow
@pytest.mark.parametrize("statistics", ["target", "domain"])
def test_a_run_that_was_stopped_ends_bit_equal(
    statistics: str, runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stopped_after_two_steps(monkeypatch):
        run(tmp_path, keeping(statistics))
    for _ in ("to its end", "a finished run, which is scored again"):
        run(tmp_path, keeping(statistics))
        for name in (
            "checkpoints/0000003/method.safetensors", "model/model.safetensors", "model/card.json", "scores.json",
        ):  # fmt: skip
            assert (tmp_path / name).read_bytes() == (runs[statistics] / name).read_bytes(), name


@pytest.mark.slow
def test_adabn_is_source_only_with_other_statistics(tmp_path: Path) -> None:
    plain, adapted = run(tmp_path / "plain", tiny("source_only")), run(tmp_path / "adabn", tiny("adabn"))
    assert plain["protocol"]["batch_statistics"] == "as trained"
    assert adapted["protocol"]["batch_statistics"] == "of 6 target pictures"
    one, other = model(tmp_path / "plain"), model(tmp_path / "adabn")
    different = {name for name, value in one.items() if not torch.equal(value, other[name])}
    assert different == {name for name in one if name.endswith(RUNNING)}


@pytest.mark.slow
def test_a_teacher_that_is_scored_gets_them_as_well(tmp_path: Path) -> None:
    scored = {"evaluation": {"network": "teacher"}}
    found = {
        statistics: run(
            tmp_path / statistics, tiny("daformer", scored, {"network": {"statistics": statistics}})
        )
        for statistics in ("trained", "target")
    }
    assert found["target"]["protocol"]["network"] == "teacher"
    assert found["target"]["accuracy"] != found["trained"]["accuracy"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("statistics", "words"), [("target", "of 6 target pictures"), ("domain", "as trained")]
)
def test_a_large_teacher_that_learnt_is_saved_with_what_is_true_of_it(
    statistics: str, words: str, tmp_path: Path
) -> None:
    wanted = ready(tiny("clda", {"network": {"statistics": statistics}}), tmp_path / "large")
    scores = run(tmp_path / "run", wanted)
    assert scores["teacher"]["protocol"]["batch_statistics"] == words
    assert card(tmp_path / "run", "teacher")["batch_statistics"] == words
    large, taught = model(tmp_path, "large"), model(tmp_path / "run", "teacher")
    moved = [not torch.equal(large[name], taught[name]) for name in large if name.endswith(RUNNING)]
    assert all(moved) if statistics == "target" else not any(moved)


def test_a_network_without_batch_norms_has_nothing_to_say(tmp_path: Path) -> None:
    wanted = tiny("source_only", {"steps": 1, "network": {"statistics": "target", "head": "deeplab_v2"}})
    scores = run(tmp_path, wanted)
    assert scores["protocol"]["batch_statistics"] is None
    assert card(tmp_path)["batch_statistics"] is None


def test_statistics_by_domain_need_target_views() -> None:
    with pytest.raises(ValueError, match=r"network\.statistics=domain.*choose target"):
        keeping("domain", "source_only")


def test_target_labels_are_not_read_for_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = domains_whose_labels_are_opened(monkeypatch)
    unscored = {"data": {"evaluation": None, "source_evaluation": None}}
    assert train(tiny("adabn", {"steps": 1}, unscored), tmp_path / "run", console=QUIET, cpu=True) is None
    assert asked == {"source"}
