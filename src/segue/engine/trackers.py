"""TensorBoard, Weights & Biases and MLflow: they get the log through Accelerate if a run asks for them."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.tracking import get_available_trackers

from segue.engine.settings import Experiment
from segue.trees import flatten

PROJECT = "segue"
"""The name under which a service files the runs."""


def tracking(experiment: Experiment, folder: Path) -> dict[str, Any]:
    """The arguments of an ``Accelerator`` for the trackers that a run asks for; none if it asks for none.

    Raises:
        ValueError: If one is not installed; Accelerate would leave it out and say nothing.
    """
    names = experiment.run.trackers
    installed = [str(name) for name in get_available_trackers()]
    missing = [name for name in names if name not in installed]
    if missing:
        raise ValueError(
            f"run.trackers: {missing[0]} is not installed: pip install {missing[0]}, or leave it out"
        )
    return {"log_with": list(names), "project_dir": folder} if names else {}


@contextmanager
def tracked(accelerator: Accelerator, experiment: Experiment, folder: Path) -> Generator[None]:
    """Within, ``accelerator.log`` reaches the trackers; afterwards, and after an error, they have all of it.

    TensorBoard's files lie in the run folder, in ``segue``.
    """
    if experiment.run.trackers:
        own = {"wandb": {"name": folder.name, "dir": str(folder)}, "mlflow": {"run_name": folder.name}}
        options = {name: own[name] for name in experiment.run.trackers if name in own}
        accelerator.init_trackers(PROJECT, config=plain_settings(experiment), init_kwargs=options)
    try:
        yield
    finally:
        # Not end_training, which would end the processes' group, too.
        for tracker in accelerator.trackers:
            tracker.finish()
        accelerator.trackers = []


def plain_settings(experiment: Experiment) -> dict[str, bool | int | float | str]:
    """All settings by dotted key; TensorBoard takes neither lists nor None, so those are texts."""
    values = flatten(experiment.model_dump(mode="json"))
    return {
        key: value if isinstance(value, bool | int | float) else str(value) for key, value in values.items()
    }
