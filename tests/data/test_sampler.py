"""Rare classes are drawn as the official code does, a draw depends on nothing else, and a few labelled target pictures
come as often as they should."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segue.classes import class_list
from segue.data.dataset import Dataset
from segue.data.part import Joined
from segue.data.sampler import MixedSampler, RareClassSampler, UniformSampler, class_probabilities
from segue.data.statistics import ClassStatistics


def numbers(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def statistics(pixels: list[list[int]], size: int = 1000) -> ClassStatistics:
    names = tuple(f"class {k}" for k in range(len(pixels[0])))
    return ClassStatistics(names, torch.tensor(pixels), torch.full((len(pixels),), size))


def test_probabilities_equal_the_official_ones(fixtures_dir: Path) -> None:
    fixture = json.loads((fixtures_dir / "rare_class_sampling.json").read_text())
    total = torch.zeros(19, dtype=torch.float64)
    for picture in fixture["sample_class_stats"]:
        for key, pixels in picture.items():
            if key != "file":
                total[int(key)] += pixels
    for temperature, expected in fixture["expected_by_temperature"].items():
        probability = class_probabilities(total / total.sum(), float(temperature))
        torch.testing.assert_close(
            probability[expected["classes"]],
            torch.tensor(expected["probabilities"], dtype=torch.float64),
            rtol=2e-5,
            atol=0,
        )


def test_probabilities_by_hand() -> None:
    toy = class_probabilities(torch.tensor([0.5, 0.3, 0.15, 0.05], dtype=torch.float64), 0.01)
    expected = torch.tensor([2.9e-20, 1.4e-11, 4.5e-5, 0.99995], dtype=torch.float64)
    torch.testing.assert_close(toy, expected, rtol=0.02, atol=0)
    flat = class_probabilities(torch.tensor([0.9, 0.1, 0.0]), 1e9)
    torch.testing.assert_close(flat, torch.tensor([0.5, 0.5, 0.0], dtype=torch.float64))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=19).filter(any), st.floats(1e-6, 1e3))
def test_probabilities_sum_to_one_and_prefer_the_rare(frequency: list[float], temperature: float) -> None:
    probability = class_probabilities(torch.tensor(frequency, dtype=torch.float64), temperature)
    assert abs(float(probability.sum()) - 1) < 1e-9
    order = sorted((share, -p) for share, p in zip(frequency, probability.tolist(), strict=True) if share > 0)
    assert all(rarer[1] <= commoner[1] + 1e-12 for rarer, commoner in pairwise(order))
    assert all(p == 0 for share, p in zip(frequency, probability.tolist(), strict=True) if share == 0)


@pytest.mark.parametrize(("frequency", "temperature"), [([0.0, 0.0], 0.01), ([0.5, 0.5], 0.0), ([1.0], -1.0)])
def test_impossible_probabilities_are_refused(frequency: list[float], temperature: float) -> None:
    with pytest.raises(ValueError, match=r"rare-class temperature|no training class occurs"):
        class_probabilities(torch.tensor(frequency), temperature)


def test_classes_come_as_often_as_they_should() -> None:
    counted = statistics([[600, 300, 100], [0, 500, 0], [900, 0, 0]])
    sampler = RareClassSampler(counted, temperature=0.5, min_share=0)
    generator = numbers()
    drawn = [sampler.draw(generator) for _ in range(5_000)]
    share = torch.bincount(torch.tensor([wanted for _, wanted in drawn]), minlength=3) / len(drawn)
    spread = 4 * (sampler.probability * (1 - sampler.probability) / len(drawn)).sqrt()
    assert ((share - sampler.probability).abs() < spread).all()
    assert all(counted.pixels[index, wanted] > 0 for index, wanted in drawn)
    of_second = [index for index, wanted in drawn if wanted == 1]
    assert abs(of_second.count(0) / len(of_second) - 0.5) < 0.08, "pictures of a class are drawn alike"


def test_only_pictures_with_more_than_the_share_are_drawn() -> None:
    sampler = RareClassSampler(statistics([[990, 10], [989, 11], [1000, 0]]), min_share=0.01)
    assert [pictures.tolist() for pictures in sampler.candidates] == [[0, 1, 2], [1]]


def test_a_class_that_is_nowhere_large_is_drawn_where_it_is() -> None:
    sampler = RareClassSampler(statistics([[990, 10], [1000, 0], [999, 1]]), min_share=0.5)
    assert sampler.candidates[1].tolist() == [0, 2]
    assert {sampler.draw(numbers(seed)) for seed in range(30)} == {(0, 1), (2, 1)}


def test_classes_that_do_not_occur_are_never_drawn() -> None:
    sampler = RareClassSampler(statistics([[0, 500, 0, 500, 0]]), temperature=1.0)
    assert {sampler.draw(numbers(seed))[1] for seed in range(100)} == {1, 3}


def test_the_largest_random_number_still_means_a_class() -> None:
    sampler = RareClassSampler(statistics([[500, 499, 0]]), temperature=1.0, min_share=0)
    mark = torch.tensor(1 - 2**-53, dtype=torch.float64) * sampler._cumulative[-1]
    assert int(torch.searchsorted(sampler._cumulative, mark, right=True)) == 1


def test_a_draw_is_a_function_of_the_generator() -> None:
    for sampler in (UniformSampler(1000), RareClassSampler(statistics([[1, 2, 3]] * 1000), min_share=0)):
        first = [sampler.draw(numbers(seed)) for seed in range(5)]
        sampler.draw(numbers(9))
        assert [sampler.draw(numbers(seed)) for seed in range(5)] == first
        assert len(set(first)) > 1


def test_uniform_draws_reach_every_picture() -> None:
    generator = numbers()
    assert {UniformSampler(3).draw(generator) for _ in range(100)} == {(0, None), (1, None), (2, None)}


def test_nothing_to_draw_from_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        UniformSampler(0)
    with pytest.raises(ValueError, match=r"min_share 1\.5"):
        RareClassSampler(statistics([[1]]), min_share=1.5)


class Numbered(Dataset):
    """Pictures of one grey each, all of one name."""

    def __init__(self, grey: int, count: int) -> None:
        self.classes = class_list(["road"])
        self.grey, self.count = grey, count

    def __len__(self) -> int:
        return self.count

    def name(self, index: int) -> str:
        return f"town/{index}"

    def image(self, index: int) -> torch.Tensor:
        return torch.full((3, 2, 2), self.grey + index, dtype=torch.uint8)

    def label(self, index: int) -> torch.Tensor:
        return torch.full((2, 2), self.grey, dtype=torch.uint8)

    def fingerprint(self) -> str:
        return f"{self.grey}"


def test_both_sets_are_read_under_names_of_their_own() -> None:
    both = Joined(Numbered(10, 3), Numbered(50, 2))
    assert [both.name(place) for place in range(len(both))] == [
        "town/0", "town/1", "town/2", "few/town/0", "few/town/1",
    ]  # fmt: skip
    assert (
        int(both.image(2).max()) == 12 and int(both.image(4).max()) == 51 and int(both.label(3).max()) == 50
    )
    assert both.fingerprint() not in (both.first.fingerprint(), both.second.fingerprint())


def test_the_few_come_as_often_as_asked() -> None:
    sampler = MixedSampler(UniformSampler(90), before=90, few=2, share=0.25)
    generator = torch.Generator().manual_seed(0)
    drawn = [sampler.draw(generator)[0] for _ in range(4000)]
    few = [place for place in drawn if place >= 90]
    assert abs(len(few) / len(drawn) - 0.25) < 0.03 and set(few) == {90, 91} and max(drawn) == 91
