"""FDA: labels are thresholded as by FDA's code; bands and rounds follow one another; each round learns the labels
of the last one's average; without entropy and exchange it is source-only; an interrupted stage changes nothing."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.methods.building import context
from tests.parity import numbers
from tests.tiny import (
    QUIET,
    assert_same_tensors,
    domains_whose_labels_are_opened,
    stopped_after_two_steps,
    tiny,
)
from torch import Tensor, nn

from segue.engine.experiment import load
from segue.engine.stages import train
from segue.evaluation.labelling import confident
from segue.evaluation.model import TrainedModel
from segue.methods.spectral import SpectralSettings
from segue.methods.style import AmplitudeExchange
from segue.methods.terms.entropy import EntropySettings
from segue.ops.balance import ranked_thresholds
from segue.ops.spectrum import exchange_amplitude
from segue.recipes.catalogue import experiment
from segue.recipes.pairs import PAIRS
from segue.types import Batch, Source, Target

UNSCORED = {"data": {"evaluation": None, "source_evaluation": None}}
TWO_BANDS: dict[str, Any] = {"method": {"bands": [0.02, 0.1], "label_rounds": 1}}


@pytest.fixture(scope="module")
def official(fixtures_dir: Path) -> dict[str, Tensor]:
    return numbers(fixtures_dir, "fda_labels")


def of_class(official: dict[str, Tensor], name: int) -> Tensor:
    return official["pseudo/max_probability"][official["pseudo/argmax"] == name].float()


def test_thresholds_are_the_official_ones(official: dict[str, Tensor]) -> None:
    found = ranked_thresholds([of_class(official, name) for name in range(19)], left_out=0.66, ceiling=0.9)
    wanted = official["pseudo/threshold"].float()
    alone = torch.tensor([len(of_class(official, name)) == 1 for name in range(19)])
    assert torch.equal(found[~alone], wanted[~alone])


def test_labels_are_the_official_ones(official: dict[str, Tensor]) -> None:
    """Pixels that reach their class's threshold keep their label."""
    rule = confident(official["pseudo/threshold"].float())
    for sure, label, wanted in zip(
        official["pseudo/max_probability"], official["pseudo/argmax"], official["pseudo/label"], strict=True
    ):
        probability = torch.zeros(19, *label.shape).scatter_(0, label.long()[None], sure.float()[None])
        assert torch.equal(rule(probability).hard, wanted)


def test_a_third_of_a_class_is_labelled_and_small_classes_are_no_error() -> None:
    values = torch.linspace(0.1, 0.8, 50)
    kept = values >= ranked_thresholds([values], left_out=0.66, ceiling=0.9)[0]
    assert int(kept.sum()) == 17  # 0.34 of 50
    single, none = ranked_thresholds([torch.tensor([0.4]), torch.zeros(0)], left_out=0.66, ceiling=0.9)
    assert float(single) == pytest.approx(0.4) and float(none) == 0
    assert float(ranked_thresholds([torch.ones(9)], left_out=0.66, ceiling=0.9)[0]) == pytest.approx(0.9)


def test_pictures_are_exchanged_as_raw_ones() -> None:
    generator = torch.Generator().manual_seed(0)
    raw = [255 * torch.rand(2, 3, 32, 48, generator=generator) for _ in range(2)]
    mean, std = (123.0, 116.0, 103.0), (58.0, 57.0, 57.0)
    scale = [torch.tensor(values).view(3, 1, 1) for values in (mean, std)]
    normal = [(image - scale[0]) / scale[1] for image in raw]
    found = AmplitudeExchange(0.05, "centred", mean, std)(*normal) * scale[1] + scale[0]
    assert torch.allclose(found, exchange_amplitude(*raw, beta=0.05), atol=1e-2)


def batch() -> Batch:
    image, label = torch.rand(2, 3, 32, 32), torch.zeros(2, 32, 32, dtype=torch.int64)
    valid = torch.ones(2, 32, 32, dtype=torch.bool)
    valid[:, :4] = False
    return Batch(Source(image, label, ["", ""]), Target(image.flip(0), valid, label + 1, ["", ""]))


def test_the_target_is_shown_as_it_is_and_only_if_something_looks_at_it() -> None:
    run = context(nn.Identity(), classes=5)
    term = EntropySettings(share=0.1).build(run)
    alone = SpectralSettings(bands=[0.01], label_rounds=0)
    assert [view.name for view in alone.build(run, {}).views(batch(), 0)] == ["source"]
    _, target = alone.build(run, {"entropy": term}).views(batch(), 0)
    assert target.label is None and target.weight is not None and float(target.weight[0, 0, 0]) == 0
    torch.manual_seed(0)
    given = batch()
    source, target = (
        SpectralSettings(bands=[0.05], label_rounds=0, labels=Path("there")).build(run, {}).views(given, 0)
    )
    assert given.target is not None and torch.equal(target.image, given.target.image)
    assert target.label is not None and target.label.unique().tolist() == [1, 255]
    assert not torch.allclose(source.image, given.source.image, atol=0.01)


def test_without_exchange_and_entropy_it_is_source_only_bit_for_bit(tmp_path: Path) -> None:
    """Corners of no side exchange nothing; running batch statistics follow both domains."""

    def learnt(name: str, *wishes: dict[str, Any]) -> dict[str, Tensor]:
        same = {"data": {"flip": 0.0, "max_share": 1.0}, "run": {"draw_every": 0}}
        train(tiny(name, same, UNSCORED, *wishes), tmp_path / str(len(wishes)), console=QUIET, cpu=True)
        state = load_file(tmp_path / str(len(wishes)) / "model" / "model.safetensors")
        return {key: value for key, value in state.items() if "running_" not in key and "num_" not in key}

    still = {"method": {"bands": [0.0], "window": "corners", "source_mean": "pixels"}}
    source, none = learnt("source_only"), learnt("fda_single", still, {"terms": {"entropy": {"share": 0.0}}})
    some = learnt("fda_single", {"method": {"source_mean": "pixels"}})
    assert source.keys() == none.keys() and all(torch.equal(none[name], source[name]) for name in source)
    assert not all(torch.equal(some[name], source[name]) for name in source)


def test_a_band_is_named_once() -> None:
    with pytest.raises(ValueError, match=r"method: bands \[0\.1, 0\.1\]: .* name each once"):
        tiny("fda", {"method": {"bands": [0.1, 0.1]}})


@pytest.mark.slow
def test_a_round_learns_the_labels_of_the_last_ones_average(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No target label is opened; any stage may be interrupted."""
    asked = domains_whose_labels_are_opened(monkeypatch)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    wanted = tiny("fda", TWO_BANDS, UNSCORED)
    assert train(wanted, whole, console=QUIET, cpu=True) is None
    assert asked == {"source"}
    first, last = (load(whole / f"round{number}" / "beta0.1" / "experiment.yaml") for number in (0, 1))
    assert isinstance(last.method, SpectralSettings) and last.method.bands == [0.1]
    assert isinstance(first.method, SpectralSettings) and first.method.labels is None
    assert last.method.labels == whole / "round1" / "labels" and last.network.start is None
    assert len({load(path).seed for path in whole.glob("round*/beta*/experiment.yaml")}) == 4
    balance = json.loads((whole / "round1" / "labels" / "balance.json").read_text())
    assert max(balance["thresholds"].values()) <= 0.9 and sum(balance["predicted"].values()) == 6 * 64 * 128
    picture = torch.randint(0, 256, (1, 3, 64, 96), dtype=torch.uint8)
    members = [TrainedModel.load(whole / "round1" / name, "cpu") for name in ("beta0.02", "beta0.1")]
    mean = torch.stack([member.probabilities(picture) for member in members]).mean(0)
    assert torch.allclose(TrainedModel.load(whole, "cpu").probabilities(picture), mean, atol=1e-6)
    for _ in range(4):  # once in each stage
        with stopped_after_two_steps(monkeypatch):
            train(wanted, broken, console=QUIET, cpu=True)
    train(wanted, broken, console=QUIET, cpu=True)
    for file in ("model/model.safetensors", "round1/beta0.02/model/model.safetensors"):
        assert_same_tensors(whole / file, broken / file)


@pytest.mark.parametrize("pair", ["gta5_to_cityscapes", "synthia_to_cityscapes"])
def test_the_papers_pairs_bring_the_papers_network(pair: str) -> None:
    wanted = experiment("fda", PAIRS[pair])
    assert (wanted.network.head, wanted.network.context, wanted.network.auxiliary) == (
        "deeplab_v2",
        "four",
        None,
    )
    assert (wanted.steps, wanted.data.batch, wanted.optim.lr) == (100000, 1, 2.5e-4)
    assert isinstance(wanted.method, SpectralSettings) and wanted.method.bands == [0.01, 0.05, 0.09]
