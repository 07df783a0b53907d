"""R-MRNet: every loss of both stages and its gradients are those of the official code; labels are made, learnt and
resumed; what the disagreement does to a loss is what the paper says of it."""

from functools import partial
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from tests.methods.building import context
from tests.parity import numbers
from tests.tiny import QUIET, domains_whose_labels_are_opened, stopped_after_two_steps, tiny
from torch import Tensor, nn

from segue.engine.experiment import load
from segue.engine.stages import train
from segue.methods.aligned import Aligned, AlignedSettings
from segue.methods.class_weights import ClassWeightSettings
from segue.methods.rectified import RectifiedSettings, rectified_loss
from segue.methods.terms.memory import Memory, MemorySettings
from segue.methods.terms.multi_scale_adversarial import (
    MultiScaleAdversarial,
    MultiScaleAdversarialSettings,
    PyramidJudge,
)
from segue.models.segmenter import segmentation_loss
from segue.ops.disagreement import disagreement, rectified
from segue.types import Output, Source, Supervised, View

Data = dict[str, Tensor]
SIZE = (40, 56)
SMALL = 64 * 64 / (SIZE[0] * SIZE[1])  # the official number of pixels, of these crops more than all
UNSCORED = {"data": {"evaluation": None, "source_evaluation": None}}


@pytest.fixture(scope="module")
def official(fixtures_dir: Path) -> Data:
    return numbers(fixtures_dir, "rectified_pseudo_label")


def leaves(official: Data, domain: str) -> tuple[Tensor, Tensor]:
    """The main and the auxiliary logits of a domain."""
    return tuple(official[f"{domain}_{head}"].clone().requires_grad_() for head in ("main", "aux"))  # type: ignore[return-value]


def output(logits: tuple[Tensor, Tensor]) -> Output:
    """As the network gives it where corners lie on corners."""
    main, aux = (F.interpolate(one, SIZE, mode="bilinear", align_corners=True) for one in logits)
    return Output(main, [], main, [Supervised(main), Supervised(aux, share=0.5)])


def view(name: str, label: Tensor | None = None, **more: object) -> View:
    return View(name, torch.zeros(2, 3, *SIZE), label, **more)  # type: ignore[arg-type]


def class_weights(label: Tensor) -> Tensor:
    return ClassWeightSettings(weight=7.0, small=min(1.0, SMALL), momentum=0.9).build(5)(label)


@pytest.mark.parametrize("weighted", [0, 1])
@pytest.mark.parametrize("head", ["main", "aux"])
def test_the_rectified_loss_is_the_official_one(official: Data, head: str, weighted: int) -> None:
    """Along with its gradient with respect to either prediction."""
    label = official["label"].long()
    logits = leaves(official, "source")
    seen = output(logits)
    for one, name in zip(seen.supervised, ("main", "aux"), strict=True):
        one.share = float(name == head)
    weights = class_weights(label) if weighted else None
    if weights is not None:
        assert torch.allclose(weights, official["rectified/class_weight"])
    loss = rectified_loss(seen, view("target", label), weights=weights)
    wanted = f"rectified/weighted{weighted}/{head}"
    assert torch.allclose(loss, official[f"{wanted}/loss"], rtol=1e-5)
    loss.backward()
    for leaf, name in zip(logits, ("main", "aux"), strict=True):
        assert leaf.grad is not None
        assert torch.allclose(leaf.grad, official[f"{wanted}/grad_{name}_logits"], rtol=1e-4, atol=1e-9)


def test_the_last_stage_is_the_official_one(official: Data) -> None:
    label = official["label"].long()
    logits = leaves(official, "source")
    rectified_loss(output(logits), view("target", label), weights=class_weights(label)).backward()
    for leaf, name in zip(logits, ("main", "aux"), strict=True):
        assert leaf.grad is not None
        assert torch.allclose(leaf.grad, official[f"stage2/grad/source_{name}"], rtol=1e-4, atol=1e-9)


def judged(official: Data, **options: object) -> MultiScaleAdversarial:
    """The term with the official discriminators' weights."""
    settings = MultiScaleAdversarialSettings.model_validate(
        {"share": 0.001, "auxiliary_share": 0.0002, "discriminator": {"channels": 2}, **options}
    )
    term = MultiScaleAdversarial(settings, num_classes=5, auxiliary=True)
    for judge, number in zip(term.judges, (2, 1), strict=True):  # theirs count from the auxiliary one
        prefix = f"discriminator{number}/"
        theirs = [value for name, value in official.items() if name.startswith(prefix)]
        named = sorted(name for name in official if name.startswith(prefix))
        assert len(theirs) == len(list(judge.parameters()))
        places = sorted(range(len(named)), key=lambda place: _order(named[place]))
        with torch.no_grad():
            for parameter, place in zip(judge.parameters(), places, strict=True):
                parameter.copy_(official[named[place]])
    return term


def _order(name: str) -> tuple[list[int], bool]:
    """Where an official parameter stands in ours: its numbers in turn, a weight before its bias."""
    return [int(part) for part in name.split("/")[1].split(".") if part.isdigit()], name.endswith("bias")


@pytest.mark.parametrize("when", ["before", "after"])
def test_the_first_stage_is_the_official_one(official: Data, when: str) -> None:
    """The source's hardest fifth, both adversaries and, from its step on, the memory: values and all gradients."""
    stage = f"stage1_{when}_15000"
    label = official["label"].long()
    source, target = leaves(official, "source"), leaves(official, "target")
    balanced = {"weights": {"weight": 7.0, "small": 1.0, "momentum": 1.0}} if when == "after" else {}
    settings = AlignedSettings.model_validate({"percentile": 80.0, **balanced})
    term, memory = judged(official), Memory(MemorySettings(share=0.1, after=0.5), steps=30_000)
    memory.step = 14_999 if when == "before" else 15_000
    method = Aligned(settings, context(nn.Identity(), classes=5), {"game": term, "memory": memory})
    seen = method._source(Source(torch.zeros(2, 3, *SIZE), label, ["", ""]))  # pyright: ignore[reportPrivateUsage]
    own = segmentation_loss(output(source), seen)
    found = term(nn.Identity(), view("target"), output(target))
    found |= memory(nn.Identity(), view("target"), output(target))
    parts = [official[f"{stage}/segmentation_{head}"] for head in ("main", "aux")]
    assert own.item() == pytest.approx(float(parts[0] + 0.5 * parts[1]), rel=1e-5)
    for level, share, head in (("", 0.001, "main"), ("_auxiliary", 0.0002, "aux")):
        wanted = share * float(official[f"{stage}/adversarial_{head}"])
        assert found[f"multi_scale_adversarial{level}"].item() == pytest.approx(wanted, rel=1e-5)
    assert found["memory"].item() == pytest.approx(0.1 * float(official[f"{stage}/kl"]), rel=1e-5)
    students = [loss for name, loss in found.items() if not name.startswith("judge")]
    # The official case after 15 000 has an entropy term, too, which papers and scripts set to zero.
    total = own + torch.stack(students).sum()
    if when == "after":
        entropy = _official_entropy(target)
        assert entropy.item() == pytest.approx(official[f"{stage}/entropy"].item(), rel=1e-5)
        total = total + 0.3 * entropy
    total.backward()
    for domain, both in (("source", source), ("target", target)):
        for leaf, head in zip(both, ("main", "aux"), strict=True):
            assert leaf.grad is not None
            wanted = official[f"{stage}/grad/{domain}_{head}"]
            assert torch.allclose(leaf.grad, wanted, rtol=1e-4, atol=1e-9), (domain, head)


def _official_entropy(logits: tuple[Tensor, Tensor]) -> Tensor:
    seen = output(logits)
    both = sum(one.share * one.logits for one in seen.supervised)
    assert isinstance(both, Tensor)
    sure = both.softmax(1).square().sum(1).detach()
    return -(sure * (both.softmax(1) * both.log_softmax(1)).sum(1)).mean()


def test_the_judges_losses_are_the_official_ones(official: Data) -> None:
    """The source's half with its penalty and the target's half, summed; no gradient reaches the network."""
    term = judged(official)
    source, target = leaves(official, "source"), leaves(official, "target")
    found = {name: [one] for name, one in term(nn.Identity(), view("source"), output(source)).items()}
    for name, one in term(nn.Identity(), view("target"), output(target)).items():
        found.setdefault(name, []).append(one)
    for level, number in (("", 2), ("_auxiliary", 1)):
        both = torch.stack(found[f"judge{level}"]).sum()
        wanted = official[f"stage1_before_15000/discriminator{number}_loss"]
        assert torch.allclose(both, wanted, rtol=1e-5)
        both.backward(retain_graph=True)
    first = term.judges[1]
    ours = torch.cat([_of(first, name).flatten() for name in _official_names(official)])
    wanted = official["stage1_before_15000/discriminator1_grad_flat"]
    assert torch.allclose(ours, wanted, rtol=1e-4, atol=1e-7)
    assert all(leaf.grad is None for leaf in (*source, *target))


def _official_names(official: Data) -> list[str]:
    """Parameters in the order of the official module: by place, weight before bias."""
    return sorted((name for name in official if name.startswith("discriminator1/")), key=_order)


def _of(judge: nn.Module, name: str) -> Tensor:
    """The gradient of the parameter that was filled from an official one."""
    names = sorted(_names_of(judge), key=lambda own: own[0])
    place = [key for key, _ in names].index(_order(name))
    gradient = names[place][1].grad
    assert gradient is not None
    return gradient


def _names_of(judge: nn.Module) -> list[tuple[tuple[list[int], bool], Tensor]]:
    assert isinstance(judge, PyramidJudge)
    numbers: list[tuple[list[int], bool]] = []
    for size in range(3):
        for layer in range(10):
            halves = ([size, layer, part] for part in (0, 1)) if 5 <= layer < 9 else [[size, layer]]
            numbers += [(own, is_bias) for own in halves for is_bias in (False, True)]
    return list(zip(numbers, judge.parameters(), strict=True))


def test_labels_are_the_official_ones(official: Data) -> None:
    """The mean over two sizes and mirror images of what both predictions say together, without a threshold."""
    total = torch.zeros(1, 5, 20, 30)
    for look in range(4):
        main, aux = (official[f"pseudo/logits{look}_{head}"] for head in ("main", "aux"))
        both = (0.5 * aux + main).softmax(1)
        both = both.flip(-1) if look % 2 else both
        total += F.interpolate(both, (20, 30), mode="bilinear", align_corners=True)
    assert torch.allclose(total, official["pseudo/sum"], atol=1e-5)
    assert torch.equal(total.argmax(1).byte(), official["pseudo/label"])
    main, aux = (official[f"pseudo/logits0_{head}"] for head in ("main", "aux"))
    assert torch.allclose(disagreement(aux, main), official["pseudo/disagreement"], atol=1e-6)


def test_what_disagreement_does_to_a_loss() -> None:
    """It is 0 between equals and above otherwise; a loss is discounted only above one, and at most to 1 + ln of it."""
    one, other = torch.randn(2, 5, 3, 4), torch.randn(2, 5, 3, 4)
    assert disagreement(one, one + 3).abs().max() < 1e-6 and disagreement(one, other).min() > 0
    loss = torch.rand(2, 3, 4)
    assert torch.equal(rectified(loss, torch.zeros(2, 3, 4)), loss)
    variance = torch.linspace(0, 4, 4001)[None, None]
    for height in (0.5, 1.0, 3.0, 20.0):
        cost = rectified(torch.full_like(variance, height), variance)
        best = float(variance.flatten()[cost.argmin()])
        assert best == pytest.approx(max(0.0, float(torch.tensor(height).log())), abs=2e-3)
    main, aux = torch.randn(2, 5, 8, 8), torch.randn(2, 5, 8, 8)
    label = torch.randint(0, 5, (2, 8, 8))

    def total(order: list[int]) -> Tensor:
        seen = Output(main, [], main, [Supervised(main[order]), Supervised(aux[order], share=0.5)])
        return rectified_loss(seen, View("target", torch.zeros(2, 3, 8, 8), label[order]))

    assert torch.allclose(total([0, 1]), total([1, 0]))


def test_agreeing_predictions_learn_plain_cross_entropy() -> None:
    logits, label = torch.randn(2, 5, 8, 8), torch.randint(0, 5, (2, 8, 8))
    seen = Output(logits, [], logits, [Supervised(logits), Supervised(logits, share=0.5)])
    learnt = partial(rectified_loss, output=seen, view=View("target", torch.zeros(2, 3, 8, 8), label))
    assert torch.allclose(learnt(), learnt(rectify=False), atol=1e-6)
    assert torch.allclose(learnt(), 1.5 * F.cross_entropy(logits, label), atol=1e-6)


def test_the_memory_has_no_gradient_through_what_both_say() -> None:
    """If only one prediction could move, the gradient would be that of a fixed target: p - q."""
    main, aux = torch.randn(1, 5, 4, 4, requires_grad=True), torch.randn(1, 5, 4, 4)
    seen = Output(main, [], main, [Supervised(main), Supervised(aux, share=0.5)])
    Memory(MemorySettings(share=1.0))(nn.Identity(), View("target", torch.zeros(1, 3, 4, 4)), seen)[
        "memory"
    ].backward()
    both = (main + 0.5 * aux).detach().softmax(1)
    assert main.grad is not None
    assert torch.allclose(main.grad, (main.detach().softmax(1) - both) / 16, atol=1e-6)


def test_a_network_with_one_prediction_is_refused() -> None:
    with pytest.raises(ValueError, match=r"compares two predictions .*network\.head=deeplab_v2_se"):
        RectifiedSettings().build(context(nn.Identity()), {})
    with pytest.raises(ValueError, match=r"terms\.memory compares two predictions"):
        MemorySettings().build(context(nn.Identity()))


@pytest.mark.slow
def test_without_shares_it_is_source_only(tmp_path: Path) -> None:
    """MRNet's terms with a share of 0, and every pixel counted alike, train what source-only trains, bit for bit."""
    none = {"share": 0.0, "auxiliary_share": 0.0}
    off = {
        "terms": {"memory": {"share": 0.0}, "multi_scale_adversarial": none},
        "method": {"weights": None, "percentile": 0.0, "source_mean": "pixels"},
    }
    alone = {"network": {"head": "deeplab_v2_se", "auxiliary": 0.5}, "data": {"flip": 0.5, "max_share": 1.0}}
    train(tiny("mrnet", off, UNSCORED), tmp_path / "mrnet", console=QUIET, cpu=True)
    train(tiny("source_only", alone, UNSCORED), tmp_path / "alone", console=QUIET, cpu=True)
    ours, theirs = (load_file(tmp_path / run / "model" / "model.safetensors") for run in ("mrnet", "alone"))
    assert ours.keys() == theirs.keys()
    learnt = [name for name in ours if "running" not in name and "num_batches" not in name]
    assert learnt and all(torch.equal(ours[name], theirs[name]) for name in learnt)


@pytest.mark.slow
def test_both_stages_go_on_where_they_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No target label is opened; the last stage learns the labels alone, slower, from the first one's network."""
    asked = domains_whose_labels_are_opened(monkeypatch)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    wanted = tiny("rmrnet", UNSCORED)
    train(wanted, whole, console=QUIET, cpu=True)
    assert asked == {"source"}
    last = load(whole / "rectified" / "experiment.yaml")
    assert last.optim.lr == wanted.optim.lr / 2 and last.network.dropout == 0.2
    assert last.network.start == whole / "memory" and not last.terms.used()
    for _ in range(2):  # once in each stage
        with stopped_after_two_steps(monkeypatch):
            train(wanted, broken, console=QUIET, cpu=True)
    train(wanted, broken, console=QUIET, cpu=True)
    model = "model/model.safetensors"
    assert (whole / model).read_bytes() == (broken / model).read_bytes()
