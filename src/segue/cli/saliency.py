"""``segue saliency``: which layers of a model matter on the target, and which it can do without."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

if TYPE_CHECKING:
    from segue.cli.opened import Opened
    from segue.data.dataset import Dataset
    from segue.evaluate.saliency import Reference


def saliency(
    model: Annotated[Path, typer.Argument(help="A run folder or a model folder.", metavar="MODEL")],
    against: Annotated[
        Literal["agreement", "pseudo", "source", "truth"],
        typer.Option(
            help="What predictions are compared with: the model's own (agreement), confident ones of another model"
            " (pseudo), the source's labels, or the target's (truth: an oracle)."
        ),
    ] = "agreement",
    labeller: Annotated[
        Path | None, typer.Option(help="The other model of --against pseudo.", metavar="MODEL")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder of pictures; without it those of the run's own pair.")
    ] = None,
    class_map: Annotated[
        Path | None, typer.Option("--map", help="YAML: class of the labels -> class of the model, or ignore.")
    ] = None,
    pictures: Annotated[int, typer.Option(min=1, help="How many are enough.")] = 500,
    out: Annotated[
        Path | None, typer.Option(help="The JSON file; saliency.json in the folder of MODEL by default.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, mps; a GPU if there is one.")] = None,
) -> None:
    """Leave out each layer in turn and say what mean IoU that costs; writes a JSON file and a picture."""
    from segue.cli.opened import open_model
    from segue.cli.progress import counting
    from segue.evaluate.saliency import evenly, measure
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
    opened = open_model(model, device=device)
    dataset, resize = _pictures(opened, against, data, class_map)
    if against == "truth":
        console.print("This reads target labels: it is an oracle, for measuring only.", style="bold yellow")
    with counting("leaving out layers", len(evenly(len(dataset), pictures))) as watch:
        found = measure(
            opened.network,
            dataset,
            against=against,
            reference=_reference(opened, against, dataset, labeller, device),
            classes=len(opened.classes),
            mean=opened.card.mean,
            std=opened.card.std,
            device=opened.device,
            resize=resize,
            most=pictures,
            watch=lambda: watch(None),
        )
    non_salient = found.non_salient()
    write_text(path, json.dumps(found.to_json(), indent=2) + "\n")
    picture = path.with_suffix(".png")
    draw_saliency(
        picture,
        found.losses,
        non_salient=non_salient,
        stages=found.stages,
        title=f"{model}, against {against}",
    )
    console.print(
        f"{100 * found.mean_iou:.1f} mean IoU against {against}, {found.pictures} pictures", highlight=False
    )
    for name, loss in found.losses.items():
        note = "  non-salient" if name in non_salient else ""
        console.print(f"{name:12} {loss:+8.2f}{note}", highlight=False)
    console.print(f"{len(non_salient)} of {len(found.losses)} layers are non-salient", highlight=False)
    console.print(f"{path}\n{picture}", highlight=False)


def _pictures(
    opened: "Opened", against: str, data: Path | None, class_map: Path | None
) -> "tuple[Dataset, tuple[int, int] | None]":
    """The pictures to measure on, and the box that they are fitted into."""
    from segue.cli.opened import labelled_folder
    from segue.data.folder import ImageFolder
    from segue.engine.domains import open_domain
    from segue.trees import read_yaml

    settings, labelled = opened.experiment, against in ("truth", "source")
    if class_map is not None and (data is None or not labelled):
        raise ValueError(
            "--map describes labelled pictures: it goes with --data and --against truth or source"
        )
    if data is not None and labelled:
        own_map = None if class_map is None else read_yaml(class_map)
        dataset = labelled_folder(opened, data, class_map=own_map)
        resize = opened.plan.resize
    elif data is not None:
        dataset = ImageFolder(data, classes=opened.classes, labelled=False)
        resize = opened.plan.resize
    elif settings is None:
        raise ValueError("a model without a run comes with no pictures: name a folder with --data DIR")
    else:
        domains = settings.data
        chosen = {"truth": domains.evaluation, "source": domains.source_evaluation or domains.source}.get(
            against, domains.target
        )
        if chosen is None:
            raise ValueError("the run's pair has no labelled target pictures: name some with --data DIR")
        dataset, resize = open_domain(domains, chosen, labelled=labelled), chosen.resize
    dataset.check()
    return dataset, resize


def _reference(
    opened: "Opened", against: str, dataset: "Dataset", labeller: Path | None, device: str | None
) -> "Reference":
    from segue.cli.opened import open_model
    from segue.evaluate.saliency import by_agreement, by_labeller, by_labels

    if against == "agreement":
        return by_agreement()
    if labeller is None:
        return by_labels(dataset)
    other = open_model(labeller, device=device)
    if other.card.classes != opened.card.classes:
        raise ValueError(f"--labeller {labeller}: it tells other classes apart than the model")
    return by_labeller(
        other.plan.predictor(other.network),
        dataset,
        classes=other.classes,
        mean=other.card.mean,
        std=other.card.std,
        device=other.device,
    )
