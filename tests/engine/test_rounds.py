"""Rounds fine-tune: frozen statistics, held rate, twice each picture; an interruption anywhere changes nothing."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.methods.building import offline
from tests.tiny import QUIET, ready, tiny

from segue.data.statistics import dataset_prior
from segue.engine import experiment as experiments
from segue.engine.build import build_loader, build_student
from segue.engine.domains import open_domain, training_classes
from segue.engine.loop import Trainer
from segue.engine.settings import Experiment
from segue.engine.stages import train
from segue.engine.view_painter import ViewPainter
from segue.evaluation import labelling
from segue.methods import rounds
from segue.methods.method import Reading
from segue.methods.offline import OfflineSettings
from segue.methods.rounds import Balance, fine_tuning, round_seed
from segue.types import View

UNSCORED = {"data": {"evaluation": None, "source_evaluation": None}}
MEAN, STD = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
BALANCE = Balance({"road": 0.5, "pole": 1.0, "car": 0.4}, {"road": 9000, "pole": 3, "car": 997})


def changes(wanted: Experiment, number: int = 0, *, processes: int = 1, source: int = 1000, target: int = 95):
    assert isinstance(wanted.method, OfflineSettings) and wanted.method.rounds is not None
    stages = SimpleNamespace(
        seed=wanted.seed,
        rate=wanted.optim.lr,
        target=range(target),
        together=wanted.data.batch * processes * wanted.optim.accumulate,
    )
    return fine_tuning(stages, wanted.method.rounds, number, BALANCE, source_pictures=source)


def test_a_round_takes_two_epochs_at_a_fifth_of_the_rate() -> None:
    found = changes(tiny("cbst"))
    assert found["optim"] == {"lr": pytest.approx(2e-3), "warmup": 0.0, "power": 0.0}
    assert found["steps"] == 2 * (30 + 95) / 2  # 3 % of the source; batches of two
    assert changes(tiny("cbst"), processes=5)["steps"] == 25
    assert changes(tiny("cbst", {"optim": {"accumulate": 2}}))["steps"] == 63
    assert found["method"]["mining"] == {"classes": ["pole"], "chance": 0.8}
    assert changes(tiny("cbst", {"method": {"rounds": {"mine": 0.0}}}))["method"]["mining"] is None
    assert [changes(tiny("cbst"), n)["method"]["source_share"] for n in (0, 1, 20)] == [0.03, 0.0325, 0.06]
    assert not found["method"]["soft"] and changes(tiny("crst_lrent"))["method"]["soft"]
    paper = tiny("cbst", {"optim": {"lr": 2.5e-4}})  # at which the paper's network learns the source
    assert changes(paper)["optim"]["lr"] == pytest.approx(5e-5)


def test_steps_that_somebody_names_are_a_rounds() -> None:
    for wish in ({"steps": 7}, {"steps": 7, "method": {"rounds": {"rate": 1.0}}}):
        assert "steps" not in changes(tiny("cbst", wish))
    both = {"steps": 7, "method": {"rounds": {"epochs": 1}}}
    assert changes(tiny("cbst", both))["steps"] == 63


def test_every_round_of_every_seed_draws_otherwise() -> None:
    assert len({round_seed(seed, number) for seed in range(5) for number in range(5)}) == 25
    assert all(0 <= round_seed(seed, 0) < 2**31 for seed in range(1000))


def test_what_would_be_ignored_is_refused() -> None:
    with pytest.raises(ValueError, match=r"data\.rare_classes draws the source's pictures"):
        tiny("cbst", {"data": {"rare_classes": {}}})
    with pytest.raises(ValueError, match="rounds decide on soft, mining and source_share themselves"):
        tiny("cbst", {"method": {"source_share": 0.5}})
    with pytest.raises(ValueError, match="unknown class 'poel'"):
        wrong = tiny("cbst", {"method": {"rounds": None, "mining": {"classes": ["poel"]}}})
        source, target = (
            open_domain(wrong.data, domain, labelled=True)
            for domain in (wrong.data.source, wrong.data.target)
        )
        build_loader(
            wrong,
            source,
            target,
            statistics_cache=Path("none"),
            device=torch.device("cpu"),
            reading=Reading(mined=["poel"], mine_chance=0.8),
        )


def run(recipe: str, folder: Path, start: Path, wish: dict[str, Any] | None = None) -> Path:
    wanted = experiments.revise(ready(tiny(recipe), start), UNSCORED, wish or {})
    assert train(wanted, folder, console=QUIET, cpu=True) is None
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("frozen", [True, False])
def test_fine_tuning_leaves_the_starts_statistics_alone(frozen: bool, tmp_path: Path) -> None:
    start = tmp_path / "start"
    folder = run("cbst", tmp_path / "run", start, {"method": {"frozen_statistics": frozen}})
    before, after = (load_file(path / "model.safetensors") for path in (start, folder / "model"))
    statistics = [name for name in before if "running_" in name or "num_batches" in name]
    assert statistics and before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in statistics) == frozen
    learnt = [name for name in before if name not in statistics]
    moved = [name for name in learnt if not torch.equal(before[name], after[name])]
    assert len(moved) > 0.9 * len(learnt)
    for number in (1, 2):
        rows = (folder / f"round{number}" / "metrics.jsonl").read_text().splitlines()
        assert [json.loads(row)["lr"] for row in rows] == pytest.approx([2e-3] * 3)


def test_drawing_a_step_does_not_wake_frozen_statistics(tmp_path: Path) -> None:
    """A picture drawn in the middle of a step of several batches leaves every layer in the mode it was in."""
    network = build_student(tiny("cbst"))
    method = offline(network, frozen_statistics=True)
    method.train()
    modes = [module.training for module in network.modules()]
    classes = training_classes(tiny("cbst").data)
    painter = ViewPainter(tmp_path, classes=classes, mean=MEAN, std=STD)
    painter.add(View("target", torch.zeros(1, 3, 64, 64), torch.zeros(1, 64, 64).long()), network)
    assert [module.training for module in network.modules()] == modes
    assert True in modes and False in modes


@pytest.mark.slow
def test_rounds_tell_what_they_did(tmp_path: Path) -> None:
    """The stage's own experiment holds what was decided, and the prior is the source's."""
    folder = run(
        "cbst_sp", tmp_path / "run", tmp_path / "start", {"method": {"rounds": {"epochs": 1, "rare": 0.2}}}
    )
    wanted = experiments.load(folder / "experiment.yaml")
    source = open_domain(wanted.data, wanted.data.source, labelled=True)
    expected = dataset_prior(source, side=70 / 1052)
    assert torch.equal(load_file(folder / "prior.safetensors")["prior"], expected)
    for number in (0, 1):
        stage = experiments.load(folder / f"round{number + 1}" / "experiment.yaml")
        balance = rounds.kept(folder / f"round{number + 1}" / "labels")
        assert isinstance(stage.method, OfflineSettings) and balance is not None
        assert stage.method.source_share == 0.5 and stage.steps == (3 + 6) // 2 + 1
        assert stage.method.mining is not None and stage.method.mining.classes == balance.rare(0.2)
        assert sum(balance.predicted.values()) == 6 * 64 * 128


INTERRUPTED: dict[str, tuple[Any, str, int]] = {
    "looking": (rounds, "measure", 2),  # the second round's thresholds
    "labelling": (labelling, "write_pictures", 9),  # in the second round's third picture
    "learning": (Trainer, "update", 5),  # the second round's second step
}


def told(path: Path) -> bytes:
    """A file without the name of its run, which every run has for itself."""
    content = path.read_bytes()
    if path.name == "state.json":
        content = json.dumps({**json.loads(content), "run": ""}).encode()
    return content


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the start of a run of two rounds, and the whole run."""
    folder = tmp_path_factory.mktemp("rounds")
    train(of_two_rounds(folder), folder / "whole", console=QUIET, cpu=True)
    return folder


def of_two_rounds(folder: Path) -> Experiment:
    return experiments.revise(ready(tiny("crst_lrent"), folder / "start"), UNSCORED)


@pytest.mark.slow
@pytest.mark.parametrize("where", list(INTERRUPTED))
def test_a_run_that_was_stopped_in_its_second_round_ends_as_an_unbroken_one(
    where: str, unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = of_two_rounds(unbroken)
    owner, name, last = INTERRUPTED[where]
    plain: Callable[..., Any] = getattr(owner, name)
    calls = 0

    def stopped(*arguments: Any, **more: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == last:
            raise KeyboardInterrupt
        return plain(*arguments, **more)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(owner, name, stopped)
        train(wanted, tmp_path / "broken", console=QUIET, cpu=True)
    assert (tmp_path / "broken/round1/model").is_dir() and not (tmp_path / "broken/round2/model").exists()
    train(wanted, tmp_path / "broken", console=QUIET, cpu=True)
    files = [
        path.relative_to(unbroken / "whole")
        for path in (unbroken / "whole").rglob("*")
        if path.suffix in (".safetensors", ".npz", ".png", ".json") or path.name == "metrics.jsonl"
    ]
    assert len(files) > 40
    for file in files:
        whole, broken = told(unbroken / "whole" / file), told(tmp_path / "broken" / file)
        assert whole == broken, file
