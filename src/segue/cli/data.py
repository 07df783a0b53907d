"""``segue data``: work on data sets that needs no model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from segue.data.stand_ins import SampleSet

data = typer.Typer(no_args_is_help=True)


@data.callback()
def options() -> None:
    """Make sample data sets to try recipes on."""


@data.command()
def make_sample(
    name: Annotated[
        str, typer.Argument(help="A data set (gta5, cityscapes, ...) or a built-in pair of data sets.")
    ],
    folder: Annotated[Path, typer.Argument(help="A new or empty folder.", metavar="DIR")],
    pictures: Annotated[int, typer.Option(min=1, help="Pictures in each split.")] = 4,
    size: Annotated[
        str | None, typer.Option(help="HEIGHTxWIDTH; by default an eighth of the data set's sides.")
    ] = None,
) -> None:
    """Write a tiny stand-in for a data set: street scenes in its folders, with its file names and label ids."""
    from segue.classes import nearest
    from segue.data.published_layouts import LAYOUTS
    from segue.data.stand_ins import write_sample
    from segue.recipes.pairs import PAIRS

    if name in LAYOUTS:
        sets = [_alone(name)]
    elif name in PAIRS and _of_pair(PAIRS[name]):
        sets = _of_pair(PAIRS[name])
    else:
        known = [*LAYOUTS, *(pair for pair in PAIRS if _of_pair(PAIRS[pair]))]
        raise ValueError(f"unknown data set or pair {name!r}{nearest(name, known)}")
    write_sample(folder, sets, pictures=pictures, size=None if size is None else _parsed(size))
    if name in PAIRS:
        typer.echo(f"{folder}: now segue train RECIPE --pair {name} --set data.root={folder}")
    else:
        typer.echo(f"{folder}: {name}, {pictures} pictures in each split")


def _alone(name: str) -> "SampleSet":
    """A data set with all of its splits; a part of a split, such as one weather's, is contained in it."""
    from segue.data.published_layouts import LAYOUTS
    from segue.data.stand_ins import SampleSet

    splits = tuple(split for split in LAYOUTS[name].splits if "/" not in split)
    return SampleSet(name, "", splits, "source" if name in {"gta5", "synthia"} else "target")


def _of_pair(pair: dict[str, Any]) -> "list[SampleSet]":
    """The data sets of a pair, each with the splits that it uses."""
    from segue.data.published_layouts import LAYOUTS
    from segue.data.stand_ins import SampleSet

    sets: dict[str, SampleSet] = {}
    for role in ("source", "target", "evaluation"):
        domain = pair["data"][role]
        if domain["dataset"] not in LAYOUTS:
            return []
        folder, split = domain["root"], domain.get("split")
        splits = (*sets[folder].splits, split) if folder in sets else (split,) if split else ()
        look = "source" if role == "source" else "target"
        sets[folder] = SampleSet(domain["dataset"], folder, splits, look)
    return list(sets.values())


def _parsed(size: str) -> tuple[int, int]:
    height, separator, width = size.partition("x")
    if not (separator and height.isdecimal() and width.isdecimal()):
        raise ValueError(f"--size {size!r}: write it as HEIGHTxWIDTH, as in 128x256")
    return int(height), int(width)
