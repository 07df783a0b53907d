"""DIDA keeps the oracles of its specification, and with the released settings equals the released code."""

from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file
from tests.parity import numbers
from tests.tiny import TINY, tiny
from torch import Tensor, nn

from segue.engine.build import build_method, build_student
from segue.engine.run import train
from segue.methods.self_training import SelfTraining
from segue.methods.terms.instance_bank import (
    FROM_ONE_PICTURE,
    InstanceBank,
    InstanceBankSettings,
    Pace,
    quotas,
)
from segue.ops import instances
from segue.recipes.catalogue import experiment
from segue.trees import merge
from segue.types import Batch, Output, Source, Supervised, View

Data = dict[str, Tensor]
CLASSES = 4
PACE = {"warmup", "interval", "momentum", "patience"}


@pytest.fixture(scope="module")
def data(fixtures_dir: Path) -> Data:
    return numbers(fixtures_dir, "dida_official_code")


def pixels(maps: Tensor) -> Tensor:
    return maps.permute(0, 2, 3, 1).flatten(0, 2)


def released(data: Data) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The bank, its labels, and both views' embeddings."""
    weak, strong = (data[f"similarity/{view}_embedding_x32"].float() / 32 for view in ("weak", "strong"))
    return data["bank/features_x32"].float() / 32, data["bank/labels"], weak, strong


def test_the_released_similarities_and_loss(data: Data) -> None:
    bank, labels, weak, strong = released(data)
    raw = pixels(weak) @ bank.T
    assert torch.allclose(raw, pixels(data["similarity/released/weak"]), atol=1e-4)
    log_strong = instances.log_similarity(pixels(strong), bank, kind="linear", temperature=1.0)
    assert torch.allclose(log_strong.exp(), pixels(data["similarity/released/strong"]), atol=1e-6)
    for name, score in (
        ("released", pixels(data["similarity/student_logits"])),
        ("with_teacher_softmax", pixels(data["similarity/teacher_logits"]).softmax(1)),
    ):
        # Weighing the normalised similarities or the raw ones gives the same distribution.
        similarity = instances.log_similarity(pixels(weak), bank, kind="linear", temperature=1.0).exp()
        target = instances.scattered(similarity, score, labels)
        official = pixels(data[f"similarity/{name}/scattered"])
        assert torch.allclose(target, official, rtol=2e-3, atol=1e-4 * float(official.abs().max())), name
        leaf = pixels(strong).requires_grad_()
        prediction = instances.log_similarity(leaf, bank, kind="linear", temperature=1.0)
        loss = 0.5 * instances.instance_loss(official, prediction, torch.ones(len(leaf))) / len(leaf)
        assert float(loss.detach()) == pytest.approx(float(data[f"similarity/{name}/loss"]), rel=1e-4)
        if f"similarity/{name}/grad_strong_embedding" not in data:
            continue
        loss.backward()
        gradient = pixels(data[f"similarity/{name}/grad_strong_embedding"])
        assert leaf.grad is not None
        assert torch.allclose(leaf.grad, gradient, atol=1e-4 * float(gradient.abs().max()))


def test_gathering_without_the_released_head_start(data: Data) -> None:
    """The released sum over instances begins with the class probabilities instead of zero."""
    bank, labels, weak, _ = released(data)
    similarity = instances.log_similarity(pixels(weak), bank, kind="linear", temperature=1.0).exp()
    probability = pixels(data["similarity/teacher_logits"]).softmax(1)
    mine = instances.gathered(similarity, labels, 19)
    assert torch.allclose(mine + probability, pixels(data["similarity/gather/aggregated"]), atol=1e-4)
    assert torch.allclose(mine.sum(1), torch.ones(len(mine)), atol=1e-4)


def test_the_released_update_of_classes_that_are_there(data: Data) -> None:
    features = data["update/feature_x32"].float()[:1] / 32
    label = data["update/label"][0].long()
    bank, labels = data["bank/features_x32"].float() / 32, data["bank/labels"]
    means, present = instances.class_means(pixels(features), label.flatten(), 19)
    there = present[labels]
    assert there.any()
    for momentum in (0.9, 0.999):
        official = data[f"update/one_image_mu{momentum}/features"]
        moved = torch.lerp(means[labels], bank, momentum)
        assert torch.allclose(official[there], moved[there], atol=1e-5)
        assert torch.allclose(
            official[~there], momentum * bank[~there], atol=1e-5
        )  # which we leave untouched


@pytest.fixture
def drawn() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    bank, pixel = torch.randn(10, 6, generator=generator), torch.randn(30, 6, generator=generator)
    labels = torch.randint(0, CLASSES, (10,), generator=generator)
    return bank, labels, pixel, torch.randn(30, CLASSES, generator=generator).softmax(1)


def test_distributions(drawn) -> None:
    bank, labels, pixel, probability = drawn
    similarity = instances.log_similarity(pixel, bank, kind="cosine", temperature=0.1).exp()
    target = instances.scattered(similarity, probability, labels)
    for found in (similarity, target, instances.gathered(similarity, labels, CLASSES)):
        assert (found >= 0).all() and torch.allclose(found.sum(1), torch.ones(30), atol=1e-5)
    uniform = torch.full_like(probability, 1 / CLASSES)
    assert torch.allclose(instances.scattered(similarity, uniform, labels), similarity, atol=1e-6)
    sure = torch.zeros_like(probability)
    sure[:, int(labels[0])] = 1
    support = instances.scattered(similarity, sure, labels) > 0
    assert torch.equal(support, (labels == labels[0]).expand(30, -1))
    nobody = torch.cat([torch.zeros_like(probability), torch.ones(30, 1)], dim=1)
    assert torch.equal(instances.scattered(similarity, nobody, labels), similarity)
    scaled = bank * torch.rand(10, 1)
    again = instances.log_similarity(pixel, scaled, kind="cosine", temperature=0.1).exp()
    assert torch.allclose(again, similarity, atol=1e-5)


def test_the_loss_is_an_entropy_at_best(drawn) -> None:
    bank, _, pixel, _ = drawn
    counted = torch.ones(30)
    log_similarity = instances.log_similarity(pixel, bank, kind="cosine", temperature=0.1)
    similarity = log_similarity.exp()
    entropy = -(similarity * log_similarity).sum()
    assert torch.allclose(instances.instance_loss(similarity, log_similarity, counted), entropy)
    other = instances.log_similarity(pixel.flip(0), bank, kind="cosine", temperature=0.1)
    assert instances.instance_loss(similarity, other, counted) > entropy
    flat = instances.log_similarity(pixel, bank, kind="cosine", temperature=1e6).exp()
    assert torch.allclose(flat, torch.full_like(flat, 0.1), atol=1e-4)
    sharp = instances.log_similarity(pixel, bank, kind="cosine", temperature=1e-4).exp()
    assert torch.allclose(sharp.max(1).values, torch.ones(30), atol=1e-3)


def test_boundaries_do_not_wrap_around() -> None:
    label = torch.zeros(6, 8, dtype=torch.int64)
    assert not instances.boundary(label).any()
    label[:, 4:] = 1
    expected = torch.zeros(6, 8, dtype=torch.bool)
    expected[:, 3:5] = True
    assert torch.equal(instances.boundary(label), expected)


def test_draws_are_of_the_wanted_class() -> None:
    label = torch.tensor([2, 2, 0, 255, 3, 0, 0])
    wanted = torch.tensor([0, 2, 3, 1] * 20)
    place, found = instances.draw_pixels(label, wanted, CLASSES, torch.Generator().manual_seed(0))
    assert torch.equal(found, wanted != 1)
    assert torch.equal(label[place][found], wanted[found])
    assert set(place[wanted == 0].tolist()) == {2, 5, 6}


@pytest.mark.parametrize("most", [1, 3])
def test_distinct_draws_fill_open_rows(most: int) -> None:
    label = torch.tensor([2, 2, 0, 255, 3, 0, 0])
    wanted = torch.tensor([0, 0, 0, 0, 2, 2, 3, 3, 1])
    open_rows = torch.tensor([False, True, True, True, True, True, True, True, True])
    place, found = instances.distinct_pixels(
        label, wanted, open_rows, CLASSES, most=most, generator=torch.Generator().manual_seed(0)
    )
    assert torch.bincount(wanted[found], minlength=CLASSES).tolist() == [min(3, most), 0, min(2, most), 1]
    assert not found[0] and torch.equal(label[place][found], wanted[found])
    assert len(set(place[found].tolist())) == int(found.sum())


def test_quotas() -> None:
    rows = quotas(torch.tensor([100.0, 0.0, 5.0, 50.0]), 10)
    assert rows.tolist() == [2] * 4 + [3] * 3 + [0] * 3


def bank_of(**options) -> InstanceBank:
    torch.manual_seed(0)
    paced = {"warmup": 1, "interval": 1, "momentum": 0.999, "patience": 1500}
    paced |= {n: options.pop(n) for n in PACE & options.keys()}
    settings = InstanceBankSettings.model_validate({"size": 12, **options})
    return InstanceBank(settings, Pace(**paced), classes=CLASSES, channels=6)


def output_of(embedding: Tensor) -> Output:
    logits = torch.randn(
        len(embedding), CLASSES, *embedding.shape[-2:], generator=torch.Generator().manual_seed(9)
    )
    return Output(logits, [], embedding, [Supervised(logits)])


def see(bank: InstanceBank, step: int, label: Tensor, embedding: Tensor) -> None:
    bank.step = step
    assert bank(nn.Identity(), View("source", torch.zeros(2, 3, 16, 16), label), output_of(embedding)) == {}
    bank.after_step(Batch(Source(torch.zeros(2, 3, 16, 16), label, ["", ""]), None), step)
    bank.step = step + 1


@pytest.fixture
def pictures() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    return torch.randint(0, CLASSES, (2, 16, 16), generator=generator), torch.randn(
        2, 6, 8, 8, generator=generator
    )


def test_a_quota_is_filled_from_several_pictures(pictures) -> None:
    """No cell is kept twice, and no class is made of one picture alone."""
    bank = bank_of(size=28)
    see(bank, 0, *pictures)
    see(bank, 1, *pictures)
    assert (
        torch.bincount(bank.labels[bank.filled], minlength=CLASSES).tolist() == [FROM_ONE_PICTURE] * CLASSES
    )
    assert len(bank.features[bank.filled].unique(dim=0)) == 4 * FROM_ONE_PICTURE
    first = bank.features[bank.filled].clone()
    see(bank, 2, pictures[0], pictures[1] + 1)
    assert bank.filled.all() and len(bank.features.unique(dim=0)) == 28
    assert all((bank.features == row).all(1).any() for row in first)


def test_without_a_warmup_the_first_picture_is_counted(pictures) -> None:
    bank = bank_of(warmup=0)
    see(bank, 0, torch.full_like(pictures[0], 255), pictures[1])
    assert not bank.filled.any() and not bank.ages.any()  # nothing to go by
    see(bank, 1, *pictures)
    assert torch.bincount(bank.labels, minlength=CLASSES).tolist() == [3] * CLASSES and bank.filled.all()


@pytest.mark.slow
def test_without_weight_training_is_that_of_daformer(tmp_path: Path) -> None:
    """Oracle 8: the bank fills and moves, and no random number of anybody else's depends on it."""
    bank = {"share": 0.0, "warmup": 0.34, "interval": 1, "size": 12}
    wanted = {"daformer": tiny("daformer"), "dida": tiny("dida", {"terms": {"instance_bank": bank}})}
    for name, one in wanted.items():
        train(one, tmp_path / name, console=Console(quiet=True), cpu=True)
    models = [load_file(tmp_path / name / "model/model.safetensors") for name in wanted]
    assert all(torch.equal(value, models[1][key]) for key, value in models[0].items())


def full_bank(pictures, **options) -> InstanceBank:
    bank = bank_of(**options)
    see(bank, 0, *pictures)
    see(bank, 1, *pictures)
    assert bank.filled.all()
    return bank


def test_filling(pictures) -> None:
    bank = bank_of()
    see(bank, 0, *pictures)
    assert not bank.filled.any() and bank.counts.sum() == 64
    see(bank, 1, *pictures)
    assert bank.filled.all()
    assert torch.bincount(bank.labels, minlength=CLASSES).tolist() == [3] * CLASSES
    cells = pixels(pictures[1][:1])
    shrunk = pictures[0][0, ::2, ::2].flatten()
    for row, label in zip(bank.features, bank.labels, strict=True):
        matches = (cells == row).all(1).nonzero()[:, 0]
        assert len(matches) and (shrunk[matches] == label).all()


@pytest.mark.parametrize("update", ["ema", "ema_boundary", "ema_boundary_center", "fifo", "frozen"])
def test_updates(pictures, update) -> None:
    bank = full_bank(pictures, update=update, momentum=0.5)
    before, labels = bank.features.clone(), bank.labels.clone()
    label = torch.full_like(pictures[0], 2)
    label[:, :, 8:] = 3  # classes 0 and 1 are absent
    see(bank, 2, label, pictures[1] + 5)
    assert torch.equal(bank.labels, labels)
    absent = labels < 2
    assert torch.equal(bank.features[absent], before[absent])
    changed = (bank.features != before).any(1)
    if update == "frozen":
        assert not changed.any()
    elif update == "fifo":
        assert torch.bincount(labels[changed], minlength=CLASSES).tolist() == [0, 0, 1, 1]
    else:
        assert torch.equal(changed, ~absent)


def test_momentum(pictures) -> None:
    frozen = full_bank(pictures, momentum=1.0)
    before = frozen.features.clone()
    see(frozen, 2, *pictures)
    assert torch.equal(frozen.features, before)
    fresh = full_bank(pictures, momentum=0.0)
    see(fresh, 2, *pictures)
    means, _ = instances.class_means(pixels(pictures[1][:1]), pictures[0][0, ::2, ::2].flatten(), CLASSES)
    assert torch.allclose(fresh.features, means[fresh.labels], atol=1e-6)


@pytest.mark.parametrize("steps", [60, 300, 800, 1234, 40_000, 100_000])
@pytest.mark.parametrize("changes", [{"warmup": 0.0375}, {"interval": 500}, {"interval": 1}, {"warmup": 0.5}])
def test_as_much_of_a_row_is_old_at_the_end_of_any_run(steps: int, changes: dict[str, float]) -> None:
    """0.999 every 50 of 40 000 steps leaves 46 %: a shorter run, another interval or warm-up leaves as much."""
    settings = InstanceBankSettings.model_validate(changes)
    pace = settings.pace(steps, is_pretrained=True)
    updates = sum(step % pace.interval == 0 for step in range(pace.warmup + 1, steps))
    assert pace.momentum**updates == pytest.approx(0.463, abs=1e-3)
    assert pace.interval == max(1, round(settings.interval * steps / 40_000))


def test_the_paper_s_run_is_paced_as_the_paper_has_it() -> None:
    paper = InstanceBankSettings().pace(40_000, is_pretrained=True)
    assert (paper.warmup, paper.interval, paper.patience) == (1500, 50, 1500)
    assert paper.momentum == pytest.approx(0.999)
    for momentum in (0.0, 1.0):
        found = InstanceBankSettings(momentum=momentum, warmup=0.0).pace(7, is_pretrained=True)
        assert (found.interval, found.momentum) == (1, momentum)


def test_a_network_that_knows_nothing_yet_fills_no_bank(tmp_path: Path) -> None:
    """Half of a run from random numbers, the paper's share of one that starts from weights, or what is wished."""
    bare = merge(
        TINY, {"steps": 800, "when": {"terms.instance_bank": {"terms": {"instance_bank": {"warmup": None}}}}}
    )
    start = {"network": {"start": str(tmp_path)}}
    weights = {"network": {"weights": str(tmp_path / "encoder.safetensors")}}
    for wish, expected in (
        ({}, 400),
        (start, 30),
        (weights, 30),
        ({"terms": {"instance_bank": {"warmup": 0.1}}}, 80),
    ):
        wanted = experiment("dida", bare, wish)
        is_pretrained = wanted.network.start is not None or wanted.network.weights is not None
        pace = wanted.terms.instance_bank.pace(wanted.steps, is_pretrained=is_pretrained)
        assert pace.warmup == expected


def test_a_built_bank_keeps_its_share_of_what_it_was_filled_with() -> None:
    """The whole way from a recipe to a row: filled with ones, then shown zeros until the run ends."""
    wanted = tiny("dida", {"steps": 50, "terms": {"instance_bank": {"interval": 50, "warmup": 0.1}}})
    method = build_method(wanted, build_student(wanted))
    assert isinstance(method, SelfTraining)
    bank = method.terms["instance_bank"]
    assert isinstance(bank, InstanceBank)
    label, ones = (torch.arange(2 * 16 * 16) % bank.classes).view(2, 16, 16), torch.ones(2, 16, 16, 16)
    for step in range(wanted.steps):
        see(bank, step, label, ones if step <= 5 else 0 * ones)
    assert bank.filled.all()
    assert torch.allclose(bank.features, torch.full_like(bank.features, 0.463), atol=1e-3)


def shown_once(pictures, **options) -> InstanceBank:
    """A bank whose class 3 was there in the warm-up, and never again."""
    bank = bank_of(**options)
    see(bank, 0, *pictures)
    rest = pictures[0].clone()
    rest[rest == 3] = 0
    for step in (1, 2, 3):
        see(bank, step, rest, pictures[1])
    return bank


def test_a_class_seen_only_in_the_warmup_does_not_switch_the_loss_off(pictures) -> None:
    """After the patience the rows that are there are compared, and the others say nothing."""
    strong = torch.randn(2, 6, 8, 8, requires_grad=True)
    waiting = shown_once(pictures, patience=100)
    assert waiting(nn.Identity(), target_view(pictures[1]), output_of(strong)) == {}
    bank = shown_once(pictures, patience=2)
    assert not bank.filled.all() and torch.equal(bank.filled, bank.labels != 3)
    assert not bank.features[~bank.filled].any()
    (loss,) = bank(nn.Identity(), target_view(pictures[1]), output_of(strong)).values()
    loss.backward()
    assert strong.grad is not None and strong.grad.any() and strong.grad.isfinite().all()
    there, cells = bank.filled, pixels(pictures[1]).abs()
    bank.features.abs_()  # as after a ReLU, without which the released similarity has no logarithm
    for similarity in ("cosine", "dot", "linear"):
        whole, part = (
            instances.log_similarity(cells, features, kind=similarity, temperature=0.1, there=mask).exp()
            for features, mask in ((bank.features, there), (bank.features[there], None))
        )
        assert torch.allclose(whole[:, there], part, rtol=1e-4, atol=1e-6), similarity
        assert whole[:, ~there].abs().max() < 1e-6, similarity


def test_a_class_that_comes_back_late_is_filled_late(pictures) -> None:
    bank = shown_once(pictures, patience=2)
    before = bank.features.clone()
    see(bank, 4, torch.full_like(pictures[0], 3), pictures[1])
    assert bank.filled.all() and torch.equal(bank.features[bank.labels != 3], before[bank.labels != 3])
    assert bank.features[bank.labels == 3].any(1).all()


def test_a_temperature_of_zero_is_the_nearest_instance(pictures) -> None:
    """The supplement's tp = 0: the teacher's similarity is one row's, and the student's can still be learnt."""
    hard, sharp = (full_bank(pictures, temperature=temperature) for temperature in (0.0, 1e-4))
    weak = pixels(torch.randn(2, 6, 8, 8))
    said = hard._taught_similarity(weak)
    assert torch.equal(said.sum(1), torch.ones(len(said))) and set(said.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(said.argmax(1), (weak @ nn.functional.normalize(hard.features).T).argmax(1))
    assert (said - sharp._taught_similarity(weak)).abs().mean() < 1e-3  # but for near ties
    strong = torch.randn(2, 6, 8, 8, requires_grad=True)
    (loss,) = hard(nn.Identity(), target_view(pictures[1]), output_of(strong)).values()
    loss.backward()
    assert loss.isfinite() and strong.grad is not None and strong.grad.any() and strong.grad.isfinite().all()
    assert tiny("dida", {"terms": {"instance_bank": {"temperature": 0.0}}}).terms.instance_bank is not None


def target_view(embedding: Tensor, pasted: Tensor | None = None) -> View:
    return View("target", torch.zeros(2, 3, 16, 16), None, None, output_of(embedding), pasted)


def test_gradients_and_regions(pictures) -> None:
    bank = full_bank(pictures)
    strong = torch.randn(2, 6, 8, 8, requires_grad=True)
    pasted = torch.zeros(2, 16, 16, dtype=torch.bool)
    pasted[:, :, :8] = True
    (loss,) = bank(nn.Identity(), target_view(pictures[1], pasted), output_of(strong)).values()
    loss.backward()
    assert strong.grad is not None and not bank.features.requires_grad
    assert not strong.grad[..., :4].any() and strong.grad[..., 4:].any()
    half = full_bank(pictures, share=0.5)
    (other,) = half(nn.Identity(), target_view(pictures[1], pasted), output_of(strong)).values()
    assert torch.allclose(other, loss / 2)
    assert bank_of()(nn.Identity(), target_view(pictures[1]), output_of(strong)) == {}
    assert full_bank(pictures, share=0.0)(nn.Identity(), target_view(pictures[1]), output_of(strong)) == {}


def test_trusted_pixels_count_as_the_target_s_own_loss_does(pictures) -> None:
    """Half of the confidence is half of the loss; a margin is out; the mean is still over the target's pixels."""
    plain, trusting = full_bank(pictures), full_bank(pictures, region="trusted")
    strong, view = torch.randn(2, 6, 8, 8), target_view(pictures[1])
    (whole,) = plain(nn.Identity(), view, output_of(strong)).values()
    view.weight = torch.full((2, 16, 16), 0.5)
    assert torch.allclose(trusting(nn.Identity(), view, output_of(strong))["instance"], whole / 2)
    assert torch.allclose(plain(nn.Identity(), view, output_of(strong))["instance"], whole)
    view.weight[:, :8] = 0
    strong.requires_grad_()
    trusting(nn.Identity(), view, output_of(strong))["instance"].backward()
    assert strong.grad is not None and not strong.grad[:, :, :4].any() and strong.grad[:, :, 4:].any()


def test_permuting_the_bank_changes_nothing(pictures) -> None:
    bank = full_bank(pictures, beta=0.5)
    taught, strong = output_of(pictures[1]), torch.randn(2, 6, 8, 8)
    label = torch.zeros(2, 16, 16, dtype=torch.int64)
    before = (
        bank(nn.Identity(), target_view(pictures[1]), output_of(strong))["instance"],
        bank.calibrated(taught, label),
    )
    order = torch.randperm(12)
    bank.features, bank.labels = bank.features[order], bank.labels[order]
    after = (
        bank(nn.Identity(), target_view(pictures[1]), output_of(strong))["instance"],
        bank.calibrated(taught, label),
    )
    assert torch.allclose(before[0], after[0], atol=1e-5) and torch.equal(before[1], after[1])


def test_calibration(pictures) -> None:
    label = torch.randint(0, CLASSES, (2, 16, 16))
    taught = output_of(pictures[1])
    assert full_bank(pictures).calibrated(taught, label) is label
    corrected = full_bank(pictures, beta=0.0).calibrated(taught, label)
    assert corrected.shape == label.shape and int(corrected.max()) < CLASSES
    assert not torch.equal(corrected, label)


def test_a_saved_bank_goes_on(pictures) -> None:
    bank = full_bank(pictures)
    other = bank_of()
    other.load_state_dict(bank.state_dict())
    strong = torch.randn(2, 6, 8, 8)
    one, two = (
        b(nn.Identity(), target_view(pictures[1]), output_of(strong))["instance"] for b in (bank, other)
    )
    assert torch.equal(one, two) and other._is_full()


def test_too_small() -> None:
    with pytest.raises(ValueError, match="a bank of 3 instances cannot hold 4 classes"):
        bank_of(size=3)
