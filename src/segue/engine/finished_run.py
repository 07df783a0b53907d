"""What a model's run folder knows beyond its card: settings, the pair's pictures, and what checkpoints still hold."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from segue.data.dataset import Dataset
from segue.data.folder import ImageFolder
from segue.engine import checkpoint
from segue.engine.domains import open_domain
from segue.engine.experiment import load
from segue.engine.settings import DataSettings, DomainSettings, Experiment
from segue.evaluation.model import TrainedModel, locate
from segue.evaluation.reestimation import reestimate
from segue.methods.teacher import NAMES_IN_METHOD
from segue.models.batch_norms import AS_TRAINED, DOMAIN_SPECIFIC, KEPT, batch_norms
from segue.models.tensor_files import read_state
from segue.models.weights import MODEL_FILE

Role = Literal["target", "source", "evaluation"]
"""The roles in which a run's pair has pictures."""


class NoTeacherError(ValueError):
    """A run has no teacher of the student's kind, or keeps none."""


def settings_of(model: TrainedModel) -> Experiment | None:
    """The settings of the run that a model belongs to; None for a model folder by itself."""
    return None if model.run is None else load(model.run / "experiment.yaml")


def load_teacher(path: Path, device: torch.device | str | None = None, **changes: Any) -> TrainedModel:
    """The teacher of a run: the model that it left behind, or else the one in the newest checkpoint.

    Arguments are those of :meth:`TrainedModel.load`.

    Raises:
        FileNotFoundError: If there is no model.
        NoTeacherError: If there is no teacher of the student's kind.
        ValueError: If a file is damaged.
    """
    run = locate(path)[1]
    is_left_behind = run is not None and (run / "teacher" / MODEL_FILE).is_file()
    model = TrainedModel.load(run / "teacher" if run and is_left_behind else path, device, **changes)
    model.role = "teacher"
    if is_left_behind:
        return model
    step, state = _newest_state(run or path)
    if step is None:
        raise NoTeacherError(
            f"--teacher: {run or path} has no checkpoint, and only a run's checkpoint holds its teacher"
        )
    weights = {
        name.removeprefix(NAMES_IN_METHOD): value
        for name, value in state.items()
        if name.startswith(NAMES_IN_METHOD)
    }
    if weights.keys() != model.network.state_dict().keys():
        raise NoTeacherError(f"--teacher: the method of {run or path} has no teacher of the student's kind")
    model.network.load_state_dict(weights)
    model.batch_statistics = model.batch_statistics and AS_TRAINED
    return model


def take_statistics(model: TrainedModel, wanted: Literal["trained", "target"] | None) -> None:
    """Give a model, in place, the batch statistics that are wanted, if it has others; weights stay as they are.

    Args:
        wanted: "trained": those that training left; "target": those of the target's training pictures; None: those
            that were saved, but for a teacher those by which its run would score it.

    Raises:
        ValueError: If it belongs to no run, or the run keeps no checkpoint of these weights.
    """
    experiment = settings_of(model)
    if wanted is None and model.role == "teacher" and experiment is not None:
        wanted = "target" if experiment.network.statistics == "target" else None
    are_as_trained = model.batch_statistics in (AS_TRAINED, DOMAIN_SPECIFIC)
    if wanted is None or model.batch_statistics is None or are_as_trained == (wanted == "trained"):
        return
    if wanted == "trained":
        _restore_statistics(model)
    elif experiment is None:
        raise ValueError(
            "--statistics target: a model without a run comes with no target pictures: name its run folder"
        )
    else:
        reestimate(model, open_domain(experiment.data, experiment.data.target, labelled=False))


def unlabelled_pictures(model: TrainedModel, folder: Path | None) -> tuple[Dataset, tuple[int, int] | None]:
    """A folder of pictures, or without one the target of the model's run; and the box that they are fitted into."""
    if folder is None:
        return run_pictures(model, "target")
    dataset = ImageFolder(folder, classes=model.classes, labelled=False)
    dataset.check()
    return dataset, model.protocol.resize


def run_pictures(model: TrainedModel, role: Role) -> tuple[Dataset, tuple[int, int] | None]:
    """Pictures of the pair that a model was trained on, and the box (height, width) that they are fitted into.

    Args:
        role: "target": the unlabelled target; "source": the labelled source, preferably pictures to score on;
            "evaluation": the labelled target.

    Raises:
        ValueError: If the model belongs to no run, or its pair has no such pictures.
    """
    experiment = settings_of(model)
    if experiment is None:
        raise ValueError("a model without a run comes with no pictures: name a folder with --data DIR")
    data = experiment.data
    domain = {
        "target": data.target,
        "source": data.source_evaluation or data.source,
        "evaluation": data.evaluation,
    }[role]
    if domain is None:
        raise ValueError("the run's pair has no labelled target pictures: name some with --data DIR")
    pictures = open_domain(data, domain, labelled=role != "target")
    pictures.check()
    return pictures, domain.resize


def labelled_pictures(
    model: TrainedModel,
    folder: Path | None = None,
    *,
    split: str | None = None,
    label_classes: Path | None = None,
    class_map: Mapping[str, str] | None = None,
    label_suffix: str | None = None,
) -> Dataset:
    """Labelled pictures in the model's classes, read as the model's own run reads them if it knows the folder.

    Args:
        folder: With ``images`` and ``labels``, or a published data set of the run's pair; None for the pair's labelled
            target pictures.
        label_classes: A class list file for a folder without one; None for what the run says.
        class_map: From the folder's class names to the model's or "ignore"; None for what the run says.

    Raises:
        ValueError: If a class has no counterpart, the folder's own list says something else than the given one, or
            there are no such pictures.
    """
    if folder is None:
        if split or label_classes or class_map or label_suffix:
            raise ValueError(
                "--split, --classes, --map and --label-suffix describe a folder of labelled pictures: name it with"
                " --data"
            )
        return run_pictures(model, "evaluation")[0]
    experiment, own = settings_of(model), DomainSettings(root=folder.absolute())
    if experiment is None:
        data = DataSettings(classes=list(model.classes.names), source=own, target=own)
    else:
        data = experiment.data
        own = _known_domain(data, folder) or own
    given = {
        "label_classes": label_classes and label_classes.absolute(),
        "class_map": class_map,
        "label_suffix": label_suffix,
    }
    changes = {name: value for name, value in given.items() if value is not None}
    # A folder that is named means all of its pictures, not those that the run took from it.
    domain = own.model_copy(update={"split": split, "include": [], "exclude": [], **changes})
    pictures = open_domain(data, domain, labelled=True, map_place="the file of --map")
    pictures.check()
    return pictures


def _known_domain(data: DataSettings, folder: Path) -> DomainSettings | None:
    place = folder.expanduser().resolve()
    domains = (data.evaluation, data.target, data.source_evaluation, data.source)
    return next((d for d in domains if d and d.root and (data.root / d.root).resolve() == place), None)


def _newest_state(run: Path | None) -> tuple[int | None, dict[str, Tensor]]:
    """The step and the tensors of the newest checkpoint; no step if there is none."""
    newest = [] if run is None else checkpoint.list_checkpoints(run / "checkpoints")[-1:]
    return (int(newest[0].name), read_state(newest[0] / checkpoint.METHOD_FILE)) if newest else (None, {})


def _restore_statistics(model: TrainedModel) -> None:
    """Take statistics from the last step's checkpoint, which was written before they were estimated again."""
    step, state = _newest_state(model.run)
    if step != model.card.step:
        raise ValueError(
            "--statistics trained: this model's were estimated again, and only the run's last checkpoint still holds"
            f" them as trained, which is not there (step {model.card.step} of {model.run or 'no run'})"
        )
    prefix = NAMES_IN_METHOD if model.role == "teacher" else "student."
    names = {norm: name for name, norm in model.network.named_modules()}
    for norm in batch_norms(model.network):
        for kept in KEPT:
            getattr(norm, kept).copy_(state[f"{prefix}{names[norm]}.{kept}"])
    model.batch_statistics = AS_TRAINED
