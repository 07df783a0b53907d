"""The published rows are the papers' tables: the metric code gives their printed means; a damaged file is told."""

from pathlib import Path

import pytest
import yaml

from segue.classes import CITYSCAPES_19, SUBSETS
from segue.recipes.catalogue import RECIPES
from segue.recipes.published import FILE, PublishedRow, published, read
from segue.scores import Scores

ROWS = published().rows
WITH_CELLS = [row for row in ROWS if row.iou is not None]
INCONSISTENT = {
    ("clda_daformer_student", "gta5_to_cityscapes"),
    ("clda_hrda_teacher", "synthia_to_cityscapes"),
    ("ensemble_source_only", "gta5_to_cityscapes"),
    ("ensemble_pixel", "gta5_to_cityscapes"),
    ("ensemble_channel", "gta5_to_cityscapes"),
}


def recomputed(row: PublishedRow, subset: str) -> float:
    names = CITYSCAPES_19.names if subset == "all" else SUBSETS[subset].names
    fractions = {name: None if iou is None else iou / 100 for name, iou in row.per_class.items()}
    return 100 * Scores(0.0, fractions, 1, 0.0).mean_over(names)


def rounding(row: PublishedRow) -> float:
    """Half of the last digit that the cells have, and as much again for the mean."""
    decimals = max(len(str(iou).partition(".")[2]) for iou in row.iou or () if iou is not None)
    return 10.0**-decimals + 1e-9


@pytest.mark.parametrize("row", WITH_CELLS, ids=lambda row: f"{row.key}-{row.pair}")
def test_cells_give_the_printed_means(row: PublishedRow) -> None:
    disagree = [
        subset for subset, mean in row.means.items() if abs(recomputed(row, subset) - mean) > rounding(row)
    ]
    if (row.key, row.pair) not in INCONSISTENT:
        assert not disagree
        assert row.recomputed is None
    else:
        assert disagree == list(row.means)
        assert row.recomputed == pytest.approx(recomputed(row, disagree[0]), abs=0.005)
        assert row.note


def test_every_table_is_there() -> None:
    tables: dict[tuple[str, int | None, str], int] = {}
    for row in WITH_CELLS:
        for source in row.sources:
            where = (source.paper, source.table, row.pair)
            tables[where] = tables.get(where, 0) + 1
    assert tables == {
        ("stct_mha", 3, "gta5_to_cityscapes"): 9,
        ("stct_mha", 3, "synthia_to_cityscapes"): 9,
        ("clda", 1, "gta5_to_cityscapes"): 11,
        ("clda", 2, "synthia_to_cityscapes"): 11,
        ("ensemble_distillation", 1, "gta5_to_cityscapes"): 14,
        ("ssr", 2, "gta5_to_cityscapes"): 6,
    }


def test_corrected_cells_are_what_restores_the_mean() -> None:
    corrected = [row for row in ROWS if row.corrected is not None]
    assert sorted(row.key for row in corrected) == ["advent", "apoda", "dacs_two_decimals", "r_mrnet"]
    for row in corrected:
        assert row.corrected is not None
        used = row.per_class[row.corrected.class_]
        assert used is not None
        assert row.corrected.printed - used == pytest.approx(20)
        as_printed = recomputed(row, "all") + 20 / 19
        assert abs(as_printed - row.mean) > 0.9


def test_misread_labels_have_our_names() -> None:
    labels = {source.label: row.key for row in ROWS for source in row.sources}
    assert (labels["IDA-MIT"], labels["PT"], labels["APDA"]) == ("fda_mbt", "pit", "apoda")
    assert (labels["End"], labels["End*"], labels["MRKL"]) == ("end", "end2", "mrkld")


def test_synthia_rows_lack_its_three_classes() -> None:
    for row in WITH_CELLS:
        missing = {name for name, iou in row.per_class.items() if iou is None}
        lacks = {"terrain", "truck", "train"} if row.pair == "synthia_to_cityscapes" else set()
        assert missing == lacks, row.key


def test_recipes_name_their_rows() -> None:
    means = {name: {pair: row.mean for pair, row in recipe.rows.items()} for name, recipe in RECIPES.items()}
    assert means["source_only"] == {}
    assert means["dacs"] == {"gta5_to_cityscapes": 52.1, "synthia_to_cityscapes": 48.3}
    assert means["daformer"]["gta5_to_cityscapes"] == 68.3
    assert means["daformer"]["synthia_to_cityscapes"] == 60.9
    with pytest.raises(ValueError, match=r"unknown published row 'hrdaa'; did you mean 'hrda'"):
        published().of("hrdaa")


def test_released_scores_of_hrda_and_mic() -> None:
    found = {
        key: [row.mean for row in published().of(key).values()] for key in ("hrda", "mic", "daformer_mic")
    }
    assert found == {"hrda": [73.8, 65.8, 68.0, 55.9], "mic": [75.9, 67.3], "daformer_mic": [70.6, 62.2]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"iou": [1.0, 2.0]}, "rows.0: 2 cells for 19 classes"),
        ({"iou": [101.0] * 19}, "rows.0.iou.0: "),
        ({"means": {"synthia_15": 1.0}}, "unknown mean 'synthia_15'; did you mean 'synthia_1"),
        ({"key": "cbst"}, "cbst has two rows on gta5_to_cityscapes"),
        ({"sources": [{"paper": "sssr"}]}, "unknown paper 'sssr'; did you mean 'ssr'"),
        ({"corrected": {"class": "raod", "printed": 1, "paper": "ssr", "why": ""}}, "did you mean 'road'"),
        ({"score": 1}, "rows.0.score: "),
    ],
)
def test_a_damaged_row_is_told(tmp_path: Path, change: dict, message: str) -> None:
    tree = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    tree["rows"][0] |= change
    path = tmp_path / "published.yaml"
    path.write_text(yaml.safe_dump(tree))
    with pytest.raises(ValueError) as error:
        read(path)
    assert message in str(error.value)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_another_order_of_classes_is_told(tmp_path: Path) -> None:
    tree = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    tree["classes"].reverse()
    (tmp_path / "rows.yaml").write_text(yaml.safe_dump(tree))
    with pytest.raises(ValueError, match="classes are not Cityscapes' 19"):
        read(tmp_path / "rows.yaml")
