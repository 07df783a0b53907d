"""What processes that train together send one another in a step, counted; what that costs on more of them, modelled.

    python benchmarks/scale.py --recipe daformer --encoder mit_b5

Two processes of this machine train a few steps of street scenes. Every message is counted by torch's profiler; two
runs of different lengths tell what a step sends from what the start sends. Sizes depend on the network alone, not on
pictures.

The model: an all-reduce of b bytes among n processes sends 2 (n - 1) / n b over the slowest link, an all-gather
(n - 1) b, and each message waits 2 (n - 1) times for the link's latency. Nothing is assumed to be hidden behind
computing, although gradients are reduced while the last view's backward is still running: it is an upper bound.
"""

import argparse
import json
import math
import os
import socket
import sys
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch.multiprocessing as mp
from rich.console import Console
from rich.table import Table

from segue.machine import describe

FEW, MORE = 2, 6
"""Steps of the two runs."""

RANKS = (2, 4, 8, 16, 32, 64)

LINKS = {
    "10 Gbit/s Ethernet": (1.25e9, 50e-6),
    "100 Gbit/s Ethernet": (12.5e9, 20e-6),
    "400 Gbit/s InfiniBand": (50e9, 5e-6),
}
"""Bytes a second and seconds of latency: assumed, not measured."""

SENT = ("gloo:all_reduce", "gloo:all_gather", "gloo:broadcast", "gloo:barrier")

Traffic = dict[str, dict[str, int]]
"""By kind of message: how many "calls" and "bytes"."""


def main() -> None:
    """Count, model, print, and write the JSON file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recipe", default="daformer")
    parser.add_argument("--encoder", default="mit_b5")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as for segue train")
    parser.add_argument("--out", type=Path, default=None, help="a JSON file")
    options = parser.parse_args()
    few, more = (counted(options.recipe, options.encoder, options.set, steps) for steps in (FEW, MORE))
    step = each_step(few, more)
    start = {kind: {key: max(0, few[kind][key] - FEW * step[kind][key]) for key in few[kind]} for kind in few}
    record = {
        "command": f"python benchmarks/{Path(sys.argv[0]).name} {' '.join(sys.argv[1:])}".strip(),
        "machine": describe(),
        "recipe": options.recipe,
        "encoder": options.encoder,
        "step": step,
        "start": start,
        "modelled_seconds_a_step": {
            link: {str(n): round(seconds(step, n, *speed), 5) for n in RANKS} for link, speed in LINKS.items()
        },
    }
    show(record)
    if options.out is not None:
        options.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def each_step(few: Traffic, more: Traffic) -> Traffic:
    """What one step sends: the difference of two runs, divided by that of their lengths.

    Below zero would be noise: names and texts differ in length, and the first step divides gradients otherwise.
    """
    return {
        kind: {key: max(0, round((more[kind][key] - few[kind][key]) / (MORE - FEW))) for key in few[kind]}
        for kind in SENT
    }


def seconds(step: Traffic, ranks: int, bandwidth: float, latency: float) -> float:
    """How long so many processes wait for the messages of a step, if nothing is hidden behind computing."""
    ring = 2 * (ranks - 1) / ranks
    sent = {"gloo:all_reduce": ring, "gloo:all_gather": ranks - 1, "gloo:broadcast": 1, "gloo:barrier": 0}
    transfer = sum(sent[kind] * one["bytes"] for kind, one in step.items()) / bandwidth
    return transfer + sum(one["calls"] for one in step.values()) * 2 * (ranks - 1) * latency


def counted(recipe: str, encoder: str, settings: list[str], steps: int) -> Traffic:
    """What the first of two processes sends in a run of so many steps."""
    with TemporaryDirectory() as folder, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        mp.spawn(_train, (port, recipe, encoder, settings, steps, folder), nprocs=2)
        return json.loads(Path(folder, "traffic.json").read_text(encoding="utf-8"))


def _train(
    rank: int, port: int, recipe: str, encoder: str, settings: list[str], steps: int, folder: str
) -> None:
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "ACCELERATE_USE_CPU": "true"}
    from torch.profiler import ProfilerActivity, profile

    import segue
    from segue.engine.experiment import parse_assignments
    from segue.trees import flatten

    small = {
        "network.encoder": encoder,
        "data.batch": 1,
        "data.crop": [64, 64],
        "data.workers": 0,
        "data.source.pictures": 4,
        "data.target.pictures": 4,
        "data.source_evaluation.pictures": 1,
        "data.evaluation.pictures": 1,
        "evidence.pictures": 0,
        "run.draw_every": 0,
        "run.log_every": 1000,
        "run.save_every": 1000,
    }
    wanted = small | flatten(parse_assignments(settings))
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as seen:
        segue.train(
            recipe, pair="street_scenes", out=Path(folder, "run"), steps=steps, cpu=True, settings=wanted
        )
    if rank == 0:
        calls: Counter[str] = Counter()
        sizes: Counter[str] = Counter()
        for event in seen.events() or []:
            if event.name in SENT:
                calls[event.name] += 1
                sizes[event.name] += sum(4 * math.prod(shape) for shape in event.input_shapes if shape)
        traffic = {kind: {"calls": calls[kind], "bytes": sizes[kind]} for kind in SENT}
        Path(folder, "traffic.json").write_text(json.dumps(traffic), encoding="utf-8")


def show(record: dict[str, Any]) -> None:
    """Print what was counted and modelled."""
    console = Console()
    console.print(f"{record['recipe']}, {record['encoder']}: what a process sends", highlight=False)
    sent = Table("message", "calls a step", "MB a step", "calls at start", "MB at start")
    for kind in SENT:
        step, start = record["step"][kind], record["start"][kind]
        sizes = [f"{one['bytes'] / 1e6:.2f}" for one in (step, start)]
        sent.add_row(kind.partition(":")[2], str(step["calls"]), sizes[0], str(start["calls"]), sizes[1])
    console.print(sent)
    modelled = Table("modelled: ms a step", *map(str, RANKS))
    for link, waits in record["modelled_seconds_a_step"].items():
        modelled.add_row(link, *(f"{1000 * waits[str(n)]:.0f}" for n in RANKS))
    console.print(modelled)


if __name__ == "__main__":
    main()
