"""``segue compare``: two models side by side: size, speed, whose layers see alike, what moved."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

if TYPE_CHECKING:
    from torch import Tensor

    from segue.cli.opened import Opened
    from segue.data.dataset import Dataset


def compare(
    one: Annotated[Path, typer.Argument(help="A run folder or a model folder.", metavar="MODEL")],
    other: Annotated[Path, typer.Argument(help="Another one.", metavar="MODEL")],
    data: Annotated[
        Path | None, typer.Option(help="Folder of pictures; without it the target of the first run's pair.")
    ] = None,
    pictures: Annotated[int, typer.Option(min=1, help="How many are enough.")] = 64,
    out: Annotated[Path, typer.Option(help="Folder for compare.json and the heat map.")] = Path("compare"),
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, mps; a GPU if there is one.")] = None,
) -> None:
    """Compare two models: parameters, time a picture, likeness of layers (CKA), and how far parameters moved."""
    from segue.cli.opened import open_model
    from segue.cli.progress import counting
    from segue.evaluate.analysis import alignment, layer_outputs, milliseconds, variation
    from segue.evaluate.saliency import evenly
    from segue.files import write_text
    from segue.memory import keep_memory
    from segue.report.layer_plots import draw_alignment

    keep_memory()
    models = [open_model(path, device=device) for path in (one, other)]
    dataset = _pictures(models[0], data)
    chosen = evenly(len(dataset), pictures)
    with counting("comparing", 2 * len(chosen)) as watch:
        left, right = (
            layer_outputs(
                model.network, _images(model, models[0], dataset, chosen), watch=lambda: watch(None)
            )
            for model in models
        )
    alike = alignment(left, right)
    first, _ = next(_images(models[0], models[0], dataset, chosen))
    times = milliseconds({"one": models[0].network, "other": models[1].network}, first)
    moved = variation(models[0].network, models[1].network)
    parameters = [sum(p.numel() for p in model.network.parameters()) for model in models]
    record = {
        "models": [str(one), str(other)],
        "parameters": parameters,
        "milliseconds": [times["one"], times["other"]],
        "picture": list(first.shape[-2:]),
        "layers": [list(left), list(right)],
        "cka": alike.tolist(),
        "variation": moved,
    }
    write_text(out / "compare.json", json.dumps(record, indent=2) + "\n")
    picture = out / "layers.png"
    draw_alignment(
        picture, alike.tolist(), rows=list(left), columns=list(right), names=(str(one), str(other))
    )
    console = Console(soft_wrap=True)
    for path, count, cost in zip((one, other), parameters, (times["one"], times["other"]), strict=True):
        console.print(f"{path}: {count / 1e6:.2f} M parameters, {cost:.1f} ms a picture", highlight=False)
    height, width = first.shape[-2:]
    console.print(f"({width} x {height} pixels on {models[0].device})", highlight=False)
    for row, name in zip(alike, left, strict=True):
        best = int(row.argmax())
        console.print(f"{name:12} is most like {list(right)[best]:12} CKA {row[best]:.2f}", highlight=False)
    for part, amount in sorted(moved.items(), key=lambda item: -item[1])[:10]:
        console.print(f"{part:24} moved by {amount:.2e}", highlight=False)
    console.print(f"{out / 'compare.json'}\n{picture}", highlight=False)


def _pictures(opened: "Opened", data: Path | None) -> "Dataset":
    from segue.data.folder import ImageFolder
    from segue.engine.domains import open_domain

    if data is not None:
        dataset: Dataset = ImageFolder(data, classes=opened.classes, labelled=False)
    elif opened.experiment is not None:
        dataset = open_domain(opened.experiment.data, opened.experiment.data.target, labelled=False)
    else:
        raise ValueError("the first model comes with no pictures: name a folder with --data DIR")
    dataset.check()
    return dataset


def _images(
    opened: "Opened", reference: "Opened", dataset: "Dataset", chosen: list[int]
) -> "Iterator[tuple[Tensor, tuple[int, int]]]":
    """Pictures as a model sees them, with the cells of what the reference sees."""
    from segue.evaluate.analysis import cells_of
    from segue.evaluate.predict import normalised
    from segue.evaluate.saliency import fitted_image, fitted_size

    for index in chosen:
        image = normalised(
            dataset.image(index)[None], mean=opened.card.mean, std=opened.card.std, device=opened.device
        )
        size = fitted_size((image.shape[-2], image.shape[-1]), reference.plan.resize)
        yield fitted_image(image, opened.plan.resize), cells_of(size)
