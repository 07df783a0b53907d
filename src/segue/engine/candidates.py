"""The networks of a run that could be chosen: its checkpoints, measured as they were or would have been in training."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from segue.engine import checkpoint
from segue.engine.experiment import load, settled
from segue.engine.model_card import model_card
from segue.engine.settings import EvidenceSettings, Experiment
from segue.engine.witness import Sets, measured
from segue.evaluation import evidence
from segue.evaluation.evidence import Record
from segue.evaluation.model import TrainedModel
from segue.methods.teacher import NAMES_IN_METHOD
from segue.models.build import build_segmenter
from segue.models.segmenter import Segmenter
from segue.models.tensor_files import read_state
from segue.models.weights import MODEL_FILE, load_model, model_folder

PREFIXES = {"student": "student.", "teacher": NAMES_IN_METHOD}


@dataclass(frozen=True)
class Kept:
    """A checkpoint of a run, of which the networks can still be read."""

    run: Path
    experiment: Experiment
    step: int

    @property
    def folder(self) -> Path:
        """The checkpoint's folder."""
        return self.run / "checkpoints" / f"{self.step:07d}"

    def networks(self, device: torch.device) -> tuple[Segmenter, Segmenter | None]:
        """The network that the run would score, and its teacher or student if there is one of the same kind.

        Raises:
            ValueError: If the checkpoint is damaged or holds no such network.
        """
        state = read_state(self.folder / checkpoint.METHOD_FILE)
        found: dict[str, Segmenter | None] = {}
        for name, prefix in PREFIXES.items():
            own = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
            network = build_segmenter(**model_card(self.experiment, step=self.step).network)
            fits = own.keys() == network.state_dict().keys()
            if fits:
                network.load_state_dict(own)
            found[name] = network.eval().to(device) if fits else None
        scored = self.experiment.evaluation.network
        own = found.pop(scored)
        if own is None:
            raise ValueError(f"{self.folder}: holds no {scored} of the kind that the run's settings describe")
        (partner,) = found.values()
        return own, partner

    def model(self, device: torch.device) -> TrainedModel:
        """The network that the run would score, ready to predict; its batch statistics are as trained."""
        here = settled(self.experiment, cpu=device.type == "cpu")
        return TrainedModel(self.networks(device)[0], model_card(here, step=self.step), device, run=self.run)


def kept(run: Path) -> list[Kept]:
    """The checkpoints that a run still has, oldest first.

    Raises:
        ValueError: If its settings cannot be read.
        FileNotFoundError: If it is no run folder.
    """
    if not (run / "experiment.yaml").is_file():
        raise FileNotFoundError(f"{run}: not a run folder; give one that `segue train` wrote")
    experiment = load(run / "experiment.yaml")
    return [
        Kept(run, experiment, int(path.name)) for path in checkpoint.list_checkpoints(run / "checkpoints")
    ]


def measure_kept(run: Path, device: torch.device, *, pictures: int | None = None) -> Iterator[Record]:
    """The record of a run's start and checkpoints, measured now; it yields as it grows.

    Args:
        pictures: How many of each domain; None for as many as the run's settings say, or usually if it took none.

    Raises:
        ValueError: If the run keeps no checkpoint.
        OSError: If its pictures are not where the settings say.
    """
    found = kept(run)
    if not found:
        raise ValueError(f"{run}: keeps no checkpoint, so there is nothing to choose from")
    experiment = found[0].experiment
    pictures = pictures or experiment.evidence.pictures or EvidenceSettings().pictures
    if pictures != experiment.evidence.pictures:
        wanted = experiment.evidence.model_copy(update={"pictures": pictures})
        experiment = experiment.model_copy(update={"evidence": wanted})
    sets = Sets.of(experiment)
    record = sets.empty_record(experiment)
    if record.start is not None and (model_folder(Path(record.start)) / MODEL_FILE).is_file():
        network, _ = load_model(model_folder(Path(record.start)))
        record = measured(record, 0, sets, experiment, network=network, teacher=network, device=device)
        yield record
    else:
        record = replace(record, start=None)
    for one in found:
        network, teacher = one.networks(device)
        record = measured(record, one.step, sets, experiment, network=network, teacher=teacher, device=device)
        yield record


def record_of(run: Path) -> Record | None:
    """What the run itself has recorded; None if nothing."""
    record = evidence.read(run)
    return record if record is not None and record.rows else None
