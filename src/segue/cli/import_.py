"""``segue import``: checkpoints of official implementations become models that every verb takes."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console

from segue.protocol import PredictionProtocol

if TYPE_CHECKING:
    from segue.classes import ClassList
    from segue.models.official import Recognised

HALF = PredictionProtocol((512, 512), mode="whole", resize=(512, 1024))
SLIDING = PredictionProtocol((1024, 1024), mode="sliding", blend="mean")
PROTOCOLS = {
    "daformer": HALF,  # pictures at half of Cityscapes' size, whole
    "deeplab_v2": HALF,
    "deeplab_v3plus": HALF,
    "segformer": replace(SLIDING, overlap=0.25),  # windows every 768 pixels
    "hrda": replace(SLIDING, overlap=0.5),  # windows every 512 pixels
}
"""How the authors of each kind of checkpoint scored it on Cityscapes, all without test-time augmentation."""


def import_(
    file: Annotated[Path, typer.Argument(help="A .pth or .safetensors file, or a Hugging Face folder.")],
    out: Annotated[Path | None, typer.Option(help="A new folder; by default the name of the file.")] = None,
    part: Annotated[
        Literal["student", "teacher"],
        typer.Option(help="Which network to take from a checkpoint that has both."),
    ] = "student",
    kind: Annotated[
        str | None,
        typer.Option("--as", help="Refuse the file unless it is of this kind: hrda, daformer, ..."),
    ] = None,
    classes: Annotated[
        Path | None,
        typer.Option(help="Class list, if the file has none and the classes are not Cityscapes'."),
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="Name of the recipe that trained it, for the model's card: mic, ...")
    ] = None,
) -> None:
    """Convert a checkpoint of SegFormer, DAFormer, DeepLab, HRDA or MIC, or a MiT encoder; every tensor is checked."""
    from segue.models.official import read_official

    if not file.exists():
        raise FileNotFoundError(f"{file}: no such file")
    checkpoint = read_official(file, part=part)
    if kind is not None and kind != checkpoint.kind:
        raise ValueError(
            f"{file}: given as {kind}, but it is {checkpoint.kind} ({checkpoint.source}); change --as, or the file"
        )
    folder = Path(file.stem) if out is None else out
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} exists and is not empty: name another folder with --out")
    console = Console(soft_wrap=True)
    if checkpoint.kind == "encoder":
        _write_encoder(checkpoint, folder, console)
        return
    listed = _classes(checkpoint, classes, file)
    _write_model(checkpoint, folder, listed, recipe or checkpoint.kind)
    network = checkpoint.network
    console.print(
        f"{checkpoint.kind} ({checkpoint.source}){f', {checkpoint.part}' if checkpoint.part else ''}:"
        f" {network['encoder']}, {network['head']} head, {_millions(checkpoint)} million parameters,"
        f" {len(listed)} classes",
        highlight=False,
    )
    console.print(
        f"{folder}: now segue evaluate {folder} --data DIR, or segue predict {folder} PICTURES",
        highlight=False,
    )


def _write_encoder(checkpoint: "Recognised", folder: Path, console: Console) -> None:
    from safetensors.torch import save

    from segue.files import write_bytes

    path = folder / "encoder.safetensors"
    write_bytes(path, save({name: value.contiguous() for name, value in checkpoint.state.items()}))
    console.print(
        f"encoder {checkpoint.network['encoder']} ({checkpoint.source}), {_millions(checkpoint)} million parameters",
        highlight=False,
    )
    console.print(
        f"{path}: now segue train RECIPE --set network.encoder={checkpoint.network['encoder']}"
        f" --set network.weights={path}",
        highlight=False,
    )


def _write_model(checkpoint: "Recognised", folder: Path, classes: "ClassList", recipe: str) -> None:
    import torch

    from segue import __version__
    from segue.models.build import build_segmenter, normalisation
    from segue.models.weights import Card, save_model

    with torch.device("meta"):
        segmenter = build_segmenter(**checkpoint.network)
    segmenter.load_state_dict(_complete(checkpoint, segmenter), assign=True)
    mean, std = normalisation(str(checkpoint.network["encoder"]))
    card = Card(
        classes=list(classes.names),
        colours=[list(colour) for colour in classes.colours],
        mean=list(mean),
        std=list(std),
        network=dict(checkpoint.network),
        prediction=PROTOCOLS[checkpoint.kind],
        recipe=recipe,
        step=checkpoint.step,
        versions={"segue": __version__, "torch": torch.__version__},
    )
    save_model(folder, segmenter, card)


def _complete(checkpoint: "Recognised", segmenter: Any) -> dict[str, Any]:
    """The state in float32, with the counters of batch norms that old files leave out."""
    import torch

    counters = {
        name: torch.zeros((), dtype=torch.int64)
        for name in segmenter.state_dict()
        if name.endswith("num_batches_tracked")
    }
    return counters | {n: v.float() if v.is_floating_point() else v for n, v in checkpoint.state.items()}


def _classes(checkpoint: "Recognised", file: Path | None, path: Path) -> "ClassList":
    from segue.classes import CITYSCAPES_19, class_list
    from segue.data.class_map import read_class_list

    count = int(checkpoint.network["num_classes"])
    if file is not None:
        listed = read_class_list(file)
        if len(listed) != count:
            raise ValueError(f"{file}: {len(listed)} classes, but {path} tells {count} apart")
        return listed
    if checkpoint.classes:
        colours = [(red, green, blue) for red, green, blue in checkpoint.colours]
        return class_list(list(checkpoint.classes), colours or None)
    if count == len(CITYSCAPES_19):
        return CITYSCAPES_19
    raise ValueError(f"{path}: tells {count} classes apart and names none: list them with --classes FILE")


def _millions(checkpoint: "Recognised") -> str:
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    counted = [value.numel() for name, value in checkpoint.state.items() if not name.endswith(statistics)]
    return f"{sum(counted) / 1e6:.1f}"
