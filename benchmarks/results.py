"""Fill the tables of docs/results.md from the committed records of studies.

    python benchmarks/results.py            # rewrite the file
    python benchmarks/results.py --check    # only check that it is up to date

A record is a ``study.json`` that ``segue study`` wrote, kept in benchmarks/studies. In the document a table stands
between two comments, the first of which names its record; if labels follow a colon, it is a table of classes:

    <!-- study: campaign_dusk -->
    <!-- study: campaign_dusk: source only, daformer, oracle -->
    <!-- end -->
"""

import re
import sys
from pathlib import Path

from segue.files import write_text
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


def main() -> None:
    """Rewrite, or check, the document."""
    before = DOCUMENT.read_text(encoding="utf-8")
    after = filled(before)
    if "--check" in sys.argv[1:]:
        sys.exit(0 if after == before else f"{DOCUMENT}: out of date; run python benchmarks/results.py")
    write_text(DOCUMENT, after)


if __name__ == "__main__":
    main()
