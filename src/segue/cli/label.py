"""``segue label``: offline labels of a folder of pictures, one PNG for each."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from segue.cli.options import Device, ModelPath


def label(
    model: ModelPath,
    pictures: Annotated[Path, typer.Argument(help="A folder of pictures.", metavar="FOLDER")],
    out: Annotated[Path, typer.Option(help="Folder of labels; those already there are kept.")],
    threshold: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Leave pixels below this confidence unlabelled.")
    ] = 0.0,
    portion: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Instead of --threshold: label the surest pixels, this share of every class (CBST).",
        ),
    ] = None,
    soft: Annotated[
        bool, typer.Option("--soft", help="Also store the probabilities of all classes.")
    ] = False,
    shard: Annotated[
        str | None,
        typer.Option(
            help="Label one part only: 0/4 is the first of four. Under torchrun each process takes one."
        ),
    ] = None,
    device: Device = None,
) -> None:
    """Let a model label a folder of pictures; repeat an interrupted command and it goes on."""
    from segue.cli.progress import counting
    from segue.data.folder_files import find_pictures
    from segue.data.picture import read_image
    from segue.evaluation.labelling import class_balanced, confidences, label_pictures, most_probable
    from segue.evaluation.model import TrainedModel, choose_device
    from segue.memory import keep_memory
    from segue.models.weights import weights_digest
    from segue.ops.balance import class_thresholds
    from segue.ranks import launched

    keep_memory()
    share = _share(shard)
    if device is None and choose_device(None).type == "cuda":
        device = f"cuda:{launched()[2]}"
    if portion is not None and threshold > 0:
        raise ValueError("--threshold and --portion exclude each other")
    files = find_pictures(pictures, out)
    trained, rule = TrainedModel.load(model, device), most_probable(threshold)
    if portion is not None:
        with counting("looking for thresholds", len(files)) as watch:
            sure, _ = confidences(trained, files, read=read_image, watch=watch)
            rule = class_balanced(class_thresholds(sure, portion))
    made = {
        "model": str(model.absolute()), "weights": weights_digest(model), "pictures": str(pictures.absolute()),
        "threshold": threshold, "portion": portion, "soft": soft,
    }  # fmt: skip
    with counting("labelling", len(files)) as watch:
        labelled = label_pictures(
            trained, files, out, rule=rule, read=read_image, soft=soft, share=share, made=made, watch=watch
        )
    console = Console(soft_wrap=True)
    console.print(f"{labelled} pictures labelled now, of {len(files)}: {out}/index", highlight=False)
    if not (out / "statistics.json").is_file():
        console.print("other parts are still missing; the last one writes statistics.json", highlight=False)


def _share(shard: str | None) -> tuple[int, int]:
    if shard is None:
        from segue.ranks import launched

        return launched()[:2]
    try:
        number, shares = (int(part) for part in shard.split("/"))
    except ValueError:
        raise ValueError(f"--shard {shard!r}: write it as 0/4") from None
    if not 0 <= number < shares:
        raise ValueError(
            f"--shard {shard}: parts count from 0, so the last of {shares} is {shares - 1}/{shares}"
        )
    return number, shares
