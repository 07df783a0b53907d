"""The benchmarks of CLDA's and SSR's steps and of fusing measure what they name."""

import pytest

from segue.bench import collaboration, fusion, sam


@pytest.mark.slow
def test_collaboration() -> None:
    rows = collaboration.rows(teacher="mit_nano_deep", student="mit_nano", size=64, batch=1, repeats=1)
    assert [row["name"] for row in rows] == ["clda_moving_step", "clda_matching_step"]
    assert all(row["value"] > 0 and row["peer_value"] > 0 for row in rows)


@pytest.mark.slow
def test_regularizer() -> None:
    rows = {
        row["name"]: row
        for row in sam.rows(encoder="mit_nano", frozen="sam_tiny", size=64, batch=1, repeats=1)
    }
    assert list(rows) == [
        "ssr_step", "ssr_frozen_forward", "ssr_cross_attention_forward", "ssr_second_decoding_forward",
    ]  # fmt: skip
    parts = [row["value"] for name, row in rows.items() if name != "ssr_step"]
    assert min(parts) > 0 and rows["ssr_step"]["value"] > 0


def test_fusing() -> None:
    (row,) = fusion.rows(pictures=2, size=(64, 128), repeats=1)
    assert row["name"] == "fuse_four_members" and row["value"] > 0 and row["peer_value"] > 0
