"""Whose a checkpoint is: a run folder has a name of its own, which its checkpoints carry."""

import secrets
from pathlib import Path

from segue.files import write_text

FILE = "run_id.txt"


def run_id(folder: Path) -> str:
    """The name of a run folder, which it gets when it is first asked for; a copy of the folder keeps it."""
    path = folder / FILE
    if not path.is_file():
        write_text(path, secrets.token_hex(8) + "\n")
    return path.read_text(encoding="utf-8").strip()


def require_own(folder: Path, checkpoint: Path, owner: str) -> None:
    """Raise ``ValueError`` if a checkpoint was written by another run; those of earlier versions name none."""
    path = folder / FILE
    own = path.read_text(encoding="utf-8").strip() if path.is_file() else ""
    if owner and owner != own:
        raise ValueError(
            f"checkpoint {checkpoint} is another run's: remove it, or give the command with that run's --out (to start"
            " from its weights: --set network.start=RUN)"
        )
