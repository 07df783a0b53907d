"""A few labelled target pictures beside the source: how often they come, and under which names."""

import torch

from segue.classes import class_list
from segue.data.dataset import Dataset
from segue.data.part import Joined
from segue.data.sampler import MixedSampler, UniformSampler


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
