"""Common batches: the source's share is right, every picture comes once an epoch, and a place decides alone."""

from collections import Counter
from pathlib import Path

import pytest
import torch
from tests.parity import numbers

from segue.data.crop import RandomCrop
from segue.data.deck import Deck, epoch_steps, share_of
from segue.data.loader import Loader
from segue.data.statistics import dataset_prior
from segue.ops.prior import count_cells, spatial_prior
from segue.types import IGNORE

MEAN, STD = (10.0, 20.0, 30.0), (2.0, 4.0, 5.0)


@pytest.mark.parametrize(
    ("source", "share", "kept"), [(100, 0.03, 3), (99, 0.03, 2), (6, 0.03, 0), (100, 0.07, 7)]
)
def test_a_round_learns_its_share_of_the_source_and_all_of_the_target_twice(
    source: int, share: float, kept: int
) -> None:
    deck = Deck(source, 20, share=share, seed=3)
    steps = epoch_steps(source, 20, share=share, epochs=2, batch=2)
    drawn = Counter(deck.deal(range(2 * steps)))
    assert len(deck) == kept + 20 and share_of(source, share) == kept
    assert sorted(picture for domain, picture in drawn if domain == 1) == list(range(20))
    own = [picture for domain, picture in drawn if domain == 0]
    assert sorted(own) == sorted(deck.source) and len(own) == kept
    assert set(drawn.values()) <= {2, 3}  # the last batch is filled up
    assert sum(drawn.values()) - 2 * len(deck) < 2


def test_epochs_are_shuffled_and_seeds_draw_other_pictures() -> None:
    deck = Deck(50, 10, share=0.2, seed=0)
    first, second = deck.deal(range(20)), deck.deal(range(20, 40))
    assert sorted(first) == sorted(second) and first != second
    assert set(deck.source) != set(Deck(50, 10, share=0.2, seed=1).source)
    # Wherever one begins, a place holds the same picture.
    assert deck.deal(range(15, 25)) == first[15:] + second[:5]


def test_a_deck_without_the_source_is_the_target() -> None:
    deck = Deck(5, 3, share=0.0, seed=0)
    assert sorted(deck.deal(range(3))) == [(1, 0), (1, 1), (1, 2)]


def test_shares_of_rounds_equal_the_official_schedule(fixtures_dir: Path) -> None:
    from segue.methods.rounds import RoundSettings

    official = numbers(fixtures_dir, "cbst_thresholds")
    settings = RoundSettings()
    for name, found in (
        ("source_portion", settings.source_share),
        ("target_portion", settings.labelled_share),
    ):
        expected = official[f"schedule/{name}"].tolist()
        assert [found(number) for number in range(len(expected))] == pytest.approx(expected)


def loader(grid, **more) -> Loader:
    crop = RandomCrop((16, 24), fill=MEAN, scale=(0.5, 2.0))
    deck = Deck(len(grid), len(grid), share=0.6, seed=7)
    settings = {"source_transform": crop, "batch": 2, "seed": 7, "mean": MEAN, "std": STD, "deck": deck}
    return Loader(
        grid, grid, offline=lambda name: grid.label(int(name.split("/")[1])), **{**settings, **more}
    )


def test_a_batch_is_shared_by_the_domains(grid) -> None:
    counts: list[int] = []
    names: Counter[tuple[str, str]] = Counter()
    for batch in loader(grid).steps(0, 8):  # two epochs of 3 + 5 pictures
        assert batch.target is not None and batch.target.offline is not None
        own, other = batch.source, batch.target
        counts.append(len(own.image))
        assert len(own.image) == len(own.label) == len(own.names)
        assert len(other.image) == len(other.offline) == len(other.names) == 2 - len(own.image)
        assert own.image.shape[1:] == other.image.shape[1:] == (3, 16, 24)
        names.update(("source", name) for name in own.names)
        names.update(("target", name) for name in other.names)
    assert set(counts) >= {0, 1} and sum(counts) == 6
    assert len(names) == 8 and set(names.values()) == {2}


def test_workers_resuming_and_ranks_change_nothing(grid) -> None:
    whole = list(loader(grid, batch=4).steps(0, 4))
    for other in (
        list(loader(grid, batch=4, workers=1).steps(0, 4)),
        [None, None, *loader(grid, batch=4).steps(2, 4)],
    ):
        for one, again in zip(whole, other, strict=True):
            assert again is None or torch.equal(one.target.image, again.target.image)
            assert again is None or torch.equal(one.source.label, again.source.label)
    parts = [list(loader(grid, batch=2, rank=rank, world=2).steps(0, 4)) for rank in (0, 1)]
    for one, left, right in zip(whole, *parts, strict=True):
        assert torch.equal(one.source.image, torch.cat([left.source.image, right.source.image]))
        assert torch.equal(one.target.offline, torch.cat([left.target.offline, right.target.offline]))


def test_soft_labels_are_cut_with_their_picture(grid) -> None:
    """Probabilities that are the label, one-hot, stay so through resizing, mirroring and padding."""

    def soft(name: str) -> torch.Tensor:
        label = grid.label(int(name.split("/")[1])).long()
        return torch.nn.functional.one_hot(label, 3).to(torch.uint8) * 255

    seen = 0
    for batch in loader(grid, soft=soft).steps(0, 8):
        target = batch.target
        if len(target.image) == 0:
            continue
        seen += 1
        assert target.soft.shape == (len(target.image), 3, 16, 24)
        inside = target.offline != IGNORE
        assert torch.equal(target.soft.argmax(1)[inside], target.offline[inside])
        assert (target.soft.sum(1)[inside] == 1).all() and (target.soft.sum(1)[~inside] == 0).all()
    assert seen


def test_the_prior_of_a_data_set_is_that_of_its_counts(grid) -> None:
    counts = sum(count_cells(grid.label(index), (20, 30), 3) for index in range(len(grid)))
    assert isinstance(counts, torch.Tensor)
    expected = spatial_prior(counts, 0.2 * 20)
    for workers in (1, 3, 8):
        assert torch.equal(dataset_prior(grid, side=0.2, rows=20, workers=workers), expected)
    assert dataset_prior(grid, side=0.2).shape == (3, 40, 60)  # no more rows than the labels have
