"""The fusion page says of a class that no member names anywhere that nobody predicts it, instead of who is believed."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.report.test_page import check

from segue.report.fusion_page import write_fusion_report

NAMES = ["road", "sidewalk", "train"]


def fused(out: Path, *, named: list[list[int]], **rules: Any) -> Path:
    """What ``segue fuse`` leaves of two members, without pictures; ``named`` has a row for each of them."""
    account = {
        "members": ["one", "two"], "names": NAMES, "pictures": 1, "pixels": 100_000,
        "policy_from": None,
        "rules": {"kind": "channel", "conflict": "drop", "unclaimed": "drop", "window": 3, "threshold": 0.0,
                  "policy": [0, 1, 1], "order": None} | rules,
        "disputed": 0, "unclaimed": 0, "ignored": 0,
        "classes": named[0], "named": named, "agreeing": [[9, 9], [9, 9]],
    }  # fmt: skip
    (out / "index").mkdir(parents=True)
    (out / "fusion.json").write_text(json.dumps(account))
    (out / "classes.json").write_text(
        json.dumps({"classes": NAMES, "colours": [[i, 9, 9] for i in range(3)]})
    )
    return write_fusion_report(out)


@pytest.mark.parametrize("rules", [{}, {"kind": "pixel", "policy": None}], ids=["channel", "pixel"])
def test_a_class_that_no_member_names(tmp_path: Path, rules: dict[str, Any]) -> None:
    """Of train no pixel is named; of sidewalk a single one, whose share rounds to zero, is."""
    page = check(fused(tmp_path, named=[[99_999, 1, 0], [100_000, 0, 0]], **rules))
    assert page.text.count("nobody predicts it") == 1
    assert "train nobody predicts it" in page.text
    assert "Nobody predicts train." in page.text


def test_a_fusion_of_all_classes_does_not_mention_it(tmp_path: Path) -> None:
    page = check(fused(tmp_path, named=[[1, 1, 0], [1, 1, 1]]))
    assert "obody predicts" not in page.text
