"""Variants times seeds on one pair: plan the runs of a study, run what is missing, gather the scores."""

import json
import re
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

from rich.console import Console

from segue.engine.experiment import differences, load
from segue.engine.settings import Experiment


@dataclass(frozen=True)
class Job:
    """One run of a study.

    Attributes:
        needs: The folders of runs that have to be finished first.
    """

    label: str
    folder: Path
    experiment: Experiment
    needs: tuple[Path, ...] = ()


@dataclass
class Outcome:
    """What became of a variant.

    Attributes:
        scores: Mean IoU on the target by seed, in [0, 1].
        failed: Error messages by seed.
    """

    scores: dict[int, float] = field(default_factory=dict[int, float])
    failed: dict[int, str] = field(default_factory=dict[int, str])

    @property
    def mean(self) -> float | None:
        """The mean over the seeds that were scored."""
        return statistics.fmean(self.scores.values()) if self.scores else None

    @property
    def spread(self) -> float | None:
        """The standard deviation over those seeds; None for fewer than two."""
        return statistics.stdev(self.scores.values()) if len(self.scores) > 1 else None


def run_folder(folder: Path, label: str, seed: int) -> Path:
    """The folder of a variant's run of one seed, in the folder of its study."""
    return folder / re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_") / f"seed{seed}"


def plan_jobs(
    experiments: Mapping[str, Sequence[Experiment]],
    folder: Path,
    needs: Mapping[str, Sequence[str]] | None = None,
) -> list[Job]:
    """The runs of a study, the same experiment once.

    Args:
        experiments: By label, one for each seed.
        folder: The study's folder; a run lies in LABEL/seedN of it.
        needs: By label, the labels whose runs of the same seed have to be finished first.

    Raises:
        ValueError: If a run's folder holds another experiment, or two labels would share one.
    """
    jobs: list[Job] = []
    folders: dict[str, str] = {}
    for label, wanted in experiments.items():
        name = run_folder(folder, label, 0).parent.name
        if folders.setdefault(name, label) != label:
            raise ValueError(
                f"variants {folders[name]!r} and {label!r} would share the folder {folder / name}"
            )
        first = (needs or {}).get(label, ())
        jobs += [
            Job(
                label,
                run_folder(folder, label, one.seed),
                one,
                tuple(run_folder(folder, other, one.seed) for other in first),
            )
            for one in wanted
        ]
    for job in jobs:
        path = job.folder / "experiment.yaml"
        changed = differences(load(path), job.experiment) if path.is_file() else []
        if changed:
            raise ValueError(
                f"{job.folder} holds a run with other settings ({', '.join(changed[:3])}): choose another --out"
            )
    return jobs


def run(jobs: Sequence[Job], *, workers: int, console: Console, cpu: bool = False) -> dict[str, Outcome]:
    """Run what is not finished yet, and gather all scores, by label.

    An interrupted run continues where it stopped. A variant that fails is reported and does not stop the others.

    Args:
        workers: Runs at once, each in a process of its own, with one thread if there are several.
    """
    outcomes = {job.label: Outcome() for job in jobs}
    waiting: list[Job] = []
    for job in jobs:
        score = finished_score(job)
        if score is None:
            waiting.append(job)
        else:
            outcomes[job.label].scores[job.experiment.seed] = score
    if len(waiting) < len(jobs):
        console.print(f"{len(jobs) - len(waiting)} of {len(jobs)} runs were finished before", highlight=False)
    began = time.monotonic()
    results = (result for wave in _waves(waiting) for result in _results(wave, workers, cpu))
    for done, (job, score, failure) in enumerate(results, start=1):
        seed = job.experiment.seed
        if score is None:
            outcomes[job.label].failed[seed] = failure
        else:
            outcomes[job.label].scores[seed] = score
        left = (time.monotonic() - began) / done * (len(waiting) - done)
        said = f"{100 * score:.1f}" if score is not None else f"failed: {failure}"
        console.print(f"{job.label}, seed {seed}: {said}   about {left / 60:.0f} min left", highlight=False)
    return outcomes


def finished_score(job: Job) -> float | None:
    """The score of a run that is complete; None if there is none yet."""
    path = job.folder / "scores.json"
    try:
        return float(json.loads(path.read_text(encoding="utf-8"))["mean_iou"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def train_alone(
    experiment: Experiment, folder: Path, *, threads: int | None, cpu: bool = True, quiet: bool = True
) -> float:
    """Train one run in this process; return its mean IoU on the target.

    Args:
        threads: Threads for tensor arithmetic; None keeps torch's choice.
        quiet: Print nothing; otherwise plain lines, as for a file.

    Raises:
        ValueError: If the pair has no labelled target pictures to score on.
    """
    import torch

    from segue.engine.stages import train
    from segue.memory import keep_memory

    keep_memory()
    if threads is not None:
        torch.set_num_threads(threads)
    scores = train(experiment, folder, console=Console(quiet=quiet, force_terminal=False), cpu=cpu)
    if scores is None:
        raise ValueError(
            f"{experiment.data.pair}: no labelled target pictures, so there is nothing to compare"
        )
    return scores["mean_iou"]


def _waves(jobs: Sequence[Job]) -> Iterator[list[Job]]:
    """Jobs in groups, each of which needs only runs of earlier ones."""
    left = list(jobs)
    while left:
        unfinished = {job.folder for job in left}
        wave = [job for job in left if not unfinished.intersection(job.needs)] or left
        yield wave
        left = [job for job in left if job not in wave]


def _results(jobs: Sequence[Job], workers: int, cpu: bool) -> Iterator[tuple[Job, float | None, str]]:
    """Each job as it ends, with its score or with what went wrong."""
    if not jobs:
        return
    threads = 1 if workers > 1 else None
    with ProcessPoolExecutor(max_workers=workers, mp_context=get_context("spawn")) as pool:
        running: dict[Future[float], Job] = {
            pool.submit(train_alone, job.experiment, job.folder, threads=threads, cpu=cpu): job
            for job in jobs
        }
        try:
            for future in as_completed(running):
                job, error = running[future], future.exception()
                yield job, (None if error else future.result()), " ".join(str(error).split())
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
