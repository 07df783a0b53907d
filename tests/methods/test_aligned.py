"""MinEnt, AdvEnt and AdaptSegNet: two whole iterations equal the official ones, on both sides of the game; a share of 0
is source-only bit for bit; their terms also join self-training."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import yaml
from safetensors.torch import load_file
from tests.methods.building import context
from tests.parity import numbers
from tests.tiny import QUIET, assert_same_tensors, stopped_after_two_steps, tiny
from torch import Tensor, nn

from segue.engine.optim import Optimisers
from segue.engine.run import train
from segue.engine.settings import OptimSettings
from segue.evaluation.model import TrainedModel
from segue.methods.aligned import AlignedSettings
from segue.methods.method import Method, Term
from segue.methods.terms.adversarial import Adversarial, AdversarialSettings
from segue.methods.terms.entropy import Entropy, EntropySettings
from segue.recipes.catalogue import experiment
from segue.recipes.pairs import PAIRS
from segue.types import Batch, Output, Source, Supervised, Target

Data = dict[str, Tensor]

SHARES = {"share": 0.5, "auxiliary_share": 0.25}
JUDGES = {"channels": 2, "lr": 1e-3}
HORIZON = 250_000
UNSCORED = {"data": {"evaluation": None, "source_evaluation": None}}


@pytest.fixture(scope="module")
def official(fixtures_dir: Path) -> Data:
    return numbers(fixtures_dir, "adversarial_steps")


class Classifier(nn.Conv2d):
    learns_like_a_head = True


class TwoLevels(nn.Module):
    """The official steps' network: both predictions are enlarged to the picture, corners on corners."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(6, 8, 3, stride=2, padding=1)
        self.aux, self.main = Classifier(6, 5, 1), Classifier(8, 5, 1)

    def forward(self, image: Tensor) -> Output:
        maps = F.relu(self.conv1(image))
        both = (self.main(F.relu(self.conv2(maps))), self.aux(maps))
        size = image.shape[-2:]
        main, aux = (F.interpolate(one, size, mode="bilinear", align_corners=True) for one in both)
        return Output(main, [maps], maps, [Supervised(main), Supervised(aux, share=0.1)])


def part(data: Data, prefix: str) -> Data:
    return {name.removeprefix(prefix): value for name, value in data.items() if name.startswith(prefix)}


def part_like(module: nn.Module, official: Data, prefix: str) -> Data:
    """Official tensors in the order of a module's own; AdaptSegNet's discriminators have layers of other names."""
    found = part(official, prefix)
    if "classifier.weight" in found:
        layers = ["conv1", "conv2", "conv3", "conv4", "classifier"]
        found = {
            f"{2 * number}.{kind}": found[f"{layer}.{kind}"]
            for number, layer in enumerate(layers)
            for kind in ("weight", "bias")
        }
    return {name: found[name] for name in module.state_dict()}


def built(official: Data, term: Term) -> Method:
    """The method on the official starting weights."""
    student = TwoLevels()
    student.load_state_dict(part(official, "init/model/"))
    if isinstance(term, Adversarial):
        for judge, name in zip(term.discriminators, ("d_main", "d_aux"), strict=True):
            judge.load_state_dict(part(official, f"init/{name}/"))
    return AlignedSettings().build(context(student, classes=5), {"term": term})


def iterations(official: Data, method: Method) -> Iterator[dict[str, float]]:
    """Two steps as the engine makes them, and the losses of each."""
    settings = OptimSettings(
        name="sgd", lr=2.5e-3, head_factor=10, weight_decay=5e-4, momentum=0.9, warmup=0, power=0.9
    )
    optimisers = Optimisers(method, settings, steps=HORIZON)
    for step in range(2):
        optimisers.set_rates(step)
        source, target = (official[f"step{step}/{name}_x32"].float() / 32 for name in ("source", "target"))
        label = official[f"step{step}/source_label"].long()
        batch = Batch(Source(source, label, [""]), Target(target, None, None, [""]))
        found: dict[str, Tensor] = {}
        for seen in method.views(batch, step):
            losses = method(seen)
            torch.stack(list(losses.values())).sum().backward()
            found |= losses
        for one in optimisers.by_name.values():
            one.step()
            one.zero_grad()
        yield {name: float(loss.detach()) for name, loss in found.items()}


def assert_same(module: nn.Module, wanted: Data) -> None:
    own = module.state_dict()
    for (name, value), there in zip(own.items(), wanted.values(), strict=True):
        assert torch.allclose(value, there, rtol=1e-5, atol=2e-7), (
            name,
            float((value - there).abs().max()),
        )


def segmentation(data: Data, step: str, main: str, aux: str) -> float:
    return float(data[f"{step}/{main}"] + 0.1 * data[f"{step}/{aux}"])


def test_two_iterations_of_minent(official: Data) -> None:
    term = Entropy(EntropySettings(**SHARES), num_classes=5, auxiliary=True)
    method = built(official, term)
    for step, losses in enumerate(iterations(official, method)):
        there = part(official, f"minent/step{step}/")
        wanted = {
            "source/segmentation": segmentation(
                official, f"minent/step{step}", "loss_seg_src_main", "loss_seg_src_aux"
            ),
            "target/entropy": 0.5 * float(there["loss_ent_main"]),
            "target/entropy_auxiliary": 0.25 * float(there["loss_ent_aux"]),
        }
        assert losses == pytest.approx(wanted, rel=1e-5)
    assert_same(method.student, part_like(method.student, official, "minent/after/model/"))


@pytest.mark.parametrize(
    ("name", "shown", "loss"),
    [
        ("advent", "self_information", "vanilla"),
        ("adaptsegnet_Vanilla", "probabilities", "vanilla"),
        ("adaptsegnet_LS", "probabilities", "least_squares"),
    ],
)
def test_two_iterations_against_discriminators(official: Data, name: str, shown: str, loss: str) -> None:
    settings = AdversarialSettings.model_validate(
        {**SHARES, "map": shown, "loss": loss, "discriminator": JUDGES}
    )
    term = Adversarial(settings, num_classes=5, auxiliary=True)
    method = built(official, term)
    both = list(iterations(official, method))
    if name == "advent":
        for step, losses in enumerate(both):
            there = part(official, f"advent/step{step}/")
            where = f"advent/step{step}"
            wanted = {
                "source/segmentation": segmentation(official, where, "loss_seg_src_main", "loss_seg_src_aux"),
                "target/adversarial": 0.5 * float(there["loss_adv_trg_main"]),
                "target/adversarial_auxiliary": 0.25 * float(there["loss_adv_trg_aux"]),
                "target/discriminator": float(there["loss_d_main"]),  # the log has the target's half alone
                "target/discriminator_auxiliary": float(there["loss_d_aux"]),
            }
            assert {key: losses[key] for key in wanted} == pytest.approx(wanted, rel=1e-5)
    else:
        there, losses = part(official, f"{name}/step0/"), both[0]
        wanted = segmentation(official, f"{name}/step0", "loss_seg2", "loss_seg1")
        assert losses["source/segmentation"] == pytest.approx(wanted, rel=1e-5)
        for level, share, number in (("", 0.5, 2), ("_auxiliary", 0.25, 1)):
            fooled = share * float(there[f"loss_adv_target{number}"])
            assert losses[f"target/adversarial{level}"] == pytest.approx(fooled, rel=1e-5)
            told = losses[f"source/discriminator{level}"] + losses[f"target/discriminator{level}"]
            # Its log adds up two halves, of which least squares' has the same size.
            assert told == pytest.approx(float(there[f"loss_D{number}"]), rel=1e-5)
    assert_same(method.student, part_like(method.student, official, f"{name}/after/model/"))
    for judge, which in zip(term.discriminators, ("d_main", "d_aux"), strict=True):
        assert_same(judge, part_like(judge, official, f"{name}/after/{which}/"))


NOTHING: dict[str, dict[str, Any]] = {
    "minent": {"entropy": {"share": 0.0}},
    "advent": {"adversarial": {"share": 0.0}},
    "fada": {"class_adversarial": {"share": 0.0}},
    "patchalign": {
        "adversarial": {"share": 0.0},
        "patch_alignment": {"share": 0.0, "adversarial_share": 0.0},
    },
    "apoda": {"entropy": {"share": 0.0}, "point_perturbation": {"share": 0.0, "consistency_share": 0.0}},
}


@pytest.mark.slow
@pytest.mark.parametrize("recipe", list(NOTHING))
def test_a_share_of_nothing_is_source_only_bit_for_bit(recipe: str, tmp_path: Path) -> None:
    """All that learns is equal; running batch statistics follow both domains, as in the official code."""

    def learnt(name: str, *wishes: dict[str, Any]) -> Data:
        same = {"data": {"flip": 0.0, "max_share": 1.0}, "run": {"draw_every": 0}}
        train(tiny(name, same, UNSCORED, *wishes), tmp_path / str(len(wishes)), console=QUIET, cpu=True)
        state = load_file(tmp_path / str(len(wishes)) / "model" / "model.safetensors")
        return {key: value for key, value in state.items() if "running_" not in key and "num_" not in key}

    mean = {"method": {"source_mean": "pixels", "temperature": 1.0}}
    source, some = learnt("source_only"), learnt(recipe, mean)
    none = learnt(recipe, mean, {"terms": NOTHING[recipe]})
    assert source and source.keys() == none.keys()
    assert all(torch.equal(none[name], source[name]) for name in source)
    assert not all(torch.equal(some[name], source[name]) for name in source)


def test_patchalign_without_patches_is_adaptsegnet_bit_for_bit(tmp_path: Path) -> None:
    def learnt(name: str, terms: dict[str, Any]) -> Data:
        train(tiny(name, UNSCORED, {"terms": terms}), tmp_path / name, console=QUIET, cpu=True)
        return load_file(tmp_path / name / "model" / "model.safetensors")

    given = {"adversarial": {"share": 0.5, "after": 0.0}}
    one = learnt("patchalign", {**given, "patch_alignment": {"share": 0.0, "adversarial_share": 0.0}})
    other = learnt("adaptsegnet", given)
    assert one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def test_a_list_in_yaml_joins_them_with_self_training(tmp_path: Path) -> None:
    wish = yaml.safe_load("terms: [adversarial, entropy]\nsteps: 2")
    train(tiny("dacs", wish, UNSCORED), tmp_path, console=QUIET, cpu=True)
    logged = (tmp_path / "metrics.jsonl").read_text().splitlines()
    names = ("source/discriminator", *(f"target/{own}" for own in ("segmentation", "entropy", "adversarial")))
    assert len(logged) == 2 and all(name in logged[0] for name in names)
    assert (tmp_path / "checkpoints" / "0000002" / "optimizer.adversarial.discriminator.safetensors").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "listed", ["[adversarial, feature_distance]", "[class_adversarial, patch_alignment, point_perturbation]"]
)
def test_a_joined_run_that_is_taken_up_ends_bit_equal(
    listed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = tiny("dacs", yaml.safe_load(f"terms: {listed}"), UNSCORED)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train(wanted, whole, console=QUIET, cpu=True)
    with stopped_after_two_steps(monkeypatch):
        train(wanted, broken, console=QUIET, cpu=True)
    train(wanted, broken, console=QUIET, cpu=True)
    names = [f"optimizer.{name}.discriminator" for name in wanted.terms.used() if name != "feature_distance"]
    for name in ("method", "optimizer", *names):
        file = f"checkpoints/0000003/{name}.safetensors"
        assert_same_tensors(whole / file, broken / file)


def test_both_levels_by_sgd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The papers' head on a small encoder: a discriminator each, and a run that is taken up ends bit-equal."""
    wish = {
        "network": {"head": "deeplab_v2", "auxiliary": 0.1},
        "optim": {"name": "sgd", "lr": 1e-3, "warmup": 0.0},
    }
    wanted, whole, broken = tiny("adaptsegnet", wish, UNSCORED), tmp_path / "whole", tmp_path / "broken"
    train(wanted, whole, console=QUIET, cpu=True)
    with stopped_after_two_steps(monkeypatch):
        train(wanted, broken, console=QUIET, cpu=True)
    train(wanted, broken, console=QUIET, cpu=True)
    for name in ("method", "optimizer", "optimizer.adversarial.discriminator"):
        file = f"checkpoints/0000003/{name}.safetensors"
        assert_same_tensors(whole / file, broken / file)
    logged = (whole / "metrics.jsonl").read_text().splitlines()[-1]
    assert "target/adversarial_auxiliary" in logged and "source/discriminator_auxiliary" in logged
    state = load_file(whole / "checkpoints/0000003/method.safetensors")
    prefix = "terms.adversarial.discriminators."
    assert {name.removeprefix(prefix)[0] for name in state if name.startswith(prefix)} == {"0", "1"}
    assert not TrainedModel.load(whole).network.training


@pytest.mark.parametrize("pair", ["gta5_to_cityscapes", "synthia_to_cityscapes"])
def test_the_papers_pairs_bring_the_papers_network(pair: str) -> None:
    """DeepLabV2 with an auxiliary prediction by SGD; ADVENT's has four branches, AdaptSegNet's two."""
    for recipe, branches in (("minent", "four"), ("advent", "four"), ("adaptsegnet", "two")):
        wanted = experiment(recipe, PAIRS[pair])
        network = wanted.network
        assert (network.head, network.context, network.auxiliary) == ("deeplab_v2", branches, 0.1)
        assert (wanted.optim.name, wanted.optim.lr, wanted.optim.power) == ("sgd", 2.5e-4, 0.9)
        assert wanted.method == AlignedSettings(source_mean="labelled") and network.aligned_corners
    for recipe, branches in (
        ("intrada", "four"),
        ("advent_minent", "four"),
        ("fada", "four"),
        ("apoda", "two"),
    ):
        wanted = experiment(recipe, PAIRS[pair])
        assert (wanted.network.head, wanted.network.context) == ("deeplab_v2", branches)
        assert (wanted.network.auxiliary is None) == (recipe in ("fada", "apoda"))
        assert (wanted.data.batch, wanted.steps) == ((8, 40000) if recipe == "fada" else (1, 120000))


def test_a_method_that_would_learn_nothing_of_the_target_is_refused() -> None:
    with pytest.raises(ValueError, match=r"none looks at it: set terms\.entropy"):
        AlignedSettings().build(context(TwoLevels()), {})


def test_terms_about_pseudo_labels_say_that_there_are_none() -> None:
    with pytest.raises(
        ValueError, match=r"terms\.confidence is about pseudo-labels, and method aligned has none"
    ):
        tiny("minent", {"terms": {"confidence": {}}})
    assert tiny("dacs", {"terms": {"confidence": {}}}).terms.confidence is not None
