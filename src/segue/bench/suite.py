"""All benchmarks as one suite: what belongs to it, what is aimed at, and one record of all, with the machine."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

from segue.bench.measure import Benchmark, machine_facts
from segue.bench.noise import NOISY_OTHERS, NOISY_PEER, others
from segue.clock import now

SUITE: Sequence[tuple[str, str]] = (
    ("startup", "daformer"), ("loader", "daformer"), ("encoder", "daformer"), ("head", "daformer"),
    ("attention", "daformer"), ("step", "daformer"), ("step", "mic"), ("memory", "daformer"),
    ("memory", "mic"), ("fuse", "daformer"), ("predict", "daformer"),
)  # fmt: skip
"""Families with the recipe that each is measured for; on two quiet cores all of them take less than 15 minutes."""

GOALS = {
    "mit_b0_train_fp32": 0.75, "mit_b0_train_bf16": 0.5, "mit_b5_train_fp32": 0.65,
    "head_mit_b0_train": 0.65, "head_mit_b0_train_bf16": 0.36,
    "daformer_mit_b0_step": 0.65, "daformer_mit_b0_peak_memory": 0.6,
    "mic_mit_b0_step": 0.65, "mic_mit_b0_peak_memory": 0.6,
    "predict_mit_b0_1024x512_files": 1 / 1.5, "predict_mit_b0_2048x1024_whole": 0.4,
    "predict_mit_b0_2048x1024_whole_bf16": 0.4,
    "loader": 1 / 0.9,
}  # fmt: skip
"""The highest ratio that is aimed at, by row."""

Record = dict[str, Any]


def measured(rows: Callable[[], Sequence[Benchmark]]) -> Record:
    """The rows of a family with the machine, the seconds they took and how busy others were meanwhile."""
    began = now()
    with others() as seen:
        lines = [{**line, **aim(line)} for line in rows()]
    return {
        "machine": machine_facts(),
        "seconds": round(now() - began, 1),
        "others": seen.share,
        "rows": lines,
    }


def aim(row: Benchmark) -> Mapping[str, float]:
    """A row's goal, if there is one."""
    return {"goal": round(GOALS[row["name"]], 3)} if row["name"] in GOALS else {}


def apart(work: Callable[[str, str], Record], family: str, recipe: str) -> Record:
    """What a function of a module measures, in a fresh process; an error becomes its record."""
    try:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            return pool.submit(work, family, recipe).result()
    except Exception as error:  # the next family can still be measured
        return {"error": f"{type(error).__name__}: {error}"}


def noises(record: Record) -> list[str]:
    """Why numbers of a family may be off: others were busy, or the peer's own turns differ much."""
    found = list[str]()
    if (record.get("others") or 0) > NOISY_OTHERS:
        found.append(f"others used {100 * record['others']:.0f} % of the cores")
    rough = [row["name"] for row in record.get("rows", ()) if row.get("peer_range", 0) > NOISY_PEER]
    if rough:
        found.append(f"the peer's turns differ by more than {100 * NOISY_PEER:.0f} %: {', '.join(rough)}")
    return found


def joined(records: Sequence[Record]) -> Record:
    """One record of all families: the machine once, then each family's rows, seconds, noise, or error."""
    machine = next((record["machine"] for record in records if "machine" in record), machine_facts())
    parts = [{key: value for key, value in record.items() if key != "machine"} for record in records]
    return {"machine": machine, "families": [part | {"noise": noises(part)} for part in parts]}
