"""Parts of a data set are disjoint, are the whole together, and say the same of a picture as the whole does; a list
names pictures, and labels made beforehand replace their own."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.tiny import tiny

from segue.data.part import Part
from segue.data.streets.dataset import StreetScenes
from segue.engine.domains import open_domain, training_classes
from segue.engine.experiment import revise
from segue.evaluation.prediction_files import write_class_list, write_pictures

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


def test_a_list_names_pictures_and_labels_made_beforehand_replace_their_own(tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    wanted = tiny("source_only")
    whole = open_domain(wanted.data, wanted.data.target, labelled=False)
    chosen = [whole.name(3), whole.name(1)]
    names.write_text("\n".join(chosen) + "\n")
    write_class_list(tmp_path / "labels", training_classes(wanted.data))
    for name in chosen:
        write_pictures(tmp_path / "labels", name, {"index": np.full((128, 256), 7, np.uint8)})
    given = {"names": str(names), "offline_labels": str(tmp_path / "labels")}
    data = revise(wanted, {"data": {"target": given}}).data
    part = open_domain(data, data.target, labelled=True)
    part.check()
    assert [part.name(place) for place in range(len(part))] == chosen
    assert torch.equal(part.image(0), whole.image(3)) and part.label(1).unique().tolist() == [7]
    before = part.fingerprint()
    write_pictures(tmp_path / "labels", chosen[0], {"index": np.zeros((128, 256), np.uint8)})
    assert open_domain(data, data.target, labelled=True).fingerprint() != before
    names.write_text("nobody\n")
    with pytest.raises(ValueError, match=r"names\.txt: no picture 'nobody' here"):
        open_domain(data, data.target, labelled=True)
    names.write_text("")
    with pytest.raises(ValueError, match="names no picture; write one name a line"):
        open_domain(data, data.target, labelled=True)
    names.unlink()
    with pytest.raises(FileNotFoundError, match=r"names\.txt: no such list"):
        open_domain(data, data.target, labelled=True)
