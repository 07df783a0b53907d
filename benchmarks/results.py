"""Fill the tables of docs/results.md and docs/speed.md, and the scores that ``segue recipes`` lists, from records.

    python benchmarks/results.py            # rewrite the files
    python benchmarks/results.py --check    # only check that they are up to date

In a document a table stands between two comments, the first of which names its record. A ``study.json`` that
``segue study`` wrote is kept in benchmarks/studies; if labels follow a colon, its table is one of classes. What
``segue bench --json`` and ``batch_statistics.py --json`` wrote is kept in benchmarks. Gains are those of all records on
a pair:

    <!-- study: campaign_dusk -->
    <!-- study: campaign_dusk: source only, daformer, oracle -->
    <!-- gains: street_scenes -->
    <!-- speed: speed_cpu -->
    <!-- statistics: statistics_dusk -->
    <!-- end -->
"""

import json
import re
import statistics
import sys
from pathlib import Path
from typing import Any

import batch_statistics  # beside this file

from segue.bench.noise import NOISY_PEER
from segue.files import write_text
from segue.recipes.measured import FILE
from segue.study import record, tables
from segue.study.runs import run_folder

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = (ROOT / "docs" / "results.md", ROOT / "docs" / "speed.md")
RECORDS = ROOT / "benchmarks" / "studies"
SPEEDS = ROOT / "benchmarks"
BLOCK = re.compile(
    r"(<!-- (?P<kind>study|gains|speed|statistics): (?P<name>\w+)(?:: (?P<labels>[^\n]+?))? -->\n).*?(<!-- end -->)",
    re.DOTALL,
)
GOES_ON = re.compile(r"--set \S+/(\w+)/seedSEED")
"""In the command of a row that needs another row's run: the name of that run's folder."""
CONTROL = "source only, as long"
"""The label of the row whose source-only model learns the source for as many steps again."""


def filled(text: str) -> str:
    """The document with every table written again."""

    def block(match: re.Match[str]) -> str:
        name, labels = match["name"], match["labels"]
        if match["kind"] == "speed":
            table = speed_table(json.loads((SPEEDS / f"{name}.json").read_text(encoding="utf-8")))
        elif match["kind"] == "statistics":
            table = batch_statistics.table(json.loads((SPEEDS / f"{name}.json").read_text(encoding="utf-8")))
        elif match["kind"] == "gains":
            table = gains_table(name)
        elif labels:
            table = tables.classes_markdown(record.read(RECORDS / f"{name}.json"), labels.split(", "))
        else:
            table = tables.markdown(record.read(RECORDS / f"{name}.json"), commands=False)
        return f"{match[1]}\n{table.strip()}\n\n{match[5]}"

    return BLOCK.sub(block, text)


def records() -> list[tuple[str, record.Record]]:
    """The pair and the record of every study that is kept."""
    read = (record.read(path) for path in sorted(RECORDS.glob("*.json")))
    return [(Path(one.pair).stem, one) for one in read]


def gains_table(pair: str) -> str:
    """Recipes that go on from the source-only model, unchanged: what they gain over it trained as long, best first."""
    rows = [(label, row) for name, one in records() if name == pair for label, row in one.variants.items()]
    control = next(row for label, row in rows if label == CONTROL)
    found: dict[str, record.Variant] = {}
    for label, row in sorted(rows, key=lambda named: -len(named[1].scores)):
        from_source = re.search(r"network\.start=\S*/source_only/", row.command)
        if from_source and not row.changes and label != CONTROL:
            found.setdefault(row.recipe, row)
    gains = {recipe: gain for recipe, row in found.items() if (gain := row.against(control))}
    lines = ["| recipe | score | gain | p | seeds | minutes |", "|---|---|---|---|---|---|"]
    for recipe in sorted(gains, key=lambda name: -gains[name].mean):
        row, (gain, p) = found[recipe], gains[recipe]
        chance = "" if p is None else "< 0.01" if p < 0.01 else f"{p:.2f}"
        score, minutes = 100 * (row.mean or 0.0), row.minutes or 0.0
        lines.append(
            f"| `{recipe}` | {score:.1f} | {100 * gain:+.1f} | {chance} | {len(row.scores)} | {minutes:.1f} |"
        )
    return "\n".join(lines)


def measured() -> str:
    """By recipe and pair the mean in percent, over how many seeds, and whether these went on from other runs.

    Of rows that are as they are, the first one that goes on, as recipes are compared by, or else the first one.
    """
    rows = [
        (pair, row, bool(GOES_ON.search(row.command)))
        for pair, one in records()
        for label, row in one.variants.items()
        if label != CONTROL and as_it_is(row, one)
    ]
    found: dict[str, dict[str, tuple[float, int, bool]]] = {}
    for pair, row, goes_on in sorted(rows, key=lambda named: not named[2]):
        if row.scores:
            mean = statistics.fmean(score.mean_iou for score in row.scores.values())
            found.setdefault(row.recipe, {}).setdefault(
                pair, (round(100 * mean, 1), len(row.scores), goes_on)
            )
    lines = (f"  {json.dumps(name)}: {json.dumps(found[name])}" for name in sorted(found))
    return "{\n" + ",\n".join(lines) + "\n}\n"


def as_it_is(row: record.Variant, study: record.Record) -> bool:
    """Whether a row and those that it goes on from have their recipes' methods, scored on the pair's own pictures."""
    others = {
        run_folder(Path(), label, 0).parent.name
        for label, one in study.variants.items()
        if "method" in one.changes
    }
    goes_on = GOES_ON.findall(row.command)
    return not row.changes and others.isdisjoint(goes_on) and "data.evaluation.split" not in row.set_otherwise


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
    if any("\\*" in line for line in lines):
        lines += ["", f"\\* The peer's own turns differ by more than {100 * NOISY_PEER:.0f} %."]
    return "\n".join([*lines, *notes])


def main() -> None:
    """Rewrite, or check, the files."""
    made = {document: filled(document.read_text(encoding="utf-8")) for document in DOCUMENTS}
    made[FILE] = measured()
    old = [
        path for path, text in made.items() if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    if "--check" in sys.argv[1:]:
        sys.exit(f"out of date: {', '.join(map(str, old))}; run python benchmarks/results.py" if old else 0)
    for path in old:
        write_text(path, made[path])


if __name__ == "__main__":
    main()
