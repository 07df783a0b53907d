"""IntraDA: pictures are ranked and divided as by the official code, the split is kept, the last stage learns easy
pictures by labels made beforehand, no target label is opened, and nothing to align is said before training."""

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from tests.parity import numbers
from tests.tiny import QUIET, domains_whose_labels_are_opened, stopped_after_two_steps, tiny

from segue.data.part import Relabelled
from segue.engine.domains import open_domain
from segue.engine.experiment import load
from segue.engine.stages import train
from segue.methods.intra_domain import divided, score

RARE = [3, 4, 5, 6, 7, 9, 12, 14, 15, 16, 17]
UNSCORED = {"data": {"evaluation": None, "source_evaluation": None}}


@pytest.mark.slow
@pytest.mark.parametrize("normalised", [0, 1])
def test_ranking_and_split_are_the_official_ones(normalised: int, fixtures_dir: Path) -> None:
    official = numbers(fixtures_dir, "intrada_ranking")
    found: dict[str, float] = {}
    for place, logits in enumerate(official["logits"]):
        # The official code enlarges with aligned corners, always to this size.
        large = F.interpolate(logits[None], (512, 1024), mode="bilinear", align_corners=True)[0]
        found[str(place)] = score(large.softmax(0), RARE if normalised else ())
    wanted = official[f"entropy_normalised{normalised}"]
    assert torch.allclose(torch.tensor(list(found.values()), dtype=torch.float64), wanted, rtol=1e-5)
    for share in (0.0, 0.5, 0.67, 1.0):
        there = [
            [str(place) for place in official[f"split/normalised{normalised}_lambda{share}/{half}"].tolist()]
            for half in ("easy", "hard")
        ]
        assert list(divided(found, share)) == there


def test_ties_keep_their_order_and_rare_classes_make_easy() -> None:
    scores = {"a": 0.5, "b": 0.2, "c": 0.5, "d": 0.2, "e": 0.9}
    assert divided(scores, 0.67) == (["b", "d", "a"], ["c", "e"])
    guess = torch.full((4, 1, 1), 0.25)
    assert score(guess) == pytest.approx(0.25)  # the mean over four classes
    assert score(guess, [2]) == pytest.approx(0.25 * 1.5)  # class 0 is the most probable of equals
    assert score(guess, [0]) == pytest.approx(0.25 * 0.5)


@pytest.mark.slow
def test_the_last_stage_aligns_easy_with_hard_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And an interruption of either stage changes nothing."""
    asked = domains_whose_labels_are_opened(monkeypatch)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    wanted = tiny("intrada", UNSCORED)
    train(wanted, whole, console=QUIET, cpu=True)
    assert asked == {"source"}
    names = {half: (whole / "split" / f"{half}.txt").read_text().splitlines() for half in ("easy", "hard")}
    ranking = json.loads((whole / "split" / "ranking.json").read_text())
    assert (
        names["easy"] + names["hard"] == sorted(ranking, key=ranking.__getitem__) and len(names["easy"]) == 4
    )
    last = load(whole / "within" / "experiment.yaml")
    assert last.method.name == "aligned" and last.terms.used().keys() == {"adversarial"}
    source = open_domain(last.data, last.data.source, labelled=True)
    target = open_domain(last.data, last.data.target, labelled=False)
    assert [source.name(place) for place in range(len(source))] == names["easy"]
    assert [target.name(place) for place in range(len(target))] == names["hard"]
    assert isinstance(source, Relabelled) and int(source.label(0).max()) < 12
    assert (whole / "model" / "model.safetensors").is_file()
    for _ in range(2):  # once in each stage
        with stopped_after_two_steps(monkeypatch):
            train(wanted, broken, console=QUIET, cpu=True)
    train(wanted, broken, console=QUIET, cpu=True)
    model = "model/model.safetensors"
    assert (whole / model).read_bytes() == (broken / model).read_bytes()


def test_a_share_that_leaves_nothing_to_align_is_refused(tmp_path: Path) -> None:
    for share, lacking in ((1.0, "hard"), (0.1, "easy")):
        with pytest.raises(
            ValueError, match=rf"method\.easy={share} of 6 target pictures leaves no {lacking}"
        ):
            train(tiny("intrada", {"method": {"easy": share}}), tmp_path / "run", console=QUIET, cpu=True)
    assert not (tmp_path / "run").exists()
