"""Writing files so that no process ever sees an incomplete one."""

import os
import secrets
from pathlib import Path


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file beside its place, force it to disk, then rename it.

    Raises:
        OSError: If the file cannot be written; the message names it, and an older file stays untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Random, as processes in containers share numbers, and short, as names have 255 bytes.
    beside = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise OSError(error.errno, f"cannot write {path}: {error.strerror}") from error


def write_text(path: Path, content: str) -> None:
    """As :func:`write_bytes`, in UTF-8."""
    write_bytes(path, content.encode())
