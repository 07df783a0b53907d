"""The ensemble study names its members' runs, says what is published, and shows what fused labels were worth."""

import json
from pathlib import Path

from segue.recipes.studies import STUDIES
from segue.study.record import Fused, Record, Variant, fused_of
from segue.study.tables import markdown
from segue.study.variants import Bed

COMPARED = {
    "pictures": 2, "classes": 12, "used": 0.6, "members": {"a": 0.4, "b": 0.5}, "majority": 0.55,
    "random": [0.3, 0.5], "oracle": 0.7, "iou": [], "oracle_policy": [], "best_believed": None,
}  # fmt: skip


def test_every_row_is_an_experiment_and_every_need_a_row() -> None:
    """On the generated streets and on the paper's own pair, with and without the fifth member."""
    study = STUDIES["ensemble"]
    for pair in ("street_scenes", "gta5_to_cityscapes"):
        bed = Bed(pair, Path("runs") / "ensemble")
        for row in study.rows.values():
            assert set(row.needs.values()) <= study.rows.keys()
            settings = bed.experiment(row, 0).method.model_dump()
            ensemble = settings.get("ensemble") or {}
            members = ensemble.get("members") or settings.get("members") or {}
            assert len(members) == (5 if "five" in row.label else 4 if "method" in str(row.needs) else 0)
    assert study.rows["channel"].published == 57.98 and study.rows["average"].published is None
    assert study.on("street_scenes").rows["channel"].published is None
    pairs = [
        part.split(" / ")
        for part in study.note.split("majority ")[1].split(":")[0].replace(" and", ",").split(", ")
    ]
    channel, majority = (sum(float(one[place]) for one in pairs) / 6 for place in (0, 1))
    assert len(pairs) == 6 and f"({channel:.2f} / {majority:.2f})" in study.note


def test_fused_labels_and_the_note_are_shown(tmp_path: Path) -> None:
    (tmp_path / "fused").mkdir()
    assert fused_of(tmp_path) is None
    (tmp_path / "fused" / "fusion.json").write_text(json.dumps({"compared": None}))
    assert fused_of(tmp_path) is None
    (tmp_path / "fused" / "fusion.json").write_text(json.dumps({"compared": COMPARED}))
    found = fused_of(tmp_path)
    assert isinstance(found, Fused) and found.row["best member"] == 0.5
    variants = {"channel": Variant(recipe="ensemble", steps=3, fused={0: found})}
    record = Record(
        study="ensemble", question="?", paper="-", pair="streets", baseline="channel", seeds=[0], note="As printed",
        tables={"main": ["channel"]}, variants=variants,
    )  # fmt: skip
    shown = markdown(record)
    assert "| channel | 60.0 | 50.0 | 55.0 | 40.0 | 70.0 |" in shown and "As printed." in shown
    again = Record.model_validate_json(record.model_dump_json())
    assert again.variants["channel"].fused[0] == found and again.note == "As printed"
