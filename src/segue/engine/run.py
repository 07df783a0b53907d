"""One training from settings to a run folder: open and check the data, build, train, save the model, score it."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs
from rich.console import Console

from segue.data.dataset import Dataset
from segue.engine import experiment as experiments
from segue.engine.batch_statistics import settle_statistics
from segue.engine.build import build_loader, build_method, build_student
from segue.engine.domains import open_domain, training_classes
from segue.engine.extension import extension, note_extension
from segue.engine.footprint import check_footprint
from segue.engine.glance import check_counted_classes, glance
from segue.engine.left_out import keep_left_out, require_same_left_out
from segue.engine.loop import Trainer, seed_step
from segue.engine.model_card import card_of, model_card
from segue.engine.run_scores import score_run
from segue.engine.settings import Experiment
from segue.engine.trackers import tracked, tracking
from segue.engine.view_painter import ViewPainter
from segue.engine.witness import Witness, trained_on
from segue.methods.context import Preparation
from segue.methods.method import Method
from segue.models.build import normalisation
from segue.models.weights import save_model
from segue.precision import settle_training
from segue.ranks import is_first_rank, join, made_by_first_rank, wait_for_all

DISTRIBUTED = DistributedDataParallelKwargs(
    # Whether parameters may go unused is up to the method: the trainer says so.
    broadcast_buffers=False,  # the loop averages them instead
)

SHARDED = {"FSDP": "ACCELERATE_USE_FSDP", "DeepSpeed": "ACCELERATE_USE_DEEPSPEED"}
"""What splits a network over processes, and the variable by which Accelerate's launcher asks for it."""


def train(
    experiment: Experiment, folder: Path, *, console: Console, cpu: bool = False
) -> dict[str, Any] | None:
    """Train in a run folder, or resume there; ``cpu`` ignores accelerators.

    A folder with a checkpoint of the same experiment is resumed exactly where it stopped; a finished run is only
    scored again. Everything that can be wrong with the data is found before the folder is touched.

    Returns:
        What ``scores.json`` holds, or None if the pair has no labelled pictures to score on.

    Raises:
        ValueError: If settings, data, weights or a checkpoint are wrong, or the folder holds another experiment.
        OSError: If a file is missing or cannot be written.
    """
    here = experiments.settled(experiment, cpu=cpu)
    accelerator = _accelerator(here, folder, cpu=cpu, console=console)
    settle_training(here.run.float32, deterministic=here.run.deterministic)
    if not accelerator.is_main_process:
        console = Console(quiet=True)
    longer = _planned_before(folder, experiment) if accelerator.is_main_process else None
    reading = experiment.method.reading(experiment.recipe)
    source, target, few = _open(experiment, console)
    if is_first_rank():
        glance(experiment, target=target is not None, console=console)
        require_same_left_out(folder, target)

    check_footprint(here, accelerator.device, console=console)
    torch.manual_seed(experiment.seed)
    method = build_method(experiment, build_student(experiment))
    method.scored(experiment.evaluation.network)  # fails now, not after training, if there is no such network
    counted = folder / "class_statistics.json"
    loader = build_loader(
        experiment,
        source,
        target,
        few=few,
        statistics_cache=counted,
        device=accelerator.device,
        rank=accelerator.process_index,
        world=accelerator.num_processes,
        reading=reading,
    )
    if is_first_rank():
        check_counted_classes(experiment, source, counted, console)
    boxes = {"source": experiment.data.source.resize, "target": experiment.data.target.resize}
    method.prepare(Preparation(folder, source, target, boxes, accelerator.device))
    wait_for_all()  # who counts or measures keeps the others waiting longer than a step may
    trainer = Trainer(here, folder, method=method, accelerator=accelerator)
    witness = _witness(here, folder, method, accelerator, console)
    if accelerator.is_main_process:
        if longer is not None:
            note_extension(folder, longer, experiment.steps, console=console)
        keep_left_out(folder, target, console)
        experiments.save(experiment, folder / "experiment.yaml")
    if trainer.step:
        console.print(f"resuming at step {trainer.step} of {experiment.steps} in {folder}", markup=False)
    if trainer.step < experiment.steps:
        mean, std = normalisation(experiment.network.encoder)
        painter = ViewPainter(folder, classes=training_classes(experiment.data), mean=mean, std=std)
        with tracked(accelerator, here, folder):
            trainer.run(loader.steps, painter=painter, console=console, witness=witness)
    return _finish(here, folder, trainer, witness)


def _finish(
    experiment: Experiment, folder: Path, trainer: Trainer, witness: Witness | None
) -> dict[str, Any] | None:
    """Save what training leaves behind, and score it."""
    method, accelerator = trainer.method, trainer.accelerator
    card = model_card(experiment, step=trainer.step)
    statistics = settle_statistics(experiment, method, card, device=accelerator.device)
    card = replace(card, batch_statistics=statistics)
    if witness is not None and experiment.network.statistics == "target":
        witness.look(trainer.step)  # once more, as the network has other statistics now
    if accelerator.is_main_process:
        for name, trained in method.trained().items():
            save_model(folder / name, trained.network, card_of(trained, card))
    wait_for_all()  # from here on every process may read the model
    seed_step(experiment.seed, experiment.steps, accelerator.process_index)
    return score_run(experiment, folder, method, card, accelerator=accelerator)


def _witness(
    experiment: Experiment, folder: Path, method: Method, accelerator: Accelerator, console: Console
) -> Witness | None:
    if not accelerator.is_main_process or experiment.evidence.pictures == 0:
        return None
    witness = Witness(experiment, folder, method, accelerator.device)
    witness.announce(console)
    return witness


def _open(experiment: Experiment, console: Console) -> tuple[Dataset, Dataset | None, Dataset | None]:
    """The source, the target if the method learns from it, and a few labelled target pictures if it is given some.

    All that the run will use is checked, by the first process for all: the others open no file.
    """
    data = experiment.data
    if experiment.reads_target_labels:
        console.print(
            "This recipe trains on target labels: it is the oracle, which shows what they would be worth.",
            style="bold yellow",
        )
    depth = experiment.method.learns_depth
    reads_target = experiment.method.reads_target
    looked_at = reads_target or experiment.network.statistics == "target"

    def opened() -> tuple[Dataset, Dataset | None, Dataset | None]:
        source = open_domain(data, data.source, labelled=True, depth=depth)
        target = open_domain(data, data.target, labelled=False, depth=depth) if looked_at else None
        scored_on = [
            open_domain(data, domain, labelled=True)
            for domain in (data.source_evaluation, data.evaluation)
            if domain is not None
        ]
        for dataset in (source, target, *scored_on):
            if dataset is not None:
                dataset.check()
        return source, target, _open_few(experiment, console)

    source, target, few = made_by_first_rank(opened)
    learnt = trained_on(experiment, target) if reads_target and target is not None else None
    return source, learnt, few


def _open_few(experiment: Experiment, console: Console) -> Dataset | None:
    """The few labelled target pictures; warns if the run would be scored on them, too."""
    data = experiment.data
    if data.few is None:
        return None
    few = open_domain(data, data.few, labelled=True, depth=experiment.method.learns_depth)
    few.check()
    names = {few.name(index).rpartition("/")[2] for index in range(len(few))}
    console.print(f"{len(few)} labelled target pictures are trained on, too (data.few).", style="bold yellow")
    if data.evaluation is not None:
        scored = open_domain(data, data.evaluation, labelled=False)
        both = names & {scored.name(index).rpartition("/")[2] for index in range(len(scored))}
        if both:
            console.print(
                f"data.few: {len(both)} of them have names of pictures that the run is scored on, for example"
                f" {min(both)}: leave those out, or the score is too good",
                style="bold yellow",
            )
    return few


def _accelerator(experiment: Experiment, folder: Path, *, cpu: bool, console: Console) -> Accelerator:
    precision = {"fp32": "no"}.get(experiment.run.precision, experiment.run.precision)
    if precision == "fp16" and (cpu or not torch.cuda.is_available()):
        raise ValueError("run.precision=fp16 needs a GPU; use bf16 or fp32 here")
    if precision == "bf16" and (cpu or not torch.cuda.is_available()) and not _has_bf16():
        console.print(
            "run.precision=bf16: this processor has no bf16 instructions and only imitates them; fp32 is several times"
            " faster here",
            style="yellow",
        )
    for name, variable in SHARDED.items():
        if os.environ.get(variable, "").lower() in ("1", "true"):
            raise ValueError(
                f"{name} splits parameters over processes, but a teacher follows its student's parameter by parameter"
                " and checkpoints hold whole ones: launch without it; networks of this size fit on one GPU"
            )
    # Accelerate keeps one state per process, but the demo and the tests train several runs in one process.
    AcceleratorState._reset_state()  # pyright: ignore[reportPrivateUsage]
    join(cpu=cpu)
    return Accelerator(
        mixed_precision=precision, cpu=cpu, kwargs_handlers=[DISTRIBUTED], **tracking(experiment, folder)
    )


def _has_bf16() -> bool:
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # pyright: ignore[reportPrivateUsage]


def _planned_before(folder: Path, experiment: Experiment) -> int | None:
    """The steps that a run folder was planned for, if the experiment only wants more; refuses another experiment."""
    longer = extension(folder, experiment)
    if longer is None:
        same_experiment(folder, experiment)
    return longer


def same_experiment(folder: Path, experiment: Experiment) -> None:
    """Raise ``ValueError``, with the keys that differ, if a folder holds another experiment."""
    path = folder / "experiment.yaml"
    if not path.is_file():
        return
    different = experiments.differences(experiments.load(path), experiment)
    if different:
        raise ValueError(
            f"{folder} holds another experiment (it differs in {', '.join(different[:4])}): choose another --out;"
            " only more steps go on in the same folder"
        )
