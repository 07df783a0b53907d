"""``segue saliency``: which layers of a model matter on the target, and which ones it can do without."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

from segue.cli.options import ClassMap, Device, ModelPath

if TYPE_CHECKING:
    from segue.data.dataset import Dataset
    from segue.engine.finished_run import Role
    from segue.evaluation.model import TrainedModel
    from segue.evaluation.saliency import Reference, Saliency


def saliency(
    model: ModelPath,
    against: Annotated[
        Literal["agreement", "pseudo", "source", "truth"],
        typer.Option(
            help="What to compare predictions with: those of the whole model (agreement), the confident ones of another"
            " model (pseudo), the source's labels, or the target's labels (truth: an oracle)."
        ),
    ] = "agreement",
    labeller: Annotated[
        Path | None, typer.Option(help="The other model, for --against pseudo.", metavar="MODEL")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder of pictures; by default those of the run's pair.")
    ] = None,
    class_map: ClassMap = None,
    pictures: Annotated[int, typer.Option(min=1, help="Use at most this many pictures.")] = 500,
    out: Annotated[
        Path | None, typer.Option(help="The JSON file; by default saliency.json in the folder of MODEL.")
    ] = None,
    device: Device = None,
) -> None:
    """Measure how much mean IoU is lost without each layer in turn; writes a JSON file and a chart."""
    from segue.cli.progress import shown
    from segue.evaluation.model import TrainedModel
    from segue.evaluation.saliency import measure
    from segue.files import write_text
    from segue.memory import keep_memory
    from segue.report.layer_plots import draw_saliency

    keep_memory()
    console = Console(soft_wrap=True)
    path = out or model / "saliency.json"
    if path.suffix != ".json":
        raise ValueError(f"--out {path}: name a .json file; the picture is drawn beside it")
    if (against == "pseudo") != (labeller is not None):
        raise ValueError("--against pseudo and --labeller MODEL go together")
    trained = TrainedModel.load(model, device)
    dataset, resize = _pictures(trained, against, data, class_map)
    if against == "truth":
        console.print("This reads target labels: it is an oracle, for measuring only.", style="bold yellow")
    reference = _reference(trained, against, dataset, labeller, device)
    with shown():
        measured = measure(
            trained, dataset, against=against, reference=reference, resize=resize, most=pictures
        )
    write_text(path, json.dumps(measured.to_json(), indent=2) + "\n")
    picture, non_salient = path.with_suffix(".png"), measured.non_salient()
    title = f"{model}, against {against}"
    draw_saliency(picture, measured.losses, non_salient=non_salient, stages=measured.stages, title=title)
    console.print(_text(measured, non_salient), highlight=False, markup=False)
    console.print(f"{path}\n{picture}", highlight=False)


def _text(measured: "Saliency", non_salient: Sequence[str]) -> str:
    """What leaving out each layer costs, one layer a line."""
    lines = [
        f"{100 * measured.mean_iou:.1f} mean IoU against {measured.against}, {measured.pictures} pictures"
    ]
    for name, loss in measured.losses.items():
        lines.append(f"{name:12} {loss:+8.2f}{'  non-salient' if name in non_salient else ''}")
    return "\n".join([*lines, f"{len(non_salient)} of {len(measured.losses)} layers are non-salient"])


def _pictures(
    model: "TrainedModel", against: str, data: Path | None, class_map: Path | None
) -> "tuple[Dataset, tuple[int, int] | None]":
    """The pictures to measure on, and the box that they are fitted into, if any."""
    from segue.engine.finished_run import labelled_pictures, run_pictures, unlabelled_pictures
    from segue.trees import read_yaml

    roles: dict[str, Role] = {"truth": "evaluation", "source": "source"}
    is_labelled = against in ("truth", "source")
    if class_map is not None and (data is None or not is_labelled):
        raise ValueError(
            "--map describes labelled pictures: it goes with --data and --against truth or source"
        )
    if data is None:
        return run_pictures(model, roles.get(against, "target"))
    if is_labelled:
        own_map = None if class_map is None else read_yaml(class_map)
        return labelled_pictures(model, data, class_map=own_map), model.protocol.resize
    return unlabelled_pictures(model, data)


def _reference(
    model: "TrainedModel", against: str, dataset: "Dataset", labeller: Path | None, device: str | None
) -> "Reference":
    from segue.evaluation.model import TrainedModel
    from segue.evaluation.saliency import by_agreement, by_labeller, by_labels

    if against == "agreement":
        return by_agreement()
    if labeller is None:
        return by_labels(dataset)
    other = TrainedModel.load(labeller, device)
    if other.card.classes != model.card.classes:
        raise ValueError(f"--labeller {labeller}: it was trained on other classes than the model")
    return by_labeller(other, dataset)
