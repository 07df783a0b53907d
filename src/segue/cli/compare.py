"""``segue compare``: two models side by side: size, speed, similarity of layers, change of parameters."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from segue.cli.options import Device, ModelPath

if TYPE_CHECKING:
    from torch import Tensor

    from segue.data.dataset import Dataset
    from segue.evaluation.model import TrainedModel


def compare(
    one: ModelPath,
    other: Annotated[Path, typer.Argument(help="The model to compare it with.", metavar="MODEL")],
    data: Annotated[
        Path | None, typer.Option(help="Folder of pictures; by default the target pictures of the first run.")
    ] = None,
    pictures: Annotated[int, typer.Option(min=1, help="Use at most this many pictures.")] = 64,
    out: Annotated[Path, typer.Option(help="Folder for compare.json and layers.png.")] = Path("compare"),
    device: Device = None,
) -> None:
    """Compare two models: size, speed, similarity of layers (CKA), and how far parameters moved."""
    from segue.cli.progress import counting
    from segue.engine.finished_run import unlabelled_pictures
    from segue.evaluation.model import TrainedModel
    from segue.evaluation.network_comparison import alignment, layer_outputs, milliseconds, variation
    from segue.evaluation.pictures import evenly
    from segue.files import write_text
    from segue.memory import keep_memory
    from segue.report.layer_plots import draw_alignment

    keep_memory()
    models = [TrainedModel.load(path, device) for path in (one, other)]
    networks = [model.network for model in models]
    dataset, _ = unlabelled_pictures(models[0], data)
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
    times = milliseconds(dict(zip(("one", "other"), networks, strict=True)), first)
    record: dict[str, Any] = {
        "models": [str(one), str(other)],
        "parameters": [sum(p.numel() for p in network.parameters()) for network in networks],
        "milliseconds": [times["one"], times["other"]],
        "picture": list(first.shape[-2:]),
        "layers": [list(left), list(right)],
        "cka": alike.tolist(),
        "variation": variation(*networks),
    }
    write_text(out / "compare.json", json.dumps(record, indent=2) + "\n")
    rows, columns = record["layers"]
    draw_alignment(
        out / "layers.png", record["cka"], rows=rows, columns=columns, names=(str(one), str(other))
    )
    for line in _lines(record, str(models[0].device)):
        Console(soft_wrap=True).print(line, highlight=False)
    Console(soft_wrap=True).print(f"{out / 'compare.json'}\n{out / 'layers.png'}", highlight=False)


def _lines(record: Mapping[str, Any], device: str) -> Iterator[str]:
    for path, count, cost in zip(
        *(record[key] for key in ("models", "parameters", "milliseconds")), strict=True
    ):
        yield f"{path}: {count / 1e6:.2f} M parameters, {cost:.1f} ms per picture"
    height, width = record["picture"]
    yield f"({width} x {height} pixels on {device})"
    rows, columns = record["layers"]
    for row, name in zip(record["cka"], rows, strict=True):
        yield f"{name:12} is most like {columns[row.index(max(row))]:12} CKA {max(row):.2f}"
    moved: Mapping[str, float] = record["variation"]
    for part, amount in sorted(moved.items(), key=lambda item: -item[1])[:10]:
        yield f"{part:24} moved by {amount:.2e}"


def _images(
    model: "TrainedModel", reference: "TrainedModel", dataset: "Dataset", chosen: Sequence[int]
) -> "Iterator[tuple[Tensor, tuple[int, int]]]":
    """Pictures as a model sees them, with the cells of the size at which the reference sees them."""
    from segue.evaluation.network_comparison import cells_of
    from segue.evaluation.predictors import fitted_image, fitted_size

    for index in chosen:
        image = model.normalised(dataset.image(index)[None])
        size = fitted_size((image.shape[-2], image.shape[-1]), reference.protocol.resize)
        yield fitted_image(image, model.protocol.resize), cells_of(size)
