"""Whose pictures move the student's running batch statistics: never masked ones, and by domain if kept apart."""

from collections.abc import Iterator

import pytest
import torch
from tests.methods.building import self_training
from torch import Tensor, nn

from segue.methods.method import Method
from segue.methods.self_training import SelfTraining
from segue.methods.terms.frozen_regularizer import FrozenRegularizer, FrozenRegularizerSettings
from segue.models.build import build_segmenter
from segue.types import Batch, Joint, Source, Target

RUNNING = ("running_mean", "running_var", "num_batches_tracked")


def student(encoder: str = "mobilenet_v2", **options: object) -> nn.Module:
    torch.manual_seed(0)
    return build_segmenter(
        encoder, "segformer", num_classes=5, channels=8, dropout=0.0, drop_path=0.0, **options
    )


def method(network: nn.Module, **options: object) -> SelfTraining:
    return self_training(network, threshold=0.1, **options).train()


def batch(source: int = 1, target: int = 2, size: int = 64) -> Batch:
    """A batch whose two halves follow from a seed each."""
    images = [
        torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(s)) for s in (source, target)
    ]
    label = torch.randint(0, 5, (2, size, size), generator=torch.Generator().manual_seed(7))
    names = ["", ""]
    return Batch(Source(images[0], label, names), Target(images[1] + 3, None, None, names))


def statistics(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items() if name.endswith(RUNNING)}


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


def passes(trained: Method, given: Batch) -> Iterator[tuple[str, bool, dict[str, Tensor]]]:
    """Of every view: its name, whether the student's statistics moved, and the losses."""
    for seen in trained.views(given, 0):
        before = statistics(trained.student)
        losses = trained(seen)
        torch.stack(list(losses.values())).sum().backward()
        yield seen.name, not equal(before, statistics(trained.student)), losses


@pytest.mark.parametrize("pictures", ["target", "both"])
def test_the_masked_view_leaves_running_statistics_alone(pictures: str) -> None:
    trained = method(student(), mask={"block": 8, "pictures": pictures})
    assert [(name, moved) for name, moved, _ in passes(trained, batch())] == [
        ("source", True), ("target", True), ("masked", False),
    ]  # fmt: skip
    trained.zero_grad()
    *_, (_, _, losses) = passes(trained, batch())
    assert losses["masked/segmentation"].requires_grad


def test_what_is_learnt_of_the_masked_view_is_as_in_the_official_code() -> None:
    """There it moves the statistics, here it need not: losses and gradients are the same bits."""
    found = []
    for moves in (False, True):
        trained = method(student(), mask={"block": 8, "moves_statistics": moves})
        torch.manual_seed(3)
        masked = [(moved, losses) for name, moved, losses in passes(trained, batch()) if name == "masked"]
        assert masked[0][0] == moves
        found.append((masked[0][1], [parameter.grad for parameter in trained.student.parameters()]))
    (kept, one), (moved, other) = found
    assert torch.equal(kept["masked/segmentation"], moved["masked/segmentation"])
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_term_that_decodes_the_masked_view_again_leaves_them_alone_too() -> None:
    network = student("mit_nano")
    sizes = {"frozen_channels": 3, "channels": (16, 32, 64, 128), "heads": (1, 1, 1, 1)}
    sam = FrozenRegularizer(FrozenRegularizerSettings(mask_branch=True), nn.AvgPool2d(16), **sizes)
    trained = self_training(network, {"sam": sam}, mask={"block": 8}).train()
    moved = {name: (moved, losses) for name, moved, losses in passes(trained, batch())}
    assert moved["source"][0] and moved["target"][0] and not moved["masked"][0]
    assert "masked/frozen_regularizer" in moved["masked"][1]


def apart(given: Batch, network: nn.Module, **options: object) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The target's and the source's statistics after one step without an update."""
    trained = method(network, **options)
    trained.separate_statistics()
    for _ in passes(trained, given):
        pass
    assert trained.source_statistics is not None
    return statistics(trained.student), {
        n: v.clone() for n, v in trained.source_statistics.state_dict().items()
    }


TWO_RESOLUTIONS = {"detail": (64, 64)}


BY_ITSELF = {"grouping": "none", "direction": "none", "groups_itself": False}
"""Both domains in one pass whose tokens do not meet: what the head sees of one is not of the other."""


@pytest.mark.slow
@pytest.mark.parametrize("way", ["two passes", "one pass", "one pass at two resolutions", "masked"])
def test_domain_specific_statistics_never_see_the_other_domain(way: str) -> None:
    """Other source pictures leave the target's statistics bit-equal, and the other way round."""

    def after(source: int, target: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        torch.manual_seed(5)
        if way == "one pass at two resolutions":
            network = student("mit_nano", multi_resolution=TWO_RESOLUTIONS)
            return apart(batch(source, target, 128), network, pair=BY_ITSELF)
        if way == "one pass":
            return apart(batch(source, target), student("mit_nano"), pair=BY_ITSELF)
        mask = {"block": 8} if way == "masked" else None
        return apart(batch(source, target), student(), mask=mask)

    targets, sources = after(1, 2)
    with_other_source, with_other_target = after(8, 2), after(1, 9)
    assert equal(targets, with_other_source[0]) and not equal(sources, with_other_source[1])
    assert equal(sources, with_other_target[1]) and not equal(targets, with_other_target[0])


def test_without_separation_both_domains_move_the_same_ones() -> None:
    trained = method(student())
    assert trained.source_statistics is None
    assert not any("source_statistics" in name for name in trained.state_dict())
    assert [moved for _, moved, _ in passes(trained, batch())] == [True, True]


def test_separated_statistics_start_where_the_network_stood_and_are_part_of_the_state() -> None:
    trained = method(student(), mix="class_mix")
    with torch.no_grad():
        for norm in trained._norms:
            norm.running_mean.fill_(0.25)
    trained.separate_statistics()
    state = trained.state_dict()
    kept = [value for name, value in state.items() if name.startswith("source_statistics.running_mean")]
    assert len(kept) == len(trained._norms) and all((value == 0.25).all() for value in kept)
    assert [name for name, moved, _ in passes(trained, batch()) if moved] == ["target"]


def test_scores_of_the_source_are_made_with_its_own() -> None:
    trained = method(student())
    trained.separate_statistics()
    for _ in passes(trained, batch()):
        pass
    trained.eval()
    image = batch().source.image
    with torch.no_grad():
        plain = trained.student(image).logits
        with trained.statistics_of("source"):
            own = trained.student(image).logits
        with trained.statistics_of("target"):
            assert torch.equal(trained.student(image).logits, plain)
    assert not torch.equal(own, plain)


def test_a_joint_pass_trains_as_before() -> None:
    """Heads are asked one domain after the other; losses of both views come with their gradients."""
    trained = method(student("mit_nano"), pair={"grouping": "random"})
    seen = next(iter(trained.views(batch(), 0)))
    assert isinstance(seen, Joint) and [view.name for view in seen.views] == ["source", "target"]
    losses = trained(seen)
    assert set(losses) == {"source/segmentation", "target/segmentation"}
    torch.stack(list(losses.values())).sum().backward()
    assert all(parameter.grad is not None for parameter in trained.student.parameters())
