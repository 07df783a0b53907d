"""Scores of a model that was put together after training."""

import json
from typing import Any

from segue.evaluation.kept_pictures import PictureKeeper
from segue.evaluation.model import TrainedModel
from segue.evaluation.scoring import evaluate
from segue.files import write_text
from segue.methods.stages import Stages
from segue.ranks import is_first_rank, wait_for_all

SHOWN = 8
"""Predictions that are kept for the report."""


def scored(stages: Stages) -> dict[str, Any] | None:
    """Score the model in the run's folder and keep the scores there; None without labelled pictures."""
    pictures = stages.open("evaluation")
    if pictures is None:
        return None
    model = TrainedModel.load(stages.folder / "model", stages.device)
    keeper = PictureKeeper(stages.folder, classes=model.classes, count=SHOWN)
    scores = evaluate(model, pictures, watch=keeper).over(stages.counted, {}).to_json()
    keeper.write()
    if is_first_rank():
        write_text(stages.folder / "scores.json", json.dumps(scores, indent=2) + "\n")
    wait_for_all()
    return scores
