"""The benchmark of hybrid attention runs, and names what it measured."""

import pytest

from segue.bench import attention


@pytest.mark.slow
def test_rows() -> None:
    rows = attention.rows(encoders=("mit_nano",), size=64, repeats=1)
    assert [row["name"].removeprefix("mit_nano_") for row in rows] == [
        "semantic_bidirectional",
        "masked_bidirectional",
        "ungrouped_bidirectional",
        "joint_peak_memory",
        "joint_checkpointed_peak_memory",
    ]
    assert all(row["value"] > 0 and row["peer_value"] > 0 for row in rows)
