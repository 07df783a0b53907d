"""Two processes divide the ranking of IntraDA and the measuring of CBST between them, and find what one finds."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.processes import POSIX, on_two
from tests.tiny import QUIET, tiny, write_model
from torch import Tensor

from segue.engine import stages
from segue.evaluation.model import Model

UNSCORED = {"data": {"evaluation": None, "source_evaluation": None}}


class EnoughError(Exception):
    """Labels are made; nothing is trained here."""


class Untrained(stages._RunStages):  # pyright: ignore[reportPrivateUsage]
    def train_stage(self, folder: Path, *, start: Path | None, changes: Mapping[str, Any]) -> None:
        raise EnoughError


def carry_out(rank: int, model: Path, out: Path) -> None:
    predicted: list[int] = []
    look = Model.probabilities

    def noting(self: Model, images: Tensor) -> Tensor:
        predicted.append(rank)
        return look(self, images)

    intrada = tiny("intrada", UNSCORED, {"method": {"model": str(model)}})
    cbst = tiny("cbst", UNSCORED, {"network": {"start": str(model)}})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Model, "probabilities", noting)
        for name, wanted in (("intrada", intrada), ("cbst", cbst)):
            with pytest.raises(EnoughError):
                wanted.method.carry_out(Untrained(wanted, out / name, QUIET, True))
    (out / f"predicted{rank}.json").write_text(json.dumps(len(predicted)))


@pytest.mark.slow
@POSIX
def test_two_processes_find_what_one_finds(tmp_path: Path) -> None:
    write_model(tiny("cbst"), tmp_path / "model")
    alone, together = tmp_path / "alone", tmp_path / "together"
    carry_out(0, tmp_path / "model", alone)
    on_two(carry_out, tmp_path / "model", together)
    for name in ("intrada/split/ranking.json", "intrada/split/easy.txt", "cbst/round1/labels/balance.json"):
        assert (alone / name).read_text() == (together / name).read_text(), name
    counts = [json.loads((together / f"predicted{rank}.json").read_text()) for rank in (0, 1)]
    assert counts[0] == counts[1] == json.loads((alone / "predicted0.json").read_text()) / 2
