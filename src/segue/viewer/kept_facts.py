"""What was measured on pictures, kept in the run folder, so that no picture is predicted twice to be ordered."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from segue.files import write_text
from segue.viewer.gallery import Facts

FILE = Path("view", "measures.json")


def read_facts(run: Path, key: str) -> dict[str, Facts]:
    """What was measured with the models of this key, by picture; nothing if that is not known or cannot be read."""
    try:
        content: Any = json.loads((run / FILE).read_text(encoding="utf-8"))
        if content["key"] != key:
            return {}
        return {str(name): _facts(known) for name, known in content["pictures"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}  # it is only a cache


def write_facts(run: Path, key: str, facts: Mapping[str, Facts]) -> None:
    """Write what was measured, in place of what was there."""
    pictures = {name: asdict(known) for name, known in facts.items()}
    write_text(run / FILE, json.dumps({"key": key, "pictures": pictures}, ensure_ascii=False) + "\n")


def _facts(known: Any) -> Facts:
    changed = known["changed"]
    shares = {str(name): float(share) for name, share in known["shares"].items()}
    entropy, doubt, disagreement = (float(known[name]) for name in ("entropy", "doubt", "disagreement"))
    return Facts(entropy, doubt, disagreement, None if changed is None else float(changed), shares)
