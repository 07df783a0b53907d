"""``segue evaluate``: a trained model on labelled pictures, class by class."""

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console

from segue.cli.options import ClassMap, Device, Flip, ModeChoice, ModelPath, Scales, parse_scales
from segue.cli.together import together

if TYPE_CHECKING:
    from segue.evaluation.model import TrainedModel


def evaluate(
    model: ModelPath,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder with images/ and labels/, or tar archives; by default the run's evaluation pictures."
        ),
    ] = None,
    split: Annotated[str | None, typer.Option(help="A part of the data: test, val, ...")] = None,
    classes: Annotated[
        Path | None,
        typer.Option(help="Class list of the labels, if --data has no classes.json."),
    ] = None,
    class_map: ClassMap = None,
    label_suffix: Annotated[
        str | None, typer.Option(help="What follows a picture's name in that of its label: _mask.")
    ] = None,
    teacher: Annotated[
        bool, typer.Option("--teacher", help="Score the run's teacher, not its student.")
    ] = False,
    statistics: Annotated[
        Literal["trained", "target"] | None,
        typer.Option(
            help="Batch statistics: those that training left, or those of the target's training pictures;"
            " by default those saved with the model."
        ),
    ] = None,
    mode: ModeChoice = None,
    flip: Flip = None,
    scales: Scales = None,
    device: Device = None,
    baseline: Annotated[
        Path | None,
        typer.Option(
            help="A run without adaptation: scored on the same pictures, and what the verdict is against."
        ),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write the scores to this JSON file.")
    ] = None,
) -> None:
    """Score a model on labelled pictures: the IoU of every class, their mean, and how they were measured.

    Measured as the run's training would have measured them, they become the run's own scores: its report is written
    anew, and the verdict is printed. They never replace scores on other pictures. Under torchrun the processes divide
    the pictures.
    """
    from segue import api
    from segue.memory import keep_memory
    from segue.ranks import is_first_rank
    from segue.trees import read_yaml

    keep_memory()
    own_map = None if class_map is None else read_yaml(class_map)
    how = {"split": split, "label_classes": classes, "class_map": own_map, "label_suffix": label_suffix}
    with together(device) as own:
        with Console(stderr=True, quiet=not is_first_rank()).status("loading the model"):
            sizes = parse_scales(scales)
            loaded = partial(api.load, device=own, statistics=statistics, mode=mode, flip=flip, scales=sizes)
            trained = loaded(model, teacher=teacher)
        first = None if baseline is None else _score(loaded(baseline), baseline, data, how)[1]
        scores, run = _score(trained, model, data, how)
        if is_first_rank():
            _keep(scores, json_file)
            if run is not None:
                _report(run, first or _baseline_of(run))


def _keep(scores: dict[str, Any], json_file: Path | None) -> None:
    from segue.files import write_text

    if json_file is not None:
        write_text(json_file, json.dumps(scores, indent=2) + "\n")


def _score(
    model: "TrainedModel", called: Path, data: Path | None, how: dict[str, Any]
) -> tuple[dict[str, Any], Path | None]:
    """A model's scores, printed, and the run folder whose own they became, if any."""
    from segue import api
    from segue.cli.tables import scores_table
    from segue.engine.finished_run import labelled_pictures
    from segue.engine.late_scores import LateScores
    from segue.ranks import is_first_rank, made_by_first_rank

    pictures = made_by_first_rank(lambda: labelled_pictures(model, data, **how))
    late = LateScores(model, data, how["split"])
    scores = api.evaluate(model, pictures, watch=late.keeper).to_json()
    late.write(scores)
    split = how["split"]
    where = "its own evaluation pictures" if data is None else f"{data}{f' ({split})' if split else ''}"
    # Without soft wrapping a long path in the title would be cut off at the console's width.
    console = Console(soft_wrap=True, quiet=not is_first_rank())
    console.print(scores_table(scores, title=f"{model.role} of {called} on {where}"))
    if late.kept_instead:
        console.print("the run keeps its scores, which are of other pictures; --json FILE writes these")
    return scores, late.run


def _report(run: Path, baseline: Path | None) -> None:
    """Write the run's page anew, and print what it says first."""
    from segue.report.page import write_report
    from segue.report.roles import assign_roles
    from segue.report.run_folder import RunFolder
    from segue.report.verdict import judge

    runs = [run] if baseline is None else [baseline, run]
    settings = RunFolder(run).experiment
    title = f"{settings.get('recipe')} on {settings.get('data', {}).get('pair')}"
    page = write_report(run / "report.html", runs, title=title)
    verdict = judge(assign_roles([RunFolder(folder) for folder in runs]))
    text = " ".join([verdict.headline, *verdict.sentences])
    Console(soft_wrap=True).print(f"{text}\nreport  {page}", highlight=False, markup=False)


def _baseline_of(run: Path) -> Path | None:
    """The run that the training was told to compare this one with, if it is still there."""
    path = run / "baseline.txt"
    folder = Path(path.read_text(encoding="utf-8").strip()) if path.is_file() else None
    return folder if folder is not None and (folder / "experiment.yaml").is_file() else None
