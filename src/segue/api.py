"""The functions of ``import segue``: adapt, train, load, evaluate and predict; the verbs call the same ones."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, TypeVar, Unpack, cast

from segue.protocol import Mode, Precision
from segue.recipes.own_folders import Folders
from segue.scores import Scores

if TYPE_CHECKING:
    import numpy as np

    from segue.engine.settings import Experiment
    from segue.evaluation.evidence import Verdict
    from segue.evaluation.model import Model, TrainedModel
    from segue.evaluation.pictures import LabelledPictures
    from segue.evaluation.prediction_files import Written
    from segue.evaluation.scoring import Compared


AnyModel = TypeVar("AnyModel", bound="Model")


@dataclass(frozen=True)
class TrainedRun:
    """What a training left behind.

    Attributes:
        record: The content of ``scores.json``: the scores on the target, on the source and of further networks; None
            without labelled pictures.
        baseline: The run that it is compared with, if one was named.
    """

    folder: Path
    settings: "Experiment"
    record: dict[str, Any] | None
    baseline: Path | None = None

    @property
    def verdict(self) -> "Verdict | None":
        """Whether adapting helped, as far as can be told without target labels; None for a run that did not adapt."""
        from segue.evaluation import evidence

        record = evidence.read(self.folder)
        if record is None or not record.rows or not record.adapted:
            return None
        other = None if self.baseline is None else evidence.read(self.baseline)
        named = None if self.baseline is None or other is None else (self.baseline.resolve().name, other)
        return evidence.judge(record, named)

    @property
    def scores(self) -> Scores | None:
        """The scores on the target's labelled pictures; None if there are none."""
        return None if self.record is None else Scores.from_json(self.record, self.folder / "scores.json")

    @property
    def model(self) -> "TrainedModel":
        """The trained model, read from the folder."""
        return load(self.folder)

    @property
    def report(self) -> Path:
        """The HTML page about the run."""
        return self.folder / "report.html"

    @property
    def fusion_report(self) -> Path | None:
        """The HTML page about the fused labels; None if the run fused nothing."""
        page = self.folder / "fused" / "report.html"
        return page if page.is_file() else None


def load(
    path: Path | str,
    device: str | None = None,
    *,
    teacher: bool = False,
    statistics: Literal["trained", "target"] | None = None,
    mode: Mode | None = None,
    flip: bool | None = None,
    scales: tuple[float, ...] | None = None,
    precision: Precision | None = None,
) -> "TrainedModel":
    """The model of a run folder or of a model folder, ready to predict.

    It predicts as its card says, except where ``mode``, ``flip``, ``scales`` or ``precision`` say otherwise; see
    :class:`segue.protocol.PredictionProtocol`.

    Args:
        device: "cpu", "cuda", "cuda:1", "mps"; None for the first GPU, or else the processor.
        teacher: Load the run's teacher instead of its student.
        statistics: Batch statistics that training left ("trained") or that are estimated on the target's training
            pictures ("target"); None for those saved, or for a teacher those with which its run would score it.
        mode: How to predict pictures that are larger than training crops.
        flip: Whether to average with the prediction on the mirror image.
        scales: Factors on a picture's sides to average over.
        precision: That of the network; None for the card's on CUDA, and float32 elsewhere.

    Raises:
        FileNotFoundError: If there is no model.
        ValueError: If it is damaged, or something that is asked for is not there.
    """
    from segue.evaluation.model import TrainedModel

    given = {"mode": mode, "flip": flip, "scales": scales, "precision": precision}
    changes = {name: value for name, value in given.items() if value is not None}
    if not teacher and statistics is None:
        return TrainedModel.load(Path(path), device, **changes)
    # The engine takes seconds to import, and a plain model does not need it.
    from segue.engine.finished_run import load_teacher, take_statistics

    model = (load_teacher if teacher else TrainedModel.load)(Path(path), device, **changes)
    take_statistics(model, statistics)
    return model


def evaluate(
    model: "TrainedModel | Path | str",
    data: "LabelledPictures | Path | str | None" = None,
    *,
    split: str | None = None,
    label_classes: Path | None = None,
    class_map: Mapping[str, str] | None = None,
    watch: "Callable[[Compared], None] | None" = None,
) -> Scores:
    """Score a model on labelled pictures.

    Args:
        model: From :func:`load`, or the folder of one.
        data: A folder with ``images/`` and ``labels/``, or a data set in the model's classes; None for the labelled
            target pictures of the model's own run.
        split: A part of the folder: test, val, ...
        label_classes: The class list file for a folder that has none.
        class_map: From the labels' class names to the model's or "ignore".
        watch: Called with every predicted picture.

    Raises:
        ValueError: If there are no labelled pictures, or they do not fit the model.
        OSError: If a file cannot be read.
    """
    from segue.engine.finished_run import labelled_pictures, settings_of
    from segue.evaluation import scoring

    model = _loaded(model)
    if data is None or isinstance(data, Path | str):
        folder = None if data is None else Path(data)
        data = labelled_pictures(model, folder, split=split, label_classes=label_classes, class_map=class_map)
    scores, settings = scoring.evaluate(model, data, watch=watch), settings_of(model)
    return scores if settings is None else scores.over(settings.evaluation.classes, settings.evaluation.also)


def predict(
    model: "Model | Path | str",
    pictures: Mapping[str, Path] | Path | str,
    out: Path | str,
    *,
    progress: Callable[[str], None] | None = None,
) -> "Written":
    """Predict pictures of any sizes and write class ids, colours, overlay and confidence of each, as PNGs.

    A model that gives each picture one class writes a table of them instead.

    Args:
        model: From :func:`load`, or the folder of one.
        pictures: A folder, one picture, or files by name.
        out: The folder for ``index/``, ``colour/``, ``overlay/`` and ``confidence/``, or for ``predictions.csv``.
        progress: Called with each picture's name once it is predicted or has failed.

    Raises:
        ValueError: If there is no picture.
        OSError: If a file cannot be written.
    """
    from segue.data.folder_files import find_pictures
    from segue.evaluation.prediction_files import write_predictions

    if not isinstance(pictures, Mapping):
        pictures = find_pictures(Path(pictures), Path(out))
    return write_predictions(_loaded(model), pictures, Path(out), progress=progress)


class Changes(TypedDict, total=False):
    """What a run changes of its recipe; None changes nothing.

    Attributes:
        few: A folder of a few labelled target pictures to train on, too; labelled as the pair's evaluation pictures are
            if it has no class list of its own.
        config: A YAML file of settings, which override the recipe's and the pair's.
        steps: Optimiser updates.
        seed: The seed of everything random.
        settings: Any settings by name, dotted ("optim.lr") or nested, which override all others.
    """

    few: Path | None
    config: Path | None
    steps: int | None
    seed: int | None
    settings: Mapping[str, Any] | None


class Wishes(Folders, Changes, total=False):
    """What a run changes of its recipe, and the two folders that may stand in place of a pair."""


def configure(
    recipe: str,
    pair: str | None = None,
    *,
    cpu: bool = False,
    say: Callable[[str], object] | None = None,
    **wishes: Unpack[Wishes],
) -> "Experiment":
    """All settings of a run, see :func:`train`.

    For two folders without a pair, what nobody sets is chosen for this machine and for the pictures.

    Args:
        cpu: Choose for the processor even if there is a GPU.
        say: Called with one line about what was chosen.

    Raises:
        ValueError: If a setting is unknown, out of its range or missing.
        OSError: If a file is missing.
    """
    from segue.recipes import choices, pairs
    from segue.recipes.catalogue import experiment
    from segue.recipes.own_folders import from_folders
    from segue.trees import flatten, merge, nested, read_yaml

    folders = cast(Folders, {key: value for key, value in wishes.items() if key in Folders.__annotations__})
    given = [f"--{key.replace('_', '-')}" for key, value in folders.items() if value]
    if pair is not None and given:
        raise ValueError(
            f"--pair and {', '.join(given)} exclude each other: a pair says where its folders are"
        )
    domains = from_folders(folders) if pair is None else pairs.pair(pair)
    few = wishes.get("few")
    if few is not None:
        known = domains.get("data", {}).get("evaluation") or {}
        alike = {key: known[key] for key in ("label_classes", "class_map") if key in known}
        domains = merge(domains, {"data": {"few": {**alike, "root": str(few.absolute())}}})
    config = wishes.get("config")
    flags = {"steps": wishes.get("steps"), "seed": wishes.get("seed")}
    flags = {name: value for name, value in flags.items() if value is not None}
    own = [read_yaml(config) if config else {}, flags, nested(wishes.get("settings") or {})]
    wanted = experiment(recipe, domains, *own)
    if pair is not None or wanted.data.source.dataset != "folder" or wanted.data.target.dataset != "folder":
        return wanted
    machine = choices.Machine.here(cpu=cpu)
    chosen, sizes = choices.choose(wanted, machine, named=set().union(*map(flatten, own)))
    wanted = experiment(recipe, merge(domains, chosen), *own)
    if say is not None:
        say(choices.explained(wanted, machine, sizes))
    return wanted


def check(
    experiment: "Experiment", *, workers: int = 0, watch: Callable[[object], None] | None = None
) -> dict[str, Any]:
    """Look at every picture and label of a run before it trains: what is wrong, and what the data are.

    Target labels are not opened, except those of the evaluation pictures.

    Args:
        experiment: From :func:`configure`.
        workers: Processes that decode; 0 decodes in this one. A script that asks for some needs the usual
            ``if __name__ == "__main__"``.
        watch: Called after each file.

    Returns:
        Counts by severity, domains, shares of classes and findings, as ``check.json`` has them.
    """
    from segue.checking.account import account_of
    from segue.engine.inventory import take_inventory

    survey = take_inventory(experiment.data, depths="needed" if experiment.method.learns_depth else "named")
    survey.look(workers=workers, watch=watch)
    return account_of(survey)


def train(
    recipe: "str | Experiment",
    pair: str | None = None,
    *,
    out: Path | str | None = None,
    baseline: Path | None = None,
    cpu: bool = False,
    quiet: bool = False,
    **wishes: Unpack[Wishes],
) -> TrainedRun:
    """Train a recipe on a pair of domains, score the model and write a report; an interrupted run goes on.

    Args:
        recipe: A name that ``segue recipes`` lists; or all settings, and then neither a pair nor wishes.
        pair: A built-in pair or a YAML file; None for two folders, ``source`` and ``target``.
        out: The run folder; ``runs/RECIPE`` by default.
        baseline: Another run folder, which the report compares this run with.
        cpu: Use no GPU.
        wishes: See :class:`Wishes`.

    Raises:
        ValueError: If settings, data, weights or a checkpoint are wrong, or the folder holds another experiment.
        OSError: If a file is missing or cannot be written.
    """
    from rich.console import Console

    from segue.engine import stages
    from segue.memory import keep_memory
    from segue.ranks import failing_together, is_first_rank

    keep_memory()
    console = Console(quiet=quiet)
    if isinstance(recipe, str):
        experiment = configure(
            recipe, pair, cpu=cpu, say=lambda text: console.print(text, soft_wrap=True), **wishes
        )
    elif pair is not None or any(wish is not None for wish in wishes.values()):
        raise ValueError(
            "pair and settings go with a recipe's name; all settings have them: change those instead"
        )
    else:
        experiment = recipe
    folder = Path("runs", experiment.recipe) if out is None else Path(out)
    if baseline is not None and not (baseline / "experiment.yaml").is_file():
        raise ValueError(f"--baseline {baseline}: not a run folder; give one that `segue train` wrote")
    with failing_together(cpu=cpu):
        record = stages.train(experiment, folder, console=console, cpu=cpu)
        run = TrainedRun(folder, experiment, record, baseline)
        if is_first_rank():
            _write_reports(run, baseline)
    return run


def adapt(
    source: Path | str,
    target: Path | str,
    classes: Path | str | Sequence[str] | None = None,
    *,
    recipe: str = "daformer",
    evaluation: Path | str | None = None,
    out: Path | str | None = None,
    cpu: bool = False,
    quiet: bool = False,
    **changes: Unpack[Changes],
) -> TrainedRun:
    """Adapt a model from a folder of labelled pictures to a folder of unlabelled ones: :func:`train` for own folders.

    Network, crops, batch and precision are chosen for this machine and these pictures, except where ``settings`` or
    ``config`` say otherwise.

    Args:
        source: A folder with ``images/`` and ``labels/``.
        target: A folder of pictures; labels in it are not read.
        classes: Names in the order of the labels' values, or a file that lists them; None for the source's own list.
        evaluation: A folder of labelled target pictures to score on.
        changes: See :class:`Changes`.

    Raises:
        ValueError: As :func:`train`, and if a folder has no pictures.
        OSError: If a file is missing or cannot be written.
    """
    folders: Folders = {
        "source": Path(source),
        "target": Path(target),
        "classes": Path(classes) if isinstance(classes, str) else classes,
        "evaluation": None if evaluation is None else Path(evaluation),
    }
    return train(recipe, out=out, cpu=cpu, quiet=quiet, **folders, **changes)


def _write_reports(run: TrainedRun, baseline: Path | None) -> None:
    from segue.files import write_text
    from segue.report.fusion_page import write_fusion_report
    from segue.report.page import write_report

    settings, runs = run.settings, [run.folder] if baseline is None else [baseline, run.folder]
    write_report(run.report, runs, title=f"{settings.recipe} on {settings.data.pair}")
    if baseline is not None:  # so that a later evaluation compares with it, too
        write_text(run.folder / "baseline.txt", f"{baseline.absolute()}\n")
    if (run.folder / "fused" / "fusion.json").is_file():
        write_fusion_report(run.folder / "fused", pictures=_target_pictures(settings))


def _target_pictures(settings: "Experiment") -> "Callable[[str], np.ndarray]":
    """The target's pictures by name, as RGB bytes (H,W,3)."""
    from segue.engine.domains import open_domain

    target = open_domain(settings.data, settings.data.target, labelled=False)
    places = {target.name(index): index for index in range(len(target))}
    return lambda name: target.image(places[name]).permute(1, 2, 0).contiguous().numpy()


def _loaded(model: "AnyModel | Path | str") -> "AnyModel | TrainedModel":
    return load(model) if isinstance(model, Path | str) else model
