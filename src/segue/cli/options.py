"""Arguments and options that several verbs share."""

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from segue.protocol import Mode

ModelPath: TypeAlias = Annotated[
    Path, typer.Argument(help="A run folder or a model folder.", metavar="MODEL")
]
Device: TypeAlias = Annotated[
    str | None, typer.Option(help="cpu, cuda, cuda:1, mps; by default a GPU if there is one.")
]
ModeChoice: TypeAlias = Annotated[
    Mode | None,
    typer.Option(
        help="Predict in one pass, by windows of the training size, or by what each picture's size needs."
    ),
]
Flip: TypeAlias = Annotated[
    bool | None, typer.Option("--flip/--no-flip", help="Average with the prediction on the mirror image.")
]
Scales: TypeAlias = Annotated[
    str | None, typer.Option(help="Average predictions at these scales, as in 0.75,1,1.25.")
]
ClassMap: TypeAlias = Annotated[
    Path | None,
    typer.Option("--map", help="YAML file that maps the labels' classes to the model's, or to ignore."),
]


def parse_scales(text: str | None) -> tuple[float, ...] | None:
    """``"0.75,1,1.25"`` as numbers; None for None, a ValueError if one is not a number."""
    try:
        return None if text is None else tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(
            f"--scales {text!r}: write factors with commas in between, as in 0.75,1,1.25"
        ) from None
