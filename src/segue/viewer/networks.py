"""The networks whose predictions are looked at: what the run started from, what it made, and what taught it."""

from dataclasses import dataclass
from pathlib import Path

import torch

from segue.data.dataset import digest
from segue.engine import checkpoint
from segue.engine.candidates import Kept, kept
from segue.engine.finished_run import NoTeacherError, load_teacher
from segue.engine.model_card import model_card
from segue.engine.settings import Experiment
from segue.evaluation.model import Model, TrainedModel, choose_device
from segue.models.weights import MODEL_FILE, model_folder


@dataclass(frozen=True)
class Networks:
    """Models of the same classes.

    Attributes:
        after: What the run has made.
        before: What it started from, or else the source-only run that it is compared with; None without either.
        teacher: The network that teaches it, or that it teaches where the run scores the teacher; None without one.
    """

    after: Model
    before: Model | None
    teacher: Model | None


@dataclass(frozen=True)
class Weights:
    """Where a run's networks are, before any is read.

    Attributes:
        newest: The checkpoint to take if the run has no model yet.
        key: Changes with the networks.
    """

    run: Path
    newest: Kept | None
    before: Path | None
    key: str

    def load(self, device: torch.device | str | None) -> Networks:
        """Read the networks; raises what :meth:`TrainedModel.load` raises."""
        chosen = choose_device(device)
        if self.newest is None:
            after: TrainedModel = TrainedModel.load(self.run, chosen)
            teacher = _teacher(self.run, chosen)
        else:
            own, partner = self.newest.networks(chosen)
            card = model_card(self.newest.experiment, step=self.newest.step)
            after = TrainedModel(own, card, chosen, run=self.run)
            teacher = None if partner is None else TrainedModel(partner, card, chosen, run=self.run)
        before = None if self.before is None else TrainedModel.load(self.before, chosen)
        if before is not None and before.classes.names != after.classes.names:
            before = None  # it says something else
        return Networks(after, before, teacher)


def find_weights(run: Path, experiment: Experiment) -> Weights:
    """Where a run's networks are.

    Raises:
        FileNotFoundError: If there is neither a model nor a checkpoint yet.
    """
    checkpoints = kept(run)
    newest = None
    if (run / "model" / MODEL_FILE).is_file():
        own = run / "model" / MODEL_FILE
    elif checkpoints:
        newest = checkpoints[-1]
        own = newest.folder / checkpoint.METHOD_FILE
    else:
        raise FileNotFoundError(f"{run}: this run has neither a model nor a checkpoint yet; look again later")
    before = _before(run, experiment)
    files = [own, *([] if before is None else [model_folder(before) / MODEL_FILE])]
    states = [(path, path.stat()) for path in files]
    key = digest(f"{path.resolve()} {state.st_size} {state.st_mtime_ns}" for path, state in states)
    return Weights(run, newest, before, key)


def _before(run: Path, experiment: Experiment) -> Path | None:
    """The model that training started from, or the run that it is compared with, whichever is still there."""
    named = [experiment.network.start]
    baseline = run / "baseline.txt"
    if baseline.is_file():
        named.append(Path(baseline.read_text(encoding="utf-8").strip()))
    found = (Path(path) for path in named if path is not None)
    return next((path for path in found if (model_folder(path) / MODEL_FILE).is_file()), None)


def _teacher(run: Path, device: torch.device) -> TrainedModel | None:
    try:
        return load_teacher(run, device)
    except NoTeacherError:
        return None
