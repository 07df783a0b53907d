"""What a check says: one line with what is wrong and what to do, and the files it is about."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Severity = Literal["error", "warning", "note"]
"""An error stops training or spoils it; a warning may; a note is good to know."""

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
"""The worst first."""


@dataclass(frozen=True)
class Finding:
    """One thing that a check found.

    Attributes:
        domain: Whose files it is about: "source", "source and target", ...
        text: What is wrong, and what to do.
        files: All files concerned; those that belong together (a picture and its twin) are one entry.
        remedy: Text to paste into a file; empty if there is none.
    """

    severity: Severity
    domain: str
    text: str
    files: tuple[tuple[Path, ...], ...] = ()
    remedy: str = ""

    def to_json(self, kind: str) -> dict[str, Any]:
        """Plain values; ``kind`` is the name of the check."""
        return {
            "severity": self.severity,
            "kind": kind,
            "domain": self.domain,
            "text": self.text,
            "files": [[str(path) for path in together] for together in self.files],
            "remedy": self.remedy,
        }


def alone(paths: Sequence[Path]) -> tuple[tuple[Path, ...], ...]:
    """Files that each stand for themselves, as :attr:`Finding.files` wants them."""
    return tuple((path,) for path in paths)


def counted(number: int, one: str, many: str | None = None) -> str:
    """A number with its noun: 1 picture, 2 pictures."""
    return f"{number} {one if number == 1 else many or one + 's'}"
