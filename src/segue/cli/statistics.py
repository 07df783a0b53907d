"""The same weights with other batch statistics: as training left them, or estimated again on the target."""

from dataclasses import replace
from typing import Literal

from segue.cli.opened import TEACHER, Opened
from segue.models.batch_norms import AS_TRAINED, DOMAIN_SPECIFIC, KEPT, batch_norms
from segue.models.tensor_files import read_state

Choice = Literal["trained", "target"]


def with_statistics(opened: Opened, wanted: Choice, *, teacher: bool = False) -> Opened:
    """The model with the batch statistics that are wanted; weights stay as they are.

    Args:
        opened: The model; its network is changed.
        wanted: "trained": those that training left; "target": those of the target's training pictures.
        teacher: Whether the model is the run's teacher.

    Returns:
        The model, with what its statistics are called; as it was if it has them already, or has no batch norms.

    Raises:
        ValueError: If it belongs to no run, or the run keeps no checkpoint of these weights.
    """
    as_trained = opened.statistics in (AS_TRAINED, DOMAIN_SPECIFIC)
    if opened.statistics is None or as_trained == (wanted == "trained"):
        return opened
    if wanted == "trained":
        _restore(opened, TEACHER if teacher else "student.")
        return replace(opened, statistics=AS_TRAINED)
    if opened.experiment is None:
        raise ValueError(
            "--statistics target: a model without a run comes with no target pictures: name its run folder"
        )
    from segue.engine.statistics import as_on_target

    found = as_on_target(opened.experiment, opened.network, device=opened.device)
    return replace(opened, statistics=found)


def _restore(opened: Opened, prefix: str) -> None:
    """Take the statistics from the checkpoint of the last step, which is written before they are estimated again."""
    from segue.engine import checkpoint

    newest = [] if opened.run is None else checkpoint.list_checkpoints(opened.run / "checkpoints")[-1:]
    if not newest or int(newest[0].name) != opened.card.step:
        raise ValueError(
            "--statistics trained: this model's were estimated again, and only the run's last checkpoint still holds"
            f" them as trained, which is not there (step {opened.card.step} of {opened.run or 'no run'})"
        )
    state = read_state(newest[0] / checkpoint.METHOD_FILE)
    names = {norm: name for name, norm in opened.network.named_modules()}
    for norm in batch_norms(opened.network):
        for kept in KEPT:
            getattr(norm, kept).copy_(state[f"{prefix}{names[norm]}.{kept}"])
