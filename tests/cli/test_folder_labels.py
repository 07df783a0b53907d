"""A folder's own class list says what its labels mean, to every verb alike: names meet names, or the verb refuses.

The same pictures get the same score by ``train --evaluation`` and by ``evaluate --data``; a CamVid-like folder with a
Cityscapes-like ``--classes`` is never read by position.
"""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from tests.cli.conftest import Run, save

from segue.data.folder import ImageFolder
from segue.engine import experiment as experiments
from segue.engine.domains import open_domain, training_classes
from segue.recipes.catalogue import experiment
from segue.recipes.own_folders import from_folders

CITY = ["road", "sidewalk", "building", "vegetation", "sky", "car"]
CAMVID = ["sky", "building", "road", "pavement", "tree", "car"]
SMALL = ["steps=2", "network.encoder=mit_nano", "network.head=segformer", "network.channels=8",
         "data.crop=[32,32]", "data.workers=0", "optim.lr=0.01"]  # fmt: skip


def write(folder: Path, classes: list[str] | None, seed: int, *, meant: list[str] = CITY) -> Path:
    """Pictures whose grey is the class, by its place in CITY; the labels are by the folder's own list."""
    generator = np.random.default_rng(seed)
    names = classes or meant
    for name in ("a", "b", "c"):
        values = generator.integers(0, len(names), (4, 5)).repeat(8, 0).repeat(8, 1)
        grey = np.array([40 * (CITY.index(n) if n in CITY else 6) for n in names])[values]
        save(folder / f"images/{name}.png", np.stack([grey] * 3, axis=-1))
        save(folder / f"labels/{name}.png", values)
    if classes is not None:
        (folder / "classes.json").write_text(json.dumps(classes))
    return folder


def train(tmp_path: Path, source: Path, evaluation: Path, *more: object) -> list[object]:
    sets = [part for assignment in SMALL for part in ("--set", assignment)]
    return ["train", "source_only", "--cpu", "--source", source, "--target", evaluation, "--evaluation", evaluation,
            "--out", tmp_path / "run", *sets, *more]  # fmt: skip


def score(path: Path) -> dict[str, float]:
    found = json.loads(path.read_text())
    return found["per_class_iou"]


@pytest.mark.slow
def test_the_same_pictures_have_the_same_score_by_both_verbs(tmp_path: Path, segue: Run) -> None:
    """The evaluation folder numbers the same classes in another order than --classes."""
    source, other = write(tmp_path / "source", None, 0), write(tmp_path / "other", CITY[::-1], 1)
    (tmp_path / "city.yaml").write_text(yaml.safe_dump(CITY))
    code, _, said = segue(*train(tmp_path, source, other, "--classes", tmp_path / "city.yaml"))
    assert code == 0, said
    run = tmp_path / "run"
    assert segue("evaluate", run, "--data", other, "--json", tmp_path / "again.json")[0] == 0
    assert segue("evaluate", run, "--json", tmp_path / "own.json")[0] == 0
    trained = score(run / "scores.json")
    assert trained == score(tmp_path / "again.json") == score(tmp_path / "own.json")
    # What is counted is what the folder's numbers mean, counted here by hand.
    settings = experiments.load(run / "experiment.yaml")
    assert settings.data.evaluation is not None
    dataset = open_domain(settings.data, settings.data.evaluation, labelled=True)
    with Image.open(other / "labels/a.png") as label:
        values = np.asarray(label)
    assert (dataset.label(0).numpy() == len(CITY) - 1 - values).all()


@pytest.mark.slow
def test_a_list_whose_values_do_not_count_from_zero_means_the_same_to_both_verbs(
    tmp_path: Path, segue: Run
) -> None:
    """Folders without a list of their own: ``evaluate`` reads them as the run did."""
    source, other = write(tmp_path / "source", None, 0), write(tmp_path / "other", None, 1)
    for path in (tmp_path / "source/labels").iterdir():
        save(path, np.asarray(Image.open(path)).clip(0, 2) + 1)
    for path in (tmp_path / "other/labels").iterdir():
        save(path, np.asarray(Image.open(path)).clip(0, 1) + 1)
    (tmp_path / "three.yaml").write_text("{1: road, 2: sidewalk, 3: building}")
    code, _, said = segue(*train(tmp_path, source, other, "--classes", tmp_path / "three.yaml"))
    assert code == 0, said
    found = segue("evaluate", tmp_path / "run", "--data", other, "--json", tmp_path / "again.json")
    assert found[0] == 0, found[2]
    assert score(tmp_path / "run/scores.json") == score(tmp_path / "again.json")
    assert score(tmp_path / "again.json")["building"] is None


def written_map(said: str) -> dict[str, str]:
    return yaml.safe_load(re.findall(r"\{.*?\}", said)[0])


@pytest.mark.slow
def test_a_camvid_like_folder_with_a_cityscapes_like_list_is_refused_with_the_map(
    tmp_path: Path, segue: Run
) -> None:
    source, other = write(tmp_path / "camvid", CAMVID, 0), write(tmp_path / "city", CITY, 1)
    (tmp_path / "city.yaml").write_text(yaml.safe_dump(CITY))
    arguments = train(tmp_path, source, other, "--classes", tmp_path / "city.yaml")
    code, _, said = segue(*arguments)
    assert code == 2 and said.count("\n") == 1
    begins = (
        f"segue: {source / 'classes.json'}: 2 of its classes are not training classes; add to data.source."
    )
    assert said.startswith(
        f"{begins}class_map (the pair's file, or --set), with a training class (road, sidewalk, "
    )
    assert written_map(said) == {"pavement": "?", "tree": "?"}
    assert not (tmp_path / "run").exists()
    # What it says to write is understood, and an uncompleted map is not.
    code, _, said = segue(*arguments, "--set", f"data.source.class_map={json.dumps(written_map(said))}")
    assert code == 2 and "'pavement' goes to '?'" in said
    completed = "data.source.class_map={pavement: sidewalk, tree: vegetation}"
    code, _, said = segue(*arguments, "--set", completed)
    assert code == 0, said
    # The other way round it is the evaluation's map that is missing, of both verbs.
    code, _, said = segue(*train(tmp_path / "second", other, source))
    assert (
        code == 2
        and "data.evaluation.class_map" in said
        and written_map(said) == {"pavement": "?", "tree": "?"}
    )
    alone = shutil.copytree(tmp_path / "run/model", tmp_path / "alone")
    code, _, said = segue("evaluate", alone, "--data", source)
    assert code == 2 and "the file of --map" in said and written_map(said) == {"pavement": "?", "tree": "?"}
    # The run knows its own folders: `evaluate` reads the source as training did.
    code, _, said = segue("evaluate", tmp_path / "run", "--data", source, "--json", tmp_path / "source.json")
    assert code == 0, said
    code, _, said = segue("saliency", tmp_path / "run", "--against", "source", "--data", source)
    assert code == 0, said


def test_the_oracle_is_told_where_the_targets_map_goes(tmp_path: Path) -> None:
    source, target = write(tmp_path / "city", CITY, 0), write(tmp_path / "camvid", CAMVID, 1)
    pair = from_folders({"source": source, "target": target})
    settings = experiment("target_supervised", pair)
    with pytest.raises(ValueError, match=r"add to data\.target\.class_map .*\{pavement: '\?', tree: '\?'\}"):
        open_domain(settings.data, settings.data.source, labelled=True)
    mended = {"data": {"target": {"class_map": {"*": "ignore"}}}}
    settings = experiment("target_supervised", pair, mended)
    dataset = open_domain(settings.data, settings.data.source, labelled=True)
    own = ImageFolder(
        target, classes=training_classes(settings.data), labelled=True, class_map={"*": "ignore"}
    )
    assert all(dataset.label(index).equal(own.label(index)) for index in range(3))


def test_fusing_by_truth_reads_a_data_sets_labels_by_its_own_list(tmp_path: Path, segue: Run) -> None:
    """One member is the truth in the result's numbers; labels of the data set number the classes otherwise."""
    truth = write(tmp_path / "truth", CITY[::-1], 0)
    for name in ("right", "wrong"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "classes.json").write_text(json.dumps(CITY))
        for path in (truth / "labels").iterdir():
            values = np.asarray(Image.open(path))
            save(tmp_path / name / path.name, len(CITY) - 1 - values if name == "right" else values)
    fuse = ["fuse", f"wrong={tmp_path}/wrong", f"right={tmp_path}/right", "--policy", "truth", "--labels"]
    code, said, error = segue(*fuse, truth / "labels", "--out", tmp_path / "fused")
    assert code == 0, error
    assert len(re.findall(r"│ right ", said.split("pictures fused")[0])) == len(CITY)
    (truth / "classes.json").write_text(json.dumps([*CITY[:0:-1], "street"]))
    code, _, said = segue(*fuse, truth / "labels", "--out", tmp_path / "again")
    assert code == 2 and "add to the file of --labels-map" in said and written_map(said) == {"street": "?"}
    (tmp_path / "map.yaml").write_text("street: road\n")
    code, _, said = segue(
        *fuse, truth / "labels", "--labels-map", tmp_path / "map.yaml", "--out", tmp_path / "again"
    )
    assert code == 0, said
