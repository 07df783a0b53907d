"""PIT: regions grow from their seeds over what they may, and no further; absent classes are never labelled; the
classifier of whole pictures outlives its run; rounds label, learn and resume without a target label."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.methods.building import context
from tests.tiny import QUIET, domains_whose_labels_are_opened, stopped_after_two_steps, tiny
from torch import Tensor, nn

from segue.classes import class_list
from segue.data.decoding import read_label
from segue.engine.stages import train
from segue.evaluation.labelling import Labels, label_pictures
from segue.evaluation.model import Model, TrainedModel
from segue.methods.pivot import PivotSettings, balanced, picture_scores
from segue.methods.terms.presence import (
    PRESENCE_FILE,
    Presence,
    PresenceSettings,
    load_classifier,
    most_probable_mean,
    shows,
)
from segue.ops.regions import area, expanded, grown
from segue.types import IGNORE, Output, View

UNSCORED = {"data": {"evaluation": None, "source_evaluation": None}}


def picture(seed: int = 0) -> Tensor:
    """Probabilities of four classes with regions, not noise."""
    noise = torch.randn(1, 4, 6, 8, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(3 * noise, (48, 64), mode="bilinear")[0].softmax(0)


def test_a_region_reaches_what_touches_it_over_allowed_pixels() -> None:
    allowed = torch.tensor([[1, 1, 0, 1], [0, 1, 0, 1], [1, 0, 1, 1]], dtype=torch.bool)
    seeds = torch.zeros(3, 4, dtype=torch.bool)
    seeds[0, 0] = True
    region = grown(seeds, allowed)
    assert region.int().tolist() == [[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]  # not over corners
    assert torch.equal(grown(region, allowed), region)


@pytest.mark.parametrize("seed", range(5))
def test_regions_lie_between_their_seeds_and_what_is_allowed(seed: int) -> None:
    probability = picture(seed)
    guess = probability.max(0).indices
    present = torch.tensor([True, False, True, False])
    label = expanded(probability, present)
    assert set(label.unique().tolist()) <= {0, 2, IGNORE}
    for place in (0, 2):
        own, predicted = probability[place], guess == place
        if not predicted.any():
            continue
        count = max(1, int(predicted.sum() * 0.05))
        surest = (own * predicted).flatten().topk(count).indices
        assert (label.flatten()[surest] == place).all()
        outside = (guess == 2 - place) & (label == place)
        assert not outside.any()  # never over another class that is present
        region = label == place
        assert own[region].min() >= 0.5 * own.flatten()[surest].mean() - 1e-6
    assert (expanded(probability, torch.zeros(4, dtype=torch.bool)) == IGNORE).all()
    larger = expanded(probability, present, reach=0.1) != IGNORE
    assert (larger | (label == IGNORE)).all()
    assert float(area(probability).sum()) == pytest.approx(1.0)


def test_what_a_label_shows_and_what_weighs() -> None:
    label = torch.tensor([[[0, 0], [2, IGNORE]], [[1, 1], [1, 1]]])
    assert shows(label, 3).tolist() == [[1, 0, 1], [0, 1, 0]]
    flat = torch.zeros(1, 2, 4, 4)
    flat[0, 0, 0, 0] = 20.0
    assert most_probable_mean(flat, 0.0)[0].tolist() == pytest.approx([1.0, 0.5])
    statistics = {"classes": {"a": {"pixels": 100}, "b": {"pixels": 25}, "c": {"pixels": 0}}}
    weights = balanced(statistics)
    assert weights[1] == pytest.approx(2 * weights[0]) and weights[2] == pytest.approx(10 * weights[0])


def test_each_loss_of_the_game_moves_its_own_side() -> None:
    """And agreement moves pixels alone, as what the picture says is taken as it is."""
    torch.manual_seed(0)
    term = Presence(PresenceSettings(), in_channels=6, num_classes=4)
    features, logits = (
        torch.randn(2, 6, 3, 4, requires_grad=True),
        torch.randn(2, 4, 8, 8, requires_grad=True),
    )
    output = Output(logits, [features], logits, [])
    found = term(nn.Identity(), View("target", torch.zeros(2, 3, 32, 32)), output)
    assert set(found) == {"presence_discriminator", "presence_agreement", "presence_adversarial"}
    found["presence_adversarial"].backward(retain_graph=True)
    assert features.grad is not None and all(p.grad is None for p in term.judge.parameters())
    features.grad = None
    found["presence_agreement"].backward(retain_graph=True)
    assert features.grad is None and logits.grad is not None
    found["presence_discriminator"].backward()
    assert features.grad is None and all(p.grad is not None for p in term.judge.parameters())
    label = torch.randint(0, 4, (2, 32, 32))
    found = term(nn.Identity(), View("source", torch.zeros(2, 3, 32, 32), label), output)
    assert set(found) == {"presence_discriminator", "presence"}


def test_a_rule_may_be_made_for_each_picture(tmp_path: Path) -> None:
    """Of two pictures, each is labelled by the rule made from it."""
    model = Model(
        lambda image: torch.full((1, 2, 4, 4), 0.5),
        class_list(["a", "b"]),
        (0, 0, 0),
        (1, 1, 1),
        torch.device("cpu"),
    )
    pictures = {name: torch.full((3, 4, 4), value, dtype=torch.uint8) for name, value in (("x", 0), ("y", 1))}

    def rule_of(name: str, image: Tensor):
        return lambda probability: Labels(torch.full((4, 4), int(image[0, 0, 0]), dtype=torch.uint8))

    label_pictures(model, pictures, tmp_path, rule_of=rule_of, read=lambda picture: picture)
    assert [int(read_label(tmp_path / "index" / f"{name}.png").max()) for name in ("x", "y")] == [0, 1]


def test_wrong_settings_are_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"terms\.presence="):
        PivotSettings().build(context(nn.Identity()), {})
    term = Presence(PresenceSettings(), in_channels=6, num_classes=19)
    with pytest.raises(ValueError, match=r"method\.weights has 2 numbers: give one for each of 19"):
        PivotSettings(weights=[1.0, 2.0]).build(context(nn.Identity()), {"presence": term})
    with pytest.raises(FileNotFoundError, match="no classifier of whole pictures"):
        load_classifier(tmp_path, torch.device("cpu"))


@pytest.mark.slow
def test_rounds_go_on_where_they_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = domains_whose_labels_are_opened(monkeypatch)
    # A score and an area that untrained networks reach.
    wanted = tiny("pit", {"method": {"regions": {"score": 0.3, "area": 0.0}}}, UNSCORED)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train(wanted, whole, console=QUIET, cpu=True)
    assert asked == {"source"}
    state = load_file(whole / "first" / PRESENCE_FILE)
    assert {len(value) for value in state.values()} == {12}
    model = TrainedModel.load(whole / "first", "cpu")
    image = torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8)
    scores = picture_scores(model, load_classifier(whole / "first", torch.device("cpu")), image)
    assert scores.shape == (12,) and 0 <= float(scores.min()) <= float(scores.max()) <= 1
    for _ in range(3):  # once in each stage
        with stopped_after_two_steps(monkeypatch):
            train(wanted, broken, console=QUIET, cpu=True)
    train(wanted, broken, console=QUIET, cpu=True)
    for file in ("model/model.safetensors", f"round1/{PRESENCE_FILE}"):
        assert (whole / file).read_bytes() == (broken / file).read_bytes()
