"""One command at a time works in a run folder, on whatever machine it runs."""

import json
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from segue.files import clear_parts, write_text

LOCK = ".lock"
"""The file in a run folder that says who works in it."""

PULSE = 5.0
"""Seconds between two signs of life."""

SILENT = 6
"""After how many of these without one a lock of another machine is taken over."""


@contextmanager
def locked(folder: Path) -> Generator[None]:
    """Within, this process alone works in a run folder; what killed runs left half-written there is removed.

    The lock is a file that only one process can create, on network file systems, too. It names its host and process,
    and a number in it rises every few seconds. A lock whose process is gone is taken over: at once on the same machine,
    and after half a minute in which its number stood still on another one. A run that was frozen so long that its
    folder was taken over stops when it wakes.

    Raises:
        OSError: If the folder is in use, or cannot be written.
    """
    was_there = folder.is_dir()
    folder.mkdir(parents=True, exist_ok=True)
    own = identity() | {"token": secrets.token_hex(8), "beat": 0}
    path = folder / LOCK
    _take(path, own)
    is_over = threading.Event()
    pulse = threading.Thread(target=_beat, args=(path, own, is_over), name="segue-lock", daemon=True)
    pulse.start()
    try:
        clear_parts(folder)
        yield
    finally:
        is_over.set()
        pulse.join()
        if _read(path).get("token") == own["token"]:
            path.unlink(missing_ok=True)
        if not was_there:
            with suppress(OSError):  # not empty: the run has begun
                folder.rmdir()


def _take(path: Path, own: dict[str, Any]) -> None:
    while not _created(path, own):
        holder = _read(path)
        if not _is_gone(path, holder):
            raise OSError(
                f"{path.parent} is in use by process {holder.get('process')} on {holder.get('host')}: wait for it, stop"
                " it, or choose another run folder"
            )
        with suppress(FileNotFoundError):  # another one that waited was faster
            _remove(path, holder, path.with_name(f"{LOCK}.{own['token']}.part"))


def _remove(path: Path, holder: dict[str, Any], aside: Path) -> None:
    """Take a stale lock away: as renaming is one act, one of several that wait does it, the others find no file."""
    path.rename(aside)
    if _read(aside).get("token") != holder.get("token"):  # another one was faster, and this is its new lock
        with suppress(OSError):
            os.link(aside, path)
    aside.unlink()


def _created(path: Path, own: dict[str, Any]) -> bool:
    """Create the lock, complete from its first moment on; False if there is one."""
    whole = path.with_name(f"{LOCK}.{own['token']}.part")
    whole.write_text(json.dumps(own), encoding="utf-8")
    try:
        os.link(whole, path)  # fails if the name is taken; unlike O_EXCL it never shows an empty file
        return True
    except FileExistsError:
        return False
    except OSError:  # a file system without links
        return _created_without_link(path, own)
    finally:
        whole.unlink(missing_ok=True)


def _created_without_link(path: Path, own: dict[str, Any]) -> bool:
    try:
        with path.open("x", encoding="utf-8") as file:
            json.dump(own, file)
    except FileExistsError:
        return False
    return True


def _is_gone(path: Path, holder: dict[str, Any]) -> bool:
    """Whether nobody holds a lock any longer; this may take half a minute."""
    here = identity()
    if all(holder.get(name) == here[name] for name in ("host", "boot", "space")):
        started = _started(holder.get("process", 0))
        return started is None or started != holder.get("started")
    for _ in range(SILENT):
        time.sleep(PULSE)
        if _read(path) != holder:
            return not path.exists()
    return True


def _beat(path: Path, own: dict[str, Any], is_over: threading.Event) -> None:
    """Raise the number in the lock again and again, and interrupt the run if the lock is another's."""
    number = 0
    while not is_over.wait(PULSE):
        number += 1
        try:
            if _read(path).get("token") == own["token"]:
                write_text(path, json.dumps(own | {"beat": number}))
                continue
            if not path.parent.is_dir():
                continue
        except OSError:
            continue  # a full disk or a network that is away: the next sign of life may succeed
        if is_over.is_set():
            return
        taker = _read(path)
        who = f"process {taker.get('process')} on {taker.get('host')}" if taker else "nobody known"
        print(f"segue: {path.parent} was taken over by {who}; this run stops", file=sys.stderr, flush=True)
        # Jobs that a script starts with "&" ignore SIGINT.
        ignored = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        os.kill(os.getpid(), signal.SIGTERM if ignored else signal.SIGINT)
        return


def _read(path: Path) -> dict[str, Any]:
    """What a lock says; empty if there is none, or none that can be read."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def identity() -> dict[str, Any]:
    """This process, as others can look for it: numbers of processes mean something in one container only."""
    return {
        "host": socket.gethostname(),
        "process": os.getpid(),
        "boot": _text("/proc/sys/kernel/random/boot_id"),
        "space": _link("/proc/self/ns/pid"),
        "started": _started(os.getpid()),
    }


def _started(process: int) -> str | None:
    """When a process of this machine was started, in a unit of its own; None if there is no such process."""
    stat = _text(f"/proc/{process}/stat")
    if stat:
        state, *fields = stat.rpartition(")")[2].split()
        return None if state in "ZX" else fields[18]
    if Path("/proc/self/stat").exists():
        return None
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return None
    except OSError:
        pass
    return "unknown"


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""
