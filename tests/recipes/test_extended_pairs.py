"""A pair file that extends another one says only what is otherwise."""

from pathlib import Path

import pytest

from segue.recipes.catalogue import experiment
from segue.recipes.pairs import PAIRS, pair
from segue.trees import merge

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def test_the_rest_is_the_other_pair_s(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "base.yaml").write_text("extends: street_scenes\nsteps: 7\nnetwork: {channels: 32}\n")
    (tmp_path / "inner/mine.yaml").write_text(
        "extends: ../base.yaml\nsteps: 9\nwhen: {size=large: {network: {encoder: mit_b2}}}\n"
    )
    found = pair(str(tmp_path / "inner/mine.yaml"))
    when = {"size=large": {"network": {"encoder": "mit_b2"}}}
    expected = merge(PAIRS["street_scenes"], {"steps": 9, "network": {"channels": 32}, "when": when})
    assert found == expected and "extends" not in found
    assert experiment("daformer", found, size="large").network.encoder == "mit_b2"
    assert experiment("daformer", found).network.encoder == "mit_nano"


def test_circles_and_unknown_pairs_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("extends: b.yaml\n")
    (tmp_path / "b.yaml").write_text("extends: ./a.yaml\n")
    with pytest.raises(ValueError, match=r"a.yaml: this pair extends itself"):
        pair(str(tmp_path / "a.yaml"))
    (tmp_path / "c.yaml").write_text("extends: street_scene\n")
    with pytest.raises(ValueError, match="did you mean 'street_scenes'"):
        pair(str(tmp_path / "c.yaml"))


def test_dusk_with_a_transformer_has_a_student_of_half_its_blocks() -> None:
    dusk = pair(str(CONFIGS / "camvid_day_to_dusk_vit_tiny.yaml"))
    assert experiment("daformer", dusk, size="large").network.encoder == "vit_tiny"
    assert {experiment(name, dusk).network.encoder for name in ("kd", "clda")} == {"vit_tiny_6"}
    plain = pair(str(CONFIGS / "camvid_day_to_dusk.yaml"))
    assert experiment("daformer", dusk) == experiment("daformer", plain, {"network": {"encoder": "vit_tiny"}})


def test_conditions_are_about_the_recipe_as_the_user_changes_it() -> None:
    plain = pair(str(CONFIGS / "camvid_day_to_dusk.yaml"))
    larger = experiment("source_only", plain, {"network": {"multi_resolution": {}}})
    assert larger.data.crop == (448, 576) and larger.data.evaluation.resize == (480, 640)
    smaller = experiment("hrda", plain, {"network": {"multi_resolution": None}})
    assert smaller.data.crop == (224, 288) and smaller.data.evaluation.resize is None
    own = experiment("hrda", plain, {"data": {"crop": [256, 256]}})
    assert own.data.crop == (256, 256)
