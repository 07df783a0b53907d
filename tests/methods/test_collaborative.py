"""CLDA's teacher: which blocks move, when, towards which, and what is refused (oracles C.6)."""

import copy
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from segue.methods.teachers.blocks import attention_maps, draw_layers, exchangeable
from segue.methods.teachers.collaborative import CollaborativeSettings, CollaborativeTeacher
from segue.models.build import build_segmenter
from segue.models.segmenter import Segmenter
from segue.types import Batch, Source, Target

LAYERS = ("block1.1", "block3.0", "block3.2", "block4.0")


def network(encoder: str, seed: int, **options: object) -> Segmenter:
    torch.manual_seed(seed)
    return build_segmenter(encoder, "segformer", num_classes=4, channels=8, **options)


def batch(seed: int = 0) -> Batch:
    image = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(seed))
    label = torch.zeros(2, 64, 64, dtype=torch.int64)
    return Batch(Source(image, label, ["", ""]), Target(image, None, None, ["", ""]))


def teacher(student: Segmenter, layers: Sequence[str] = LAYERS, **options: object) -> CollaborativeTeacher:
    return collaborative(network("mit_nano_deep", 1), student, layers, **options)


def collaborative(
    large: Segmenter, student: Segmenter, layers: Sequence[str], *, seed: int = 0, **options: object
) -> CollaborativeTeacher:
    """In a run of ten steps, whose third to fifth compare unless told otherwise."""
    given = {"match_from": 0.2, "match_until": 0.4, "every": 1, "momentum": 0.9} | options
    settings = CollaborativeSettings(**given)  # type: ignore[arg-type]
    return CollaborativeTeacher(settings, large, student, layers, steps=10, seed=seed)


def state(one: torch.nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in one.state_dict().items()}


def follow(one: CollaborativeTeacher, student: Segmenter, steps: range) -> None:
    for step in steps:
        one.follow(student, batch(step), step)


@pytest.mark.parametrize("update", ["block", "attention"])
def test_exactly_the_chosen_blocks_move_by_the_closed_form(update: str) -> None:
    student = network("mit_nano", 2)
    one = teacher(student, update=update)
    follow(one, student, range(5))
    before, students = state(one.network), state(student)
    one.follow(student, batch(), 5)
    moved = set()
    for name, value in one.network.state_dict().items():
        parts = name.split(".")
        block = ".".join(parts[1:3])
        is_chosen = block in LAYERS and (update == "block" or parts[3] == "attn")
        if not is_chosen:
            assert torch.equal(value, before[name]), name
            continue
        match = one.matches()[LAYERS.index(block)]
        theirs = students[".".join(["encoder", match, *parts[3:]])]
        torch.testing.assert_close(value, 0.9 * before[name] + 0.1 * theirs)
        moved.add(block)
    assert moved == set(LAYERS)


@pytest.mark.parametrize(("momentum", "equals"), [(1.0, "before"), (0.0, "student")])
def test_the_ends_of_the_momentum_are_exact_but_for_rounding(momentum: float, equals: str) -> None:
    student = network("mit_nano", 2)
    one = teacher(student, momentum=momentum)
    before = state(one.network)
    follow(one, student, range(6))
    for name, value in one.network.encoder.get_submodule("block4.0").state_dict().items():
        expected = (
            before[f"encoder.block4.0.{name}"]
            if equals == "before"
            else student.encoder.get_submodule("block4.0").state_dict()[name]
        )
        torch.testing.assert_close(value, expected, rtol=1e-6, atol=1e-7)
        assert equals == "student" or torch.equal(value, expected), name


def test_nothing_moves_up_to_the_end_of_matching_and_matches_stay_afterwards() -> None:
    student = network("mit_nano_deep", 2)
    one = teacher(student)
    before = state(one.network)
    follow(one, student, range(5))
    assert all(torch.equal(value, before[name]) for name, value in one.network.state_dict().items())
    follow(one, student, range(5, 6))
    found, scores = one.matches(), one.scores.clone()
    with torch.no_grad():
        for value in student.parameters():
            value.normal_()
    follow(one, student, range(6, 9))
    assert one.matches() == found and torch.equal(one.scores, scores)


def test_a_teacher_taken_up_again_has_the_same_matches() -> None:
    student = network("mit_nano_deep", 2)
    one, again = teacher(student), teacher(student)
    follow(one, student, range(6))
    again.load_state_dict(one.state_dict())
    assert again.matches() == one.matches()
    follow(one, student, range(6, 8))
    follow(again, student, range(6, 8))
    ours, theirs = one.state_dict(), again.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


def test_the_student_is_seen_only_while_matches_are_sought() -> None:
    student = network("mit_nano", 2)
    passes = []
    student.encoder.register_forward_hook(lambda *_: passes.append(1))
    one = teacher(student, match_from=0.2, match_until=0.6, every=3)
    counts = []
    for step in range(9):
        one.follow(student, batch(step), step)
        counts.append(len(passes))
    assert counts == [0, 0, 1, 1, 1, 2, 2, 2, 2]
    assert student.training and not one.training


def test_the_teacher_is_never_trained() -> None:
    one = teacher(network("mit_nano", 2)).train()
    assert not any(module.training for module in one.modules())
    assert not any(value.requires_grad for value in one.parameters())
    assert not one(batch().target.image).logits.requires_grad


@pytest.mark.parametrize("kind", ["channel", "token", "both"])
def test_a_block_that_attends_alike_scores_one_and_wins(kind: str) -> None:
    """The teacher's own copy as a student: every block is its own best match."""
    large = network("mit_nano_deep", 1)
    student = copy.deepcopy(large)
    one = collaborative(large, student, LAYERS, match=kind, match_from=0.0, match_until=0.0)
    one.follow(student, batch(), 0)
    assert one.matches() == list(LAYERS)
    places = [int(name.split(".")[1]) for name in LAYERS]
    own = one.scores[range(len(LAYERS)), places]
    torch.testing.assert_close(own, torch.ones(len(LAYERS)))


def test_channel_scores_by_hand() -> None:
    student = network("mit_nano_deep", 2)
    one = teacher(student, ("block3.1",), match_from=0.0, match_until=0.1)
    follow(one, student, range(2))
    expected = torch.zeros(4)
    for step in range(2):
        image = batch(step).target.image
        own = attention_maps(one.network, image, ["block3.1"], "projected")["block3.1"]
        for place in range(4):
            other = attention_maps(student, image, [f"block3.{place}"], "projected")[f"block3.{place}"]
            cosines = [
                torch.dot(own[:, c], other[:, c]) / (own[:, c].norm() * other[:, c].norm())
                for c in range(own.shape[1])
            ]
            expected[place] += torch.stack(cosines).mean()
    torch.testing.assert_close(one.scores[0], expected)


def test_what_enters_the_projection_can_be_compared_instead() -> None:
    one = network("mit_nano", 2)
    image = batch().target.image
    before = attention_maps(one, image, ["block2.0"], "before_projection")["block2.0"]
    after = attention_maps(one, image, ["block2.0"], "projected")["block2.0"]
    projection = one.encoder.get_submodule("block2.0.attn.proj")
    torch.testing.assert_close(projection(before[None, None])[0, 0], after)


def test_matches_without_looking() -> None:
    student = network("mit_nano_deep", 2)
    drawn = teacher(student, match="random", seed=3)
    assert drawn.matches() == teacher(student, match="random", seed=3).matches()
    stages = [[name.split(".")[0] for name in names] for names in (LAYERS, drawn.matches())]
    assert stages[0] == stages[1]
    small = network("mit_nano", 2)
    assert teacher(small, match="index").matches() == ["block1.0", "block3.0", "block3.0", "block4.0"]
    assert teacher(student, match="index").matches() == list(LAYERS)


def test_a_share_of_the_non_salient_is_drawn() -> None:
    names = [f"block3.{place}" for place in range(10)]
    stages = [["block1.0"], [], names, []]
    for share, count in ((0.3, 3), (0.01, 1), (1.0, 10)):
        drawn = draw_layers(names, share=share, seed=5, stages=stages)
        assert len(drawn) == count and set(drawn) <= set(names)
        assert drawn == draw_layers(names, share=share, seed=5, stages=stages)
    assert len({tuple(draw_layers(names, share=0.3, seed=seed, stages=stages)) for seed in range(9)}) > 1
    assert draw_layers([], share=0.3, seed=0, stages=stages) == []
    assert draw_layers(["block1.0", *names], share=1.0, seed=0, stages=stages[2:]) == names


def test_blocks_that_do_not_fit_are_named() -> None:
    large = network("mit_nano_deep", 1)
    with pytest.raises(
        ValueError, match=r"2 blocks .*block1\.0, block3\.1; choose encoders of the same widths"
    ):
        exchangeable(large, network("mit_b0", 2), ["block1.0", "block3.1"])
    with pytest.raises(ValueError, match="other shapes"):
        exchangeable(large, network("mobilenet_v2", 2), ["block1.0"])
    with pytest.raises(ValueError, match=r"no block 'block3\.9'"):
        exchangeable(large, large, ["block3.9"])


def test_under_two_resolutions_the_context_is_compared() -> None:
    sizes = {"multi_resolution": {"detail": (64, 64)}}
    student = network("mit_nano", 2, **sizes)
    image = torch.randn(1, 3, 128, 128)
    found = attention_maps(student, image, ["block1.0"], "projected")["block1.0"]
    assert found.shape == ((128 // 2 // 4) ** 2, 16)
