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
from segue.engine.loop import Trainer, seed_step
from segue.engine.model_card import card_of, model_card
from segue.engine.run_scores import score_run
from segue.engine.settings import Experiment
from segue.engine.view_painter import ViewPainter
from segue.methods.context import Preparation
from segue.models.build import normalisation
from segue.models.weights import save_model
from segue.precision import automatic, settle_training
from segue.ranks import join, wait_for_all

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
    here = settled(experiment, cpu=cpu)
    accelerator = _accelerator(here, cpu=cpu, console=console)
    settle_training(here.run.float32, deterministic=here.run.deterministic)
    if not accelerator.is_main_process:
        console = Console(quiet=True)
    if experiment.reads_target_labels:
        console.print(
            "This recipe trains on target labels: it is the oracle, which shows what they would be worth.",
            style="bold yellow",
        )
    if accelerator.is_main_process:  # it decides for all, whose disks may not be its own
        same_experiment(folder, experiment)
    reading = experiment.method.reading(experiment.recipe)
    source, target = _open(experiment, learns_target=reading.target)

    torch.manual_seed(experiment.seed)
    method = build_method(experiment, build_student(experiment))
    method.scored(experiment.evaluation.network)  # fails now, not after training, if there is no such network
    loader = build_loader(
        experiment,
        source,
        target,
        statistics_cache=folder / "class_statistics.json",
        device=accelerator.device,
        rank=accelerator.process_index,
        world=accelerator.num_processes,
        reading=reading,
    )
    boxes = {"source": experiment.data.source.resize, "target": experiment.data.target.resize}
    method.prepare(Preparation(folder, source, target, boxes, accelerator.device))
    wait_for_all()  # who counts or measures keeps the others waiting longer than a step may
    trainer = Trainer(here, folder, method=method, accelerator=accelerator)
    if accelerator.is_main_process:
        experiments.save(experiment, folder / "experiment.yaml")
    if trainer.step:
        console.print(f"resuming at step {trainer.step} of {experiment.steps} in {folder}", markup=False)
    if trainer.step < experiment.steps:
        mean, std = normalisation(experiment.network.encoder)
        painter = ViewPainter(folder, classes=training_classes(experiment.data), mean=mean, std=std)
        trainer.run(loader.steps, painter=painter, console=console)
    card = model_card(here, step=trainer.step)
    statistics = settle_statistics(experiment, method, card, device=accelerator.device)
    card = replace(card, batch_statistics=statistics)
    if accelerator.is_main_process:
        for name, trained in method.trained().items():
            save_model(folder / name, trained.network, card_of(trained, card))
    wait_for_all()  # from here on every process may read the model
    seed_step(experiment.seed, experiment.steps, accelerator.process_index)
    return score_run(here, folder, method, card, accelerator=accelerator)


def settled(experiment: Experiment, *, cpu: bool) -> Experiment:
    """The experiment with the precision that "auto" means here."""
    if experiment.run.precision != "auto":
        return experiment
    run = experiment.run.model_copy(update={"precision": automatic(cpu=cpu)})
    return experiment.model_copy(update={"run": run})


def _open(experiment: Experiment, *, learns_target: bool) -> tuple[Dataset, Dataset | None]:
    """The source's pictures, and the target's if the method learns from them; checks all that the run will use."""
    data = experiment.data
    source = open_domain(data, data.source, labelled=True)
    looked_at = learns_target or experiment.network.statistics == "target"
    target = open_domain(data, data.target, labelled=False) if looked_at else None
    scored_on = [
        open_domain(data, domain, labelled=True)
        for domain in (data.source_evaluation, data.evaluation)
        if domain is not None
    ]
    for dataset in (source, target, *scored_on):
        if dataset is not None:
            dataset.check()
    return source, target if learns_target else None


def _accelerator(experiment: Experiment, *, cpu: bool, console: Console) -> Accelerator:
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
    return Accelerator(mixed_precision=precision, cpu=cpu, kwargs_handlers=[DISTRIBUTED])


def _has_bf16() -> bool:
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # pyright: ignore[reportPrivateUsage]


def same_experiment(folder: Path, experiment: Experiment) -> None:
    """Raise ``ValueError``, with the keys that differ, if a folder holds another experiment."""
    path = folder / "experiment.yaml"
    if not path.is_file():
        return
    different = experiments.differences(experiments.load(path), experiment)
    if different:
        raise ValueError(
            f"{folder} holds another experiment (it differs in {', '.join(different[:4])}): choose another --out"
        )
