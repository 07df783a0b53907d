"""Plots of a network's layers as PNG: the worth of each, and how alike those of two networks are."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axis import Axis
from matplotlib.figure import Figure

from segue.files import write_bytes

BLUE, GREY, INK = "#2a6fb0", "#b8bec6", "#30343a"


def draw_saliency(
    path: Path,
    losses: Mapping[str, float],
    *,
    non_salient: Sequence[str],
    stages: Sequence[Sequence[str]],
    title: str,
) -> None:
    """Draw a bar for each layer, grey for those that the network can do without, into a PNG.

    Args:
        losses: Points of mean IoU lost without a layer, by its name.
        non_salient: Names of the layers drawn in grey.
        stages: The names of each stage; a line separates it from the next.
    """
    figure = Figure(figsize=(max(6.0, 0.22 * len(losses) + 2), 3.4), layout="constrained")
    axes = figure.subplots()
    colours = [GREY if name in non_salient else BLUE for name in losses]
    axes.bar(range(len(losses)), list(losses.values()), color=colours, width=0.8)
    axes.axhline(0, color=INK, linewidth=0.6)
    start = 0
    for number, stage in enumerate(stages, start=1):
        if start:
            axes.axvline(start - 0.5, color=GREY, linewidth=0.8)
        axes.text(
            start + (len(stage) - 1) / 2, 1.0, f"stage {number}", ha="center", va="bottom", fontsize=8,
            color=INK, transform=axes.get_xaxis_transform(),
        )  # fmt: skip
        start += len(stage)
    _name_layers(axes.xaxis, list(losses), most=26)
    axes.set_ylabel("points of mean IoU lost without it")
    axes.set_xlabel("block (stage.number); grey: non-salient")
    axes.set_title(title, fontsize=10, loc="left", pad=18)
    axes.spines[["top", "right"]].set_visible(False)
    _write(figure, path)


def draw_alignment(
    path: Path,
    values: Sequence[Sequence[float]],
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    names: tuple[str, str],
) -> None:
    """Draw a heat map of how alike the layers of two networks are, from 0 to 1.

    ``values`` has a row for each layer of the first network, a column for each of the second.
    """
    size = (min(12.0, 3.5 + 0.16 * len(columns)), min(12.0, 2.5 + 0.16 * len(rows)))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    drawn = axes.imshow(values, vmin=0, vmax=1, cmap="magma", aspect="auto", origin="lower")
    for axis, layers, name in ((axes.yaxis, rows, names[0]), (axes.xaxis, columns, names[1])):
        _name_layers(axis, layers, most=20)
        axis.set_label_text(name)
    figure.colorbar(drawn, label="linear CKA")
    _write(figure, path)


def _name_layers(axis: Axis, layers: Sequence[str], *, most: int) -> None:
    """Name every n-th layer, so that there are about ``most`` names."""
    places = list(range(0, len(layers), max(1, len(layers) // most)))
    axis.set_ticks(places, [layers[place].removeprefix("block") for place in places], fontsize=7)


def _write(figure: Figure, path: Path) -> None:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=150)
    write_bytes(path, content.getvalue())
