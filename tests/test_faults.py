"""The page about reliability shows what the committed fault campaign measured, and nothing was lost in it."""

import json

from tests.scripts import load_script


def test_the_page_is_made_from_the_record() -> None:
    faults = load_script("faults")
    record = json.loads(faults.RECORD.read_text(encoding="utf-8"))
    assert faults.PAGE.read_text(encoding="utf-8").endswith(f"{faults.MARK}\n\n{faults.table(record)}\n")
    assert {"kill -9", "kill -9 inside a save", "disk full", "NaN in a picture", "SIGTERM"} <= set(
        record["rows"]
    )
    for row in record["rows"].values():
        assert row[faults.LOST] == 0 and row["tried"] == sum(row[name] for name in faults.OUTCOMES) > 0
