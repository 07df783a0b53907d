"""What is remembered over runs of files that have been looked at, so that a large data set makes one wait only once."""

import os
from pathlib import Path

REMEMBERED = 2000
"""Files from which on it is remembered what was found in them; fewer are looked at in about a second."""


def cache_folder() -> Path:
    """Where this user's processes keep what can be found again: ``SEGUE_CACHE``, else ``~/.cache/segue``."""
    own = os.environ.get("SEGUE_CACHE")
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "segue")


def was_checked(key: str) -> bool:
    """Whether what has this fingerprint was in order before."""
    try:
        return (cache_folder() / "checked" / key).is_file()
    except OSError:
        return False


def note_checked(key: str) -> None:
    """Remember that what has this fingerprint is in order; without a word if nothing can be written there."""
    place = cache_folder() / "checked"
    try:
        place.mkdir(parents=True, exist_ok=True)
        (place / key).touch()
    except OSError:
        return
