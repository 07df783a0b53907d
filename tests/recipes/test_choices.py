"""Two folders without a pair: what is chosen for machine and pictures, said in one line; the user's word counts."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segue.api import configure
from segue.recipes.choices import Machine, choose, explained


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """A source of 640 x 360 and a target of 1000 x 2000 pixels (width x height)."""
    for domain, size in (("source", (640, 360)), ("target", (1000, 2000))):
        for kind in ("images", "labels"):
            (tmp_path / domain / kind).mkdir(parents=True)
            for name in "abc":
                values = np.zeros(size[::-1] + ((3,) if kind == "images" else ()), np.uint8)
                Image.fromarray(values).save(tmp_path / domain / kind / f"{name}.png")
    (tmp_path / "classes.yaml").write_text("[road, car]")
    return tmp_path


def configured(folders: Path, recipe: str = "daformer", **wishes):
    names = {"source": folders / "source", "target": folders / "target", "classes": folders / "classes.yaml"}
    return configure(recipe, **names, **wishes, cpu=True)


def test_a_processor_gets_what_it_can_train_and_says_so_in_one_line(folders: Path) -> None:
    said: list[str] = []
    wanted = configured(folders, say=said.append)
    assert (wanted.network.encoder, wanted.steps, wanted.run.precision) == ("mit_b0", 2000, "fp32")
    assert wanted.data.crop == (256, 256)
    assert wanted.data.source.resize == (256, 455) and wanted.data.target.resize == (512, 256)
    assert wanted.method.model_dump()["teacher"]["momentum"] == 0.98
    assert wanted.terms.model_dump()["feature_distance"] is None
    (line,) = said
    for word in ("a processor", "640x360 (source)", "mit_b0", "crops of 256x256", "2 + 2 a step", "fp32", "2000 steps",
                 "docs/networks.md", "network.weights=FILE", "--print"):  # fmt: skip
        assert word in line and "\n" not in line, line


def test_what_the_user_says_counts(folders: Path, tmp_path: Path) -> None:
    (tmp_path / "more.yaml").write_text("data: {crop: [64, 96]}\n")
    wanted = configured(
        folders, steps=7, config=tmp_path / "more.yaml",
        settings={"network.encoder": "mit_nano", "optim.lr": 0.5, "network.weights": "x.safetensors"},
    )  # fmt: skip
    assert (wanted.steps, wanted.network.encoder, wanted.optim.lr) == (7, "mit_nano", 0.5)
    assert wanted.data.crop == (64, 96) and wanted.data.source.resize == (64, 114)
    assert wanted.terms.model_dump()["feature_distance"] is not None, "there are features worth keeping"
    assert wanted.optim.head_factor == 10.0


def test_small_pictures_are_seen_as_they_are(folders: Path) -> None:
    for path in folders.rglob("*.png"):
        Image.open(path).resize((100, 70)).save(path)
    wanted = configured(folders)
    assert wanted.data.crop == (64, 96) and wanted.data.target.resize == (67, 96)
    assert configured(folders, "hrda").data.crop == (64, 96)


@pytest.mark.parametrize(
    ("gpu", "encoder"), [(139.0, "mit_b5"), (8.0, "mit_b3"), (6.0, "mit_b2"), (4.0, "mit_b1")]
)
def test_a_gpu_gets_the_papers_settings_as_far_as_they_fit(folders: Path, gpu: float, encoder: str) -> None:
    from segue.recipes.catalogue import experiment
    from segue.recipes.own_folders import from_folders
    from segue.trees import merge

    names = {"source": folders / "source", "target": folders / "target", "classes": folders / "classes.yaml"}
    pair, machine = from_folders(names), Machine(gpu, has_bf16=True)
    for recipe, crop in (("daformer", 352), ("hrda", 352)):
        chosen, sizes = choose(experiment(recipe, pair), machine, named=set())
        wanted = experiment(recipe, merge(pair, chosen))
        assert (wanted.network.encoder, wanted.run.precision, wanted.steps) == (encoder, "bf16", 40000)
        assert wanted.data.crop == (crop, 512 if recipe == "daformer" else 640)
        assert f"a GPU with {gpu:.0f} GiB" in explained(wanted, machine, sizes)


def test_a_pair_that_somebody_described_is_left_alone() -> None:
    assert configure("daformer", "street_scenes", cpu=True).steps == 800
