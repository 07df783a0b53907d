"""Fill the tables of docs/results.md, and the scores that ``segue recipes`` lists, from the records of studies.

    python benchmarks/results.py            # rewrite both files
    python benchmarks/results.py --check    # only check that they are up to date

A record is a ``study.json`` that ``segue study`` wrote, kept in benchmarks/studies. In the document a table stands
between two comments, the first of which names its record; if labels follow a colon, it is a table of classes:

    <!-- study: campaign_dusk -->
    <!-- study: campaign_dusk: source only, daformer, oracle -->
    <!-- end -->
"""

import json
import re
import statistics
import sys
from pathlib import Path

from segue.files import write_text
from segue.recipes.measured import FILE
from segue.study import record, tables

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "results.md"
RECORDS = ROOT / "benchmarks" / "studies"
BLOCK = re.compile(r"(<!-- study: (?P<name>\w+)(?:: (?P<labels>[^\n]+?))? -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(text: str) -> str:
    """The document with every table written again."""

    def block(match: re.Match[str]) -> str:
        one = record.read(RECORDS / f"{match['name']}.json")
        labels = match["labels"]
        table = (
            tables.classes_markdown(one, labels.split(", "))
            if labels
            else tables.markdown(one, commands=False)
        )
        return f"{match[1]}\n{table.strip()}\n\n{match[4]}"

    return BLOCK.sub(block, text)


def measured() -> str:
    """By recipe and pair the mean in percent over how many seeds; of rows that change nothing, the first one."""
    found: dict[str, dict[str, tuple[float, int]]] = {}
    for path in sorted(RECORDS.glob("*.json")):
        one = record.read(path)
        pair = Path(one.pair).stem
        for variant in one.variants.values():
            if variant.scores and not variant.changes:
                mean = statistics.fmean(score.mean_iou for score in variant.scores.values())
                row = (round(100 * mean, 1), len(variant.scores))
                found.setdefault(variant.recipe, {}).setdefault(pair, row)
    lines = (f"  {json.dumps(name)}: {json.dumps(found[name])}" for name in sorted(found))
    return "{\n" + ",\n".join(lines) + "\n}\n"


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
