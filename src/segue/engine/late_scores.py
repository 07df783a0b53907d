"""Scores that a run gets after its training, when somebody has labelled some pictures of its target."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from segue.engine.finished_run import settings_of
from segue.evaluation.kept_pictures import PictureKeeper
from segue.evaluation.model import TrainedModel
from segue.files import write_text
from segue.ranks import is_first_rank


class LateScores:
    """What becomes of a run's scores when its model is evaluated again.

    Scores become the run's own if they are measured as its training would have: the scored network with the batch
    statistics and the protocol of its card. They replace others only if those are of the same pictures.

    Args:
        model: Whose folder it may be.
        data: The folder of pictures; None for those of the run's pair.

    Attributes:
        run: The folder that the scores belong to; None if they are no run's own.
        keeper: Keeps pictures for the report, while they are predicted.
        kept_instead: Whether the run has scores on other pictures, which stay.
    """

    def __init__(self, model: TrainedModel, data: Path | None, split: str | None = None) -> None:
        experiment = settings_of(model)
        as_trained = (
            replace(model.protocol, precision=model.card.prediction.precision) == model.card.prediction
        )
        self.place = None if data is None else str(data.resolve() / (split or ""))
        self.run: Path | None = None
        self.keeper: PictureKeeper | None = None
        self.kept_instead = False
        if experiment is None or not as_trained or model.role != experiment.evaluation.network:
            return
        if model.batch_statistics != model.card.batch_statistics:
            return
        assert model.run is not None, "it has settings"
        self.before: dict[str, Any] = _read(model.run / "scores.json")
        self.kept_instead = bool(self.before) and self.before.get("scored_on") != self.place
        if not self.kept_instead:
            self.run = model.run
            count = experiment.evaluation.pictures
            self.keeper = PictureKeeper(model.run, classes=model.classes, count=count)

    def write(self, scores: dict[str, Any]) -> None:
        """Make scores the run's own, if they are; further scores, as those on the source, stay."""
        if self.run is None or self.keeper is None:
            return
        where = {} if self.place is None else {"scored_on": self.place}
        self.keeper.write()
        if not is_first_rank():
            return
        write_text(self.run / "scores.json", json.dumps({**self.before, **scores, **where}, indent=2) + "\n")


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # none, or damaged, and then written anew
        return {}
    return content if isinstance(content, dict) else {}
