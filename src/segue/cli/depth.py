"""``segue depth``: how far things are, from left and right pictures of a stereo camera."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def depth(
    left: Annotated[
        Path,
        typer.Argument(
            help="Left pictures (Cityscapes' leftImg8bit/SPLIT); without RIGHT, its files of disparity/SPLIT."
        ),
    ],
    right: Annotated[Path | None, typer.Argument(help="Right pictures of the same names.")] = None,
    *,
    out: Annotated[Path, typer.Option(help="Folder of 16-bit depth files; those already there are kept.")],
    camera: Annotated[
        Path | None, typer.Option(help="Cityscapes' camera/SPLIT, or one of its files for all pictures.")
    ] = None,
    focal: Annotated[float | None, typer.Option(help="Focal length in pixels of these pictures.")] = None,
    baseline: Annotated[float | None, typer.Option(help="Metres between both cameras.")] = None,
    largest: Annotated[
        int,
        typer.Option(min=16, max=1024, help="Largest disparity in pixels: how near things are still seen."),
    ] = 128,
) -> None:
    """Measure depth for recipes that learn it (corda); repeat an interrupted command and it goes on.

    Files hold centimetres, 0 where unknown: data.target.depth.folder=DIR reads them.
    """
    from segue.cli.progress import counting
    from segue.data.folder_files import find_files
    from segue.data.stereo import Cameras, measure_depth

    number = len(find_files(left)) if left.is_dir() else 0
    with counting("measuring depth", number) as watch:
        told = measure_depth(
            left, right, out, cameras=Cameras(camera, focal, baseline), largest=largest, watch=watch
        )
    seen = "" if told["known"] is None else f", {told['known']:.0%} of their pixels known"
    Console(soft_wrap=True).print(
        f"{told['written']} depths written now, of {told['pictures']}{seen}: {out}",
        highlight=False,
        markup=False,
    )
