"""Undoing: corrected probabilities, the refinement's loss and the estimated counts are the official code's; both forms
are Bayes' rule under the target's priors; the stages correct, distil and resume without a target label. A network
with moved logits is saved and loaded, also around several networks, and keeps its features."""

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from tests.methods.building import context
from tests.parity import numbers
from tests.tiny import QUIET, domains_whose_labels_are_opened, stopped_after_two_steps, tiny, write_model
from torch import Tensor, nn

from segue.data.statistics import ClassStatistics
from segue.engine.stages import train
from segue.evaluation.model import TrainedModel
from segue.methods.label_shift import LabelShiftSettings, mean_share
from segue.methods.refinement import RefinementSettings, refined_loss
from segue.models.adjusted import Adjusted, adjusted
from segue.models.averaged import MEMBERS, Averaged, build_network
from segue.models.weights import load_model, save_model
from segue.ops.label_shift import area, log_ratio, presence, shown
from segue.types import Output

Data = dict[str, Tensor]
UNSCORED = {"data": {"evaluation": None, "source_evaluation": None}}
PAIRS = ("gta", "synthia")


@pytest.fixture(scope="module")
def official(fixtures_dir: Path) -> Data:
    return numbers(fixtures_dir, "label_shift")


def large(logits: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(logits, size, mode="bilinear", align_corners=True)


class Fixed(nn.Module):
    """Predicts the same whatever it is shown."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, image: Tensor) -> Output:
        return Output(self.logits, [], self.logits, [])


def shift(official: Data, pair: str) -> Tensor:
    return log_ratio(official[f"prior/{pair}/source_counts"], official[f"prior/{pair}/target_counts"])


@pytest.mark.parametrize("pair", PAIRS)
def test_adjusted_probabilities_are_the_official_ones(official: Data, pair: str) -> None:
    """Also averaged over the mirror image, as what is averaged is adjusted before."""
    image = torch.zeros(1, 3, 12, 16)
    found: list[Tensor] = []
    for name in ("logits", "logits_and_flipped"):
        network = Adjusted(Fixed(official[f"adjust/{pair}/{name}"]), shift(official, pair))
        found.append(large(network(image).logits, (12, 16)).softmax(1))
    assert torch.allclose(found[0], official[f"adjust/{pair}/probability"], atol=1e-6)
    mean = (found[1][:1] + found[1][1:].flip(-1)) / 2
    assert torch.allclose(mean, official[f"adjust/{pair}/probability_flip"], atol=1e-6)


@pytest.mark.parametrize("pair", PAIRS)
def test_the_refinements_loss_is_the_official_one(official: Data, pair: str) -> None:
    logits = official[f"refine/{pair}/logits"].clone().requires_grad_()
    label = official[f"refine/{pair}/label"].long()
    loss = refined_loss(logits, label, shift(official, pair)).mean()
    loss.backward()
    assert torch.allclose(loss, official[f"refine/{pair}/loss"], rtol=1e-5)
    assert logits.grad is not None
    assert torch.allclose(logits.grad, official[f"refine/{pair}/grad"], rtol=1e-4, atol=1e-9)


@pytest.mark.slow
def test_the_targets_counts_are_the_official_ones(official: Data) -> None:
    """By the official score, which counts more pictures than the predicted area does."""
    probability = large(official["estimate/logits"], (512, 1024)).softmax(1)
    usual = official["estimate/source_area_share"]
    score = presence(probability)
    assert torch.allclose(score, official["estimate/score"], atol=1e-6)
    assert torch.equal(shown(score, usual).sum(0), official["estimate/counts"])
    assert torch.allclose(probability.mean((2, 3)), official["estimate/mean_probability"], rtol=1e-4)
    assert (score >= probability.double().mean((2, 3))).all()
    assert torch.allclose(area(probability).sum(1), torch.ones(4, dtype=torch.float64))
    assert not torch.equal(shown(area(probability), usual).sum(0), official["estimate/counts"])


def test_equal_priors_change_nothing_and_none_is_zero() -> None:
    counts = torch.tensor([3, 0, 100])
    assert torch.equal(log_ratio(counts, counts), torch.zeros(3))
    assert torch.equal(log_ratio(counts, 10 * counts.clamp(min=1)).round(decimals=5), torch.zeros(3))
    moved = log_ratio(torch.tensor([5, 0, 5]), torch.tensor([0, 5, 5]))
    assert torch.isfinite(moved).all() and moved[1] > 0 > moved[0]
    logits = torch.randn(2, 3, 4, 4)
    adjusted = Adjusted(Fixed(logits), log_ratio(counts, counts))(torch.zeros(2, 3, 4, 4)).logits
    assert torch.equal(adjusted, logits)
    assert torch.allclose((adjusted + 7).softmax(1), adjusted.softmax(1))


def test_both_forms_are_bayes_rule_under_the_targets_priors() -> None:
    """Two normal distributions: the boundary moves by ln(odds) / distance, for moved logits and for a refined line."""
    source, target = torch.tensor([900, 100]), torch.tensor([300, 700])
    generator = torch.Generator().manual_seed(0)
    label = (torch.arange(40_000) % 10 == 0).long()  # a tenth is the second class
    position = torch.randn(40_000, generator=generator) + 2.0 * label  # at 0 and at 2
    bayes = 1.0 + float((torch.tensor(300 / 700)).log()) / 2.0

    def trained(moved: Tensor) -> nn.Linear:
        line = nn.Linear(1, 2)
        optimiser = torch.optim.LBFGS(line.parameters(), max_iter=100, line_search_fn="strong_wolfe")

        def closure() -> Tensor:
            optimiser.zero_grad()
            logits = line(position[:, None]).T[None, :, None]  # one row of pixels
            loss = refined_loss(logits, label[None, None], moved).mean()
            loss.backward()
            return loss

        optimiser.step(closure)  # pyright: ignore[reportArgumentType]
        return line

    def boundary(line: nn.Linear, moved: Tensor) -> float:
        weight, bias = (line.weight[1] - line.weight[0]).item(), (line.bias + moved).diff().item()
        return -bias / weight

    moved = log_ratio(source, target)
    adjusted = boundary(trained(torch.zeros(2)), moved)
    refined = boundary(trained(moved), torch.zeros(2))
    assert adjusted == pytest.approx(bayes, abs=0.05)
    assert refined == pytest.approx(adjusted, abs=1e-3)


def test_the_mean_share_is_a_mean_over_pictures() -> None:
    counted = ClassStatistics(("a", "b"), torch.tensor([[2, 2], [0, 8]]), torch.tensor([8, 8]))
    assert mean_share(counted).tolist() == [0.125, 0.625]


def test_wrong_settings_are_said() -> None:
    with pytest.raises(ValueError, match=r"method\.shift has 2 numbers: give one for each of 19"):
        RefinementSettings(shift=[0.0, 1.0]).build(context(nn.Identity()), {})
    with pytest.raises(ValueError, match=r"correct=none and method\.distil=null leave the host alone"):
        LabelShiftSettings(correct="none", distil=None).carry_out(None)  # type: ignore[arg-type]


@pytest.mark.slow
def test_the_adjusted_model_is_the_host_with_moved_logits(tmp_path: Path) -> None:
    host, run = tmp_path / "host", tmp_path / "run"
    train(tiny("fada"), host, console=QUIET, cpu=True)
    method = {"method": {"model": str(host), "distil": None}}
    scores = train(tiny("undoing", method), run, console=QUIET, cpu=True)
    assert (
        scores is not None and json.loads((run / "scores.json").read_text())["mean_iou"] == scores["mean_iou"]
    )
    train(tiny("undoing", method, UNSCORED), tmp_path / "unscored", console=QUIET, cpu=True)
    assert not (tmp_path / "unscored" / "scores.json").exists()  # those of the host are not its own
    counted = json.loads((run / "class_pictures.json").read_text())
    counts = [torch.tensor(list(counted[domain].values())) for domain in ("source", "target")]
    image = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    before, after = (TrainedModel.load(path, "cpu").probabilities(image) for path in (host, run))
    wanted = (before.log() + log_ratio(*counts)[:, None, None]).softmax(1)
    assert torch.allclose(after, wanted, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("correct", ["adjust", "refine"])
def test_stages_go_on_where_they_stopped(
    correct: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No target label is opened; refining leaves the encoder as the host's."""
    asked = domains_whose_labels_are_opened(monkeypatch)
    wanted = tiny("undoing", {"method": {"correct": correct, "distil": {"share": 1.0}}}, UNSCORED)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train(wanted, whole, console=QUIET, cpu=True)
    assert asked == {"source"}
    if correct == "refine":
        ours, hosts = (load_file(whole / stage / "model/model.safetensors") for stage in ("refined", "host"))
        rests = [name for name in ours if name.startswith("encoder.")]
        assert rests and all(torch.equal(ours[name], hosts[name]) for name in rests)
        assert any(not torch.equal(ours[name], hosts[name]) for name in ours)
    for _ in range(3 if correct == "refine" else 2):  # once in each stage
        with stopped_after_two_steps(monkeypatch):
            train(wanted, broken, console=QUIET, cpu=True)
    train(wanted, broken, console=QUIET, cpu=True)
    model = "model/model.safetensors"
    assert (whole / model).read_bytes() == (broken / model).read_bytes()


SHIFT = [0.5 * place - 2 for place in range(12)]


def test_it_is_saved_with_what_is_added(tmp_path: Path) -> None:
    write_model(tiny("source_only"), tmp_path / "plain")
    network, card = load_model(tmp_path / "plain")
    content = {**card.to_json(), "prediction": card.prediction, "network": adjusted(card.network, classes=12)}
    save_model(tmp_path / "moved", Adjusted(network, SHIFT), type(card)(**content))
    loaded, _ = load_model(tmp_path / "moved")
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        before, after = network(image), loaded(image)
        assert torch.allclose(after.logits, before.logits + torch.tensor(SHIFT)[:, None, None])
        assert torch.equal(after.embedding, before.embedding) and len(after.features) == 4
        names = [name for name, _ in loaded.without_each_layer(image)]
        assert names == [name for name, _ in network.without_each_layer(image)]


def test_several_networks_are_moved_together() -> None:
    one = {"encoder": "mit_nano", "head": "segformer", "channels": 8, "num_classes": 3}
    network = build_network(adjusted({MEMBERS: [one, one]}, classes=3))
    assert isinstance(network, Adjusted) and isinstance(network.network, Averaged)
    assert network.eval()(torch.rand(1, 3, 64, 64)).logits.shape == (1, 3, 64, 64)
