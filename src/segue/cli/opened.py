"""What several verbs do with a trained model: find it, load it, know how it is to predict."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from segue.classes import ClassList, class_list
from segue.evaluate.plan import Mode, Plan
from segue.models.batch_norms import AS_TRAINED, batch_norms
from segue.models.segmenter import Segmenter
from segue.models.tensor_files import read_state
from segue.models.weights import MODEL_FILE, Card, load_model

if TYPE_CHECKING:
    from segue.data.dataset import Dataset
    from segue.engine.settings import DomainSettings, Experiment

TEACHER = "teacher.network."
"""What the names of a self-training method's teacher begin with in a checkpoint."""


@dataclass(frozen=True)
class Opened:
    """A trained model and what is known about it.

    Attributes:
        network: On its device.
        card: What the model's folder says about it.
        device: Where it is.
        plan: How pictures are predicted.
        experiment: The settings of the run it belongs to; None for a model folder without a run.
        run: The folder of that run.
        statistics: Whose batch statistics it has, as protocols call them; None without batch norms.
    """

    network: Segmenter
    card: Card
    device: torch.device
    plan: Plan
    experiment: "Experiment | None"
    run: Path | None = None
    statistics: str | None = None

    @property
    def classes(self) -> ClassList:
        """What the network tells apart."""
        colours = [(red, green, blue) for red, green, blue in self.card.colours]
        return class_list(self.card.classes, colours)


def open_model(
    path: Path,
    *,
    teacher: bool = False,
    device: str | None = None,
    mode: Mode | None = None,
    flip: bool | None = None,
    scales: str | None = None,
) -> Opened:
    """Load the model of a run folder, or of a model folder.

    Args:
        path: Either of them.
        teacher: Take the run's teacher, from its newest checkpoint, instead of its student.
        device: As :func:`choose_device`.
        mode: How to predict, where it is not to be as the run's settings say.
        flip: Likewise, whether to predict the mirror image too.
        scales: Likewise, factors with commas in between.

    Returns:
        The model, ready to predict.
    """
    chosen = choose_device(device)
    folder, run = _locate(path)
    own_teacher = None if run is None else run / "teacher"
    if teacher and own_teacher is not None and (own_teacher / MODEL_FILE).is_file():
        folder, teacher = own_teacher, False
    network, card = load_model(folder)
    statistics = card.batch_statistics if batch_norms(network) else None
    if teacher:
        _load_teacher(network, run or path)
        statistics = statistics and AS_TRAINED
    settings, how = (None, Plan.from_protocol(card.prediction)) if run is None else _settings(run)
    if chosen.type != "cuda":
        # Half precision is there to save a GPU's memory and time; on a processor it can be far slower.
        how = replace(how, dtype=None)
    given = {"mode": mode, "flip": flip, "scales": None if scales is None else parse_scales(scales)}
    how = replace(how, **{name: value for name, value in given.items() if value is not None})
    return Opened(network.to(chosen), card, chosen, how, settings, run, statistics)


def labelled_folder(
    opened: Opened,
    folder: Path,
    *,
    split: str | None = None,
    classes: Path | None = None,
    class_map: Mapping[str, str] | None = None,
) -> "Dataset":
    """Labelled pictures in the model's classes, read as the model's own run reads them if it knows the folder.

    Args:
        opened: The model.
        folder: With ``images`` and ``labels``, or a published data set of the run's pair.
        split: Which part of it.
        classes: A class list file of the label values, for a folder without one; None for what the run says.
        class_map: From own class names to the model's or "ignore"; None for what the run says.

    Raises:
        ValueError: If a class has no counterpart, or the folder's own list says something else than the given one.
    """
    from segue.engine.domains import open_domain
    from segue.engine.settings import DataSettings, DomainSettings

    own = DomainSettings(root=folder.absolute())
    if opened.experiment is None:
        data = DataSettings(classes=list(opened.card.classes), source=own, target=own)
    else:
        data = opened.experiment.data
        own = _known_domain(opened.experiment, folder) or own
    given = {"label_classes": None if classes is None else classes.absolute(), "class_map": class_map}
    changes = {name: value for name, value in given.items() if value is not None}
    # Who names a folder means all of it, not the drives of it that the run took.
    domain = own.model_copy(update={"split": split, "include": [], "exclude": [], **changes})
    return open_domain(data, domain, labelled=True, map_place="the file of --map")


def _known_domain(experiment: "Experiment", folder: Path) -> "DomainSettings | None":
    data, place = experiment.data, folder.expanduser().resolve()
    domains = (data.evaluation, data.target, data.source_evaluation, data.source)
    return next((d for d in domains if d and d.root and (data.root / d.root).resolve() == place), None)


def choose_device(name: str | None) -> torch.device:
    """The device of that name; without one the first GPU, or else the processor.

    Args:
        name: "cpu", "cuda", "cuda:1", "mps".

    Returns:
        A device that is there.

    Raises:
        ValueError: If there is no such device.
    """
    if name is None:
        if torch.cuda.is_available():
            return torch.device("cuda", 0)
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        return torch.empty(1, device=name).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(f"--device {name}: not usable here ({reason}); leave it out, or take cpu") from error


def parse_scales(text: str) -> tuple[float, ...]:
    """``"0.75,1,1.25"`` as numbers.

    Args:
        text: Factors with commas in between.

    Returns:
        At least one.

    Raises:
        ValueError: If one of them is not a number.
    """
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(
            f"--scales {text!r}: write factors with commas in between, as in 0.75,1,1.25"
        ) from None


def _locate(path: Path) -> tuple[Path, Path | None]:
    """The model folder, and the run folder around it if there is one."""
    if (path / MODEL_FILE).is_file():
        run = path.resolve().parent if path.resolve().name in ("model", "teacher") else None
        return path, run if run is not None and (run / "experiment.yaml").is_file() else None
    if (path / "model" / MODEL_FILE).is_file():
        return path / "model", path if (path / "experiment.yaml").is_file() else None
    if (path / "experiment.yaml").is_file():
        raise FileNotFoundError(f"{path}: this run has no model yet; let `segue train` finish it")
    raise FileNotFoundError(f"{path}: neither a run folder nor a model folder: there is no {MODEL_FILE}")


def _settings(run: Path) -> "tuple[Experiment, Plan]":
    """A run's settings, and how it predicts the pictures of its target."""
    # The engine takes seconds to import; a model without a run does without it.
    from segue.engine.experiment import load
    from segue.engine.scoring import plan

    settings = load(run / "experiment.yaml")
    return settings, plan(settings, settings.data.evaluation or settings.data.target)


def _load_teacher(network: Segmenter, run: Path) -> None:
    from segue.engine import checkpoint

    newest = checkpoint.list_checkpoints(run / "checkpoints")[-1:]
    if not newest:
        raise ValueError(f"--teacher: {run} has no checkpoint, and only a run's checkpoint holds its teacher")
    state = read_state(newest[0] / checkpoint.METHOD_FILE)
    own = {name.removeprefix(TEACHER): value for name, value in state.items() if name.startswith(TEACHER)}
    if own.keys() != network.state_dict().keys():
        raise ValueError(f"--teacher: the method of {run} has no teacher of the student's kind")
    network.load_state_dict(own)
