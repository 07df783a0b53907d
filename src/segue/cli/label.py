"""``segue label``: offline labels of a folder of pictures, one PNG for each."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from segue.cli.options import Device, ModelPath
from segue.cli.together import together


def label(
    model: ModelPath,
    pictures: Annotated[
        Path, typer.Argument(help="A folder of pictures, or tar archives.", metavar="FOLDER")
    ],
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
    from segue.data.folder_files import find_pictures
    from segue.memory import keep_memory
    from segue.ranks import processes

    keep_memory()
    part = None if shard is None else _part(shard)
    if portion is not None and threshold > 0:
        raise ValueError("--threshold and --portion exclude each other")
    with together(device) as own:
        if part is not None and processes() > 1:
            raise ValueError(
                f"--shard {shard}: under torchrun each process takes a part by itself; leave it out"
            )
        files = find_pictures(pictures, out)
        made = {
            "pictures": str(pictures.absolute()),
            "threshold": threshold,
            "portion": portion,
            "soft": soft,
        }
        _label(model, files, out, made=made, part=part, device=own)


def _label(
    model: Path,
    files: Mapping[str, Path],
    out: Path,
    *,
    made: dict[str, Any],
    part: tuple[int, int] | None,
    device: str | None,
) -> None:
    """Label this process's part of the pictures; the first process looks over the whole and says what was done."""
    from segue.data.picture import read_image
    from segue.evaluation.labelling import class_balanced, confidences, label_pictures, most_probable
    from segue.evaluation.model import TrainedModel
    from segue.models.weights import weights_digest
    from segue.ranks import is_first_rank, of_all_ranks, processes, rank

    trained, rule = TrainedModel.load(model, device), most_probable(made["threshold"])
    if made["portion"] is not None:
        rule = class_balanced(confidences(trained, files, read=read_image).thresholds(made["portion"]))
    made = {"model": str(model.absolute()), "weights": weights_digest(model), **made}

    def label(share: tuple[int, int]) -> int:
        return label_pictures(
            trained, files, out, rule=rule, read=read_image, soft=made["soft"], share=share, made=made
        )

    labelled = sum(of_all_ranks(label(part or (rank(), processes()))))
    if not is_first_rank():
        return
    if processes() > 1:
        label((0, 1))  # as no process has seen more than its part
    console = Console(soft_wrap=True)
    console.print(f"{labelled} pictures labelled now, of {len(files)}: {out}/index", highlight=False)
    if not (out / "statistics.json").is_file():
        console.print("other parts are still missing; the last one writes statistics.json", highlight=False)


def _part(shard: str) -> tuple[int, int]:
    try:
        number, shares = (int(part) for part in shard.split("/"))
    except ValueError:
        raise ValueError(f"--shard {shard!r}: write it as 0/4") from None
    if not 0 <= number < shares:
        raise ValueError(
            f"--shard {shard}: parts count from 0, so the last of {shares} is {shares - 1}/{shares}"
        )
    return number, shares
