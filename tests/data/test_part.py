"""Parts of a data set are disjoint, are the whole together, and say the same of a picture as the whole does."""

import pytest
import torch
from tests.tiny import tiny

from segue.data.part import Part
from segue.data.streets.dataset import StreetScenes
from segue.engine.domains import open_domain
from segue.engine.experiment import revise

WHOLE = StreetScenes("target", split="train", count=5, seed=0)


def test_parts_are_disjoint_and_the_whole_together() -> None:
    names = [WHOLE.name(index) for index in range(5)]
    parts = [Part(WHOLE, place, 2) for place in range(2)]
    found = [[part.name(index) for index in range(len(part))] for part in parts]
    assert found == [names[0::2], names[1::2]]
    for place, part in enumerate(parts):
        part.check()
        assert torch.equal(part.image(1), WHOLE.image(place + 2))
        assert torch.equal(part.label(1), WHOLE.label(place + 2))
    assert len({WHOLE.fingerprint(), *(part.fingerprint() for part in parts)}) == 3
    with pytest.raises(ValueError, match="without a picture"):
        Part(WHOLE, 5, 6).check()


def test_a_domain_names_its_part() -> None:
    wanted = tiny("source_only", {"data": {"target": {"part": [1, 4]}}})
    part = open_domain(wanted.data, wanted.data.target, labelled=False)
    assert len(part) == 2  # of six
    with pytest.raises(ValueError, match=r"part \[2, 2\]: parts count from 0, so the last is 1"):
        revise(wanted, {"data": {"target": {"part": [2, 2]}}})
