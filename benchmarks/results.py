"""Fill the tables of docs/results.md, and the scores that ``segue recipes`` lists, from committed records.

    python benchmarks/results.py            # rewrite both files
    python benchmarks/results.py --check    # only check that they are up to date

In the document a table stands between two comments, the first of which names its record. A ``study.json`` that
``segue study`` wrote is kept in benchmarks/studies; if labels follow a colon, its table is one of classes. What
``segue bench --json`` wrote is kept in benchmarks:

    <!-- study: campaign_dusk -->
    <!-- study: campaign_dusk: source only, daformer, oracle -->
    <!-- speed: speed_cpu -->
    <!-- end -->
"""

import json
import re
import statistics
import sys
from pathlib import Path
from typing import Any

from segue.bench.noise import NOISY_PEER
from segue.files import write_text
from segue.recipes.measured import FILE
from segue.study import record, tables

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "results.md"
RECORDS = ROOT / "benchmarks" / "studies"
SPEEDS = ROOT / "benchmarks"
BLOCK = re.compile(
    r"(<!-- (?P<kind>study|speed): (?P<name>\w+)(?:: (?P<labels>[^\n]+?))? -->\n).*?(<!-- end -->)", re.DOTALL
)


def filled(text: str) -> str:
    """The document with every table written again."""

    def block(match: re.Match[str]) -> str:
        if match["kind"] == "speed":
            table = speed_table(json.loads((SPEEDS / f"{match['name']}.json").read_text(encoding="utf-8")))
        else:
            one, labels = record.read(RECORDS / f"{match['name']}.json"), match["labels"]
            table = (
                tables.classes_markdown(one, labels.split(", "))
                if labels
                else tables.markdown(one, commands=False)
            )
        return f"{match[1]}\n{table.strip()}\n\n{match[5]}"

    return BLOCK.sub(block, text)


def measured() -> str:
    """By recipe and pair the mean in percent over how many seeds.

    Of rows that change nothing, the first one that starts as ``segue train`` does, or else the first one.
    """
    records = [record.read(path) for path in sorted(RECORDS.glob("*.json"))]
    rows = [(Path(one.pair).stem, row) for one in records for row in one.variants.values()]
    found: dict[str, dict[str, tuple[float, int]]] = {}
    for pair, row in sorted(rows, key=lambda named: "network.start=" in named[1].command):
        if row.scores and not row.changes:
            mean = statistics.fmean(score.mean_iou for score in row.scores.values())
            found.setdefault(row.recipe, {}).setdefault(pair, (round(100 * mean, 1), len(row.scores)))
    lines = (f"  {json.dumps(name)}: {json.dumps(found[name])}" for name in sorted(found))
    return "{\n" + ",\n".join(lines) + "\n}\n"


def speed_table(suite: dict[str, Any]) -> str:
    """What was measured on what, a line for each row, the peers, and what made numbers noisy."""
    facts = suite["machine"]
    machine = [
        facts["processor"], f"{facts['cores']} cores", *facts["instructions"],
        f"torch {facts['torch']}", f"{facts['threads']} threads",
    ]  # fmt: skip
    lines = [
        f"On {', '.join(machine)}.",
        "",
        "| row | ours | peer | ratio | of a turn | goal | peer's name |",
    ]
    lines.append("|---|---|---|---|---|---|---|")
    peers, notes = list[str](), list[str]()
    for family in suite["families"]:
        # A peer whose turns differ is marked in its row; what else made a family noisy is said below.
        wrong = [why for why in family["noise"] if not why.startswith("the peer's turns")]
        wrong += [family["error"]] if "error" in family else []
        notes += ["", *(f"{family['family']} ({family['recipe']}): {why}." for why in wrong)] if wrong else []
        for row in family.get("rows", ()):
            if row["peer"] not in peers:
                peers.append(row["peer"])
            own, other = (f"{row[key]:.0f} {row['unit']}" for key in ("value", "peer_value"))
            spread = " to ".join(f"{ratio:.2f}" for ratio in row.get("spread", ()))
            rough = " \\*" if row.get("peer_range", 0) > NOISY_PEER else ""
            goal = f"{row['goal']:.2f}" if "goal" in row else ""
            number = peers.index(row["peer"]) + 1
            lines.append(
                f"| {row['name']} | {own} | {other} | {row['ratio']:.2f} | {spread}{rough} | {goal} | {number} |"
            )
    lines += ["", "Peers: " + "; ".join(f"({place}) {peer}" for place, peer in enumerate(peers, 1)) + "."]
    lines += ["", f"\\* The peer's own turns differ by more than {100 * NOISY_PEER:.0f} %."]
    return "\n".join([*lines, *notes])


def main() -> None:
    """Rewrite, or check, the two files."""
    made = {DOCUMENT: filled(DOCUMENT.read_text(encoding="utf-8")), FILE: measured()}
    old = [
        path for path, text in made.items() if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    if "--check" in sys.argv[1:]:
        sys.exit(f"out of date: {', '.join(map(str, old))}; run python benchmarks/results.py" if old else 0)
    for path in old:
        write_text(path, made[path])


if __name__ == "__main__":
    main()
