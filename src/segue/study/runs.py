"""The runs of a study: which are missing, in what order they are trained, and several at once."""

import os
import re
import signal
import statistics
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import cast

from rich.console import Console

from segue.engine.experiment import differences, load
from segue.engine.log import seconds_trained
from segue.engine.settings import Experiment
from segue.engine.stopping import PATIENCE, ended_by_sigterm
from segue.scores import Scores
from segue.study.record import score_of


@dataclass(frozen=True, eq=False)
class Job:
    """One run of a study; ``needs`` are the folders of the runs that have to be finished before it."""

    label: str
    folder: Path
    experiment: Experiment
    needs: tuple[Path, ...] = ()

    @property
    def is_finished(self) -> bool:
        """Whether it has a score."""
        return score_of(self.folder) is not None

    def __str__(self) -> str:
        return f"{self.label}, seed {self.experiment.seed}"


def run_folder(folder: Path, label: str, seed: int) -> Path:
    """The folder of a variant's run with one seed, in the study's folder.

    Raises:
        ValueError: If the label has no letter or digit that a folder's name could be made of.
    """
    name = re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_")
    if not name:
        raise ValueError(f"row {label!r}: give it a name with letters a to z or digits, for its folder")
    return folder / name / f"seed{seed}"


def plan_jobs(
    experiments: Mapping[str, Sequence[Experiment]],
    folder: Path,
    needs: Mapping[str, Sequence[str]] | None = None,
) -> list[Job]:
    """The runs of a study, seed by seed, so that all variants have a score early.

    Args:
        experiments: By label, one for each seed.
        needs: By label, the labels whose runs with the same seed have to be finished before.

    Raises:
        ValueError: If a run's folder holds another experiment, or two labels would share one.
    """
    folders: dict[str, str] = {}
    for label in experiments:
        name = run_folder(folder, label, 0).parent.name
        if folders.setdefault(name, label) != label:
            raise ValueError(
                f"variants {folders[name]!r} and {label!r} would share the folder {folder / name}"
            )
    seeds = zip(*experiments.values(), strict=True)
    jobs = [
        Job(
            label,
            run_folder(folder, label, one.seed),
            one,
            tuple(run_folder(folder, other, one.seed) for other in (needs or {}).get(label, ())),
        )
        for of_one_seed in seeds
        for label, one in zip(experiments, of_one_seed, strict=True)
    ]
    for job in jobs:
        path = job.folder / "experiment.yaml"
        changed = differences(load(path), job.experiment) if path.is_file() else []
        if changed:
            raise ValueError(
                f"{job.folder} holds a run with other settings ({', '.join(changed[:3])}): choose another --out"
            )
    return jobs


def run(jobs: Sequence[Job], *, workers: int, console: Console, cpu: bool = False) -> dict[Path, str]:
    """Train the runs that are not finished; an interrupted run goes on where it stopped.

    A run that fails, or whose process dies, is reported, and only the runs that need it are left out.

    Args:
        workers: The number of runs at a time, each in a process of its own and, without a GPU, on cores of its own.
        console: Finished runs are reported there, with an estimate of the time left.

    Returns:
        The errors, by run folder.
    """
    waiting = [job for job in jobs if not job.is_finished]
    if len(waiting) < len(jobs):
        console.print(f"{len(jobs) - len(waiting)} of {len(jobs)} runs were finished before", highlight=False)
    failures: dict[Path, str] = {}
    began, left = time.monotonic(), list(waiting)
    with ended_by_sigterm():
        for job, said, failed in _results(waiting, workers, cpu):
            left.remove(job)
            if failed:
                failures[job.folder] = said
            done = [one for one in waiting if one not in left and one.folder not in failures]
            hours = _time_left(left, done, time.monotonic() - began)
            said = f"failed: {said}" if failed else said
            console.print(f"{job}: {said}{hours}", highlight=False)
    return failures


def train_alone(
    experiment: Experiment, folder: Path, *, threads: int | None, cpu: bool = True, quiet: bool = True
) -> float:
    """Train one run in this process and return its score on the target: mean IoU, or the accuracy of whole pictures.

    Args:
        threads: The number of torch's threads; None leaves it as it is.

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
    return Scores.from_json(scores, folder).headline


def _time_left(left: Sequence[Job], done: Sequence[Job], seconds: float) -> str:
    """An estimate from the times of the same variant's runs, or else from the mean time of a step."""
    trained = {job: took for job in done if (took := seconds_trained(job.folder))}
    if not left or not trained:
        return ""
    a_step = sum(trained.values()) / sum(job.experiment.steps for job in trained)
    expected = 0.0
    for job in left:
        alike = [took for other, took in trained.items() if other.label == job.label]
        expected += statistics.fmean(alike) if alike else a_step * job.experiment.steps
    # From seconds of training to elapsed time: several runs share it, and it includes starting and scoring.
    minutes = expected * seconds / sum(trained.values()) / 60
    return f"   about {minutes:.0f} min left" if minutes < 90 else f"   about {minutes / 60:.1f} h left"


def _results(jobs: Sequence[Job], workers: int, cpu: bool) -> Iterator[tuple[Job, str, bool]]:
    """Each job as it ends, with its score or its error in words, and whether it failed."""
    waiting, free = list(jobs), list(range(workers))
    running: dict[int, _Worker] = {}
    failed: set[Path] = set()
    try:
        while waiting or running:
            unfinished = {job.folder for job in [*waiting, *(worker.job for worker in running.values())]}
            ready = [job for job in waiting if not (unfinished | failed).intersection(job.needs)]
            for job in ready[: len(free)]:
                waiting.remove(job)
                worker = _Worker(job, cpu, free.pop(0), workers)
                running[worker.process.sentinel] = worker
            if running:
                ended = [running.pop(cast(int, sentinel)) for sentinel in wait(list(running))]
                free += [worker.place for worker in ended]
                results = [(worker.job, *worker.result()) for worker in ended]
            else:
                results = [(job, "a run that it starts from has failed", True) for job in waiting]
                waiting = []
            failed |= {job.folder for job, _, is_failure in results if is_failure}
            yield from results
    finally:
        # Each saves what it has. Until then this process must live: its end would be a second wish to stop, which
        # waits for nothing.
        for worker in running.values():
            worker.process.terminate()
        for worker in running.values():
            worker.process.join(PATIENCE + 10)


class _Worker:
    """A process that trains one job, and ends when this process ends, in whatever way."""

    def __init__(self, job: Job, cpu: bool, place: int, places: int) -> None:
        self.job, self.place = job, place
        context = get_context("spawn")
        self.answer, say = context.Pipe(duplex=False)
        parent_lives, self.alive = context.Pipe(duplex=False)
        arguments = (job, cpu, place, places, say, parent_lives)
        self.process: SpawnProcess = context.Process(target=_work, args=arguments)
        self.process.start()
        # The child now holds these ends; once ours are closed, each side notices when the other is gone.
        say.close()
        parent_lives.close()

    def result(self) -> tuple[str, bool]:
        """The message of the ended process, and whether it failed."""
        self.process.join()
        try:
            if self.answer.poll():
                return self.answer.recv()
        except EOFError:
            pass
        code = self.process.exitcode
        how = f"signal {-code}" if code is not None and code < 0 else f"exit status {code}"
        return f"its process died ({how}); was there enough memory?", True


def _work(job: Job, cpu: bool, place: int, places: int, say: Connection, parent_lives: Connection) -> None:
    if hasattr(os, "setsid"):
        os.setsid()  # Ctrl-C reaches the study alone, which asks once: a second wish to stop would not wait for a save
    threading.Thread(target=_end_with, args=(parent_lives,), daemon=True).start()
    threads = _settle(place, places, cpu)
    try:
        score = train_alone(job.experiment, job.folder, threads=threads, cpu=cpu)
        say.send((f"{100 * score:.1f}", False))
    except Exception as error:  # any error: the other runs go on, and the user reads it in one line
        say.send((" ".join(str(error).split()) or type(error).__name__, True))


def _end_with(parent_lives: Connection) -> None:
    try:
        parent_lives.recv()
    except EOFError:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(PATIENCE + 10)
        os._exit(1)


def _settle(place: int, places: int, cpu: bool) -> int | None:
    """Take this place's share of the GPUs or cores, and return the number of threads to use there.

    They are no more than the user allows (OMP_NUM_THREADS): two programs with a thread for every core wait busily for
    each other, at a tenth of their speed.
    """
    import torch

    if not cpu and torch.cuda.is_available():
        torch.cuda.set_device(place % torch.cuda.device_count())
        return None
    if not hasattr(os, "sched_setaffinity"):
        return min(torch.get_num_threads(), max(1, (os.cpu_count() or 1) // places))
    cores = sorted(os.sched_getaffinity(0))
    own = cores[place::places] or [cores[place % len(cores)]]
    os.sched_setaffinity(0, own)
    return min(torch.get_num_threads(), len(own))
