"""Writing files so that no process ever sees an incomplete one."""

import os
import re
import secrets
import shutil
import socket
from pathlib import Path


def part_beside(path: Path) -> Path:
    """A name beside a path's, hidden, that no other process takes, be it in another container or on another machine.

    Host and process say whose it is; a random part tells containers apart, which may share both.
    """
    host = re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname())[:20]
    known = os.fsencode(path.name)[:150].decode(errors="ignore")  # disks count bytes
    return path.with_name(f".{known}.{host}-{os.getpid()}-{secrets.token_hex(4)}.part")


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file beside its place, force it to disk, then rename it.

    Raises:
        OSError: If the file cannot be written; the message names it, and an older file stays untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = part_beside(path)
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OSError(error.errno, f"cannot write {path}: {error.strerror}") from error


def write_text(path: Path, content: str) -> None:
    """As :func:`write_bytes`, in UTF-8."""
    write_bytes(path, content.encode())


def clear_parts(folder: Path) -> None:
    """Remove what killed processes left half-written in a run folder and in those of its stages."""
    for pattern in (".*.part", "*/.*.part", "*/checkpoints/.*.part"):
        for part in folder.glob(pattern):
            if part.is_dir():
                shutil.rmtree(part, ignore_errors=True)
            else:
                part.unlink(missing_ok=True)
