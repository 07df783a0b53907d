"""Depth: what file values mean, the street scenes' own depth, crops with their pictures, and what is refused."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from tests.street_folders import write_folder
from tests.tiny import QUIET, tiny

from segue.checking.checks import findings
from segue.data.crop import RandomCrop
from segue.data.depth_file import UNKNOWN, DepthSettings, in_centimetres, nearness_of, read_depth, write_depth
from segue.data.label_file import deep_png
from segue.data.loader import Loader
from segue.data.part import Joined, Part
from segue.data.stereo import Cameras, measure_depth
from segue.data.streets.canvas import SKY, STREET_CLASSES, Dice
from segue.data.streets.dataset import StreetScenes, depth_of, render
from segue.data.streets.render import look_at
from segue.data.streets.scene import draw_street
from segue.engine.domains import open_domain
from segue.engine.inventory import take_inventory
from segue.engine.settings import DataSettings, DomainSettings
from segue.engine.stages import train
from segue.types import Sample

SIZE = (64, 128)


@pytest.mark.parametrize(
    ("said", "values", "wanted"),
    [
        ({"encoding": "mono"}, [0, 256, 5120], [1.0, 2.0, 21.0]),
        ({"encoding": "stereo"}, [0, 1000, 65535], [1.0, 655.36 / 10.01, 1.0]),
        ({"encoding": "synthia"}, [2000, 65535, 0], [655.36 / 20.01, 1.0, 1.0]),
        ({"encoding": "metric", "scale": 0.001, "missing": 7}, [7, 0, 10000], [1.0, 65536.0, 655.36 / 10.01]),
        ({"encoding": "disparity", "scale": 0.5}, [0, 4], [1.0, 3.0]),
    ],
)
def test_values_mean_what_the_published_code_takes_them_for(said: dict, values: list, wanted: list) -> None:
    table = DepthSettings(folder=Path("depth"), **said).nearness()
    assert table[values] == pytest.approx(wanted, rel=1e-5)
    assert table.min() >= UNKNOWN and len(table) == 65536


@pytest.mark.parametrize("said", [{"encoding": "metric"}, {"encoding": "mono", "scale": 2.0}])
def test_a_scale_belongs_to_encodings_without_one(said: dict) -> None:
    with pytest.raises(ValidationError, match="scale, what a value is multiplied by"):
        DepthSettings(folder=Path("depth"), **said)


def test_one_channel_or_the_first_of_three_of_sixteen_bits(tmp_path: Path) -> None:
    values = np.arange(12, dtype=np.uint16).reshape(3, 4) * 5000
    write_depth(tmp_path / "one.png", values)
    (tmp_path / "three.png").write_bytes(deep_png(np.stack([values, values + 1, values], axis=-1)))
    for name in ("one.png", "three.png"):
        assert np.array_equal(read_depth(tmp_path / name), values)
    write_depth(tmp_path / "thin.png", values.astype(np.uint8))
    with pytest.raises(ValueError, match=r"thin.png: L pixels; depth is a PNG of 16 bits"):
        read_depth(tmp_path / "thin.png")


@pytest.mark.parametrize("domain", ["source", "target"])
def test_the_depth_of_a_scene_is_that_of_its_drawing(domain: str) -> None:
    """The ground lies where the camera's geometry says, nothing lies behind it, and what stands is as far as drawn."""
    for seed in range(5):
        label = render(seed, domain)[1]
        depth = depth_of(seed, domain) / 100
        scene = draw_street(Dice((seed, ["source", "target"].index(domain))), domain, size=label.shape)
        camera = scene.canvas.camera
        row = np.arange(label.shape[0])[:, None] + 0.5 - camera.horizon
        ground = np.broadcast_to(camera.focal * camera.height / np.maximum(row, 1e-6), label.shape)
        near = (row > 1) & (ground < 60)
        pixel_up = camera.focal * camera.height / np.maximum(row - 1, 0.1)  # things stand on whole pixels
        grown = label == STREET_CLASSES.index("vegetation")  # the foot of a bush is in the ground
        assert (depth <= pixel_up + 0.02)[near & ~grown].all()
        is_road = near & (label == 0)
        assert np.abs(depth - ground)[is_road].max() < 0.02 and is_road.any()
        assert (depth[label == SKY] == 655.35).all()
        seen = look_at(scene)
        faces = seen.by_part((seen.parts[:, 5:7] == 0).all(1)) & (label != SKY)
        drawn = 1 / seen.by_part(seen.parts[:, 4])[faces]
        assert np.abs(depth[faces] - drawn).max() < 0.01
        upright = np.isin(label, [STREET_CLASSES.index(name) for name in ("person", "car", "bicycle")]) & near
        assert (depth < ground)[upright].mean() > 0.95


def test_scenes_give_the_inverse_of_their_depth() -> None:
    scenes = StreetScenes("target", count=3, size=SIZE)
    near = scenes.depth(1)
    metres = depth_of(scenes.scene_seed(1), "target", SIZE) / 100
    assert near.dtype == torch.float32 and near.shape == SIZE
    assert np.allclose(near.numpy(), np.maximum(655.36 / (metres + 0.01), 1), rtol=1e-5)
    assert torch.equal(Part(scenes, 1, 2).depth(0), near)
    both = Joined(scenes, scenes)
    assert both.has_depth and torch.equal(both.depth(4), near)
    assert in_centimetres(np.array([0.0, -1.0, 0.001, 9999.0])).tolist() == [0, 0, 1, 65535]


@pytest.mark.parametrize("factor", [1, 2])
def test_depth_is_cut_where_its_picture_is_and_keeps_its_values(factor: int) -> None:
    """Also if the file is smaller than the picture, after resizing and mirroring; padding is not known."""
    rows = torch.arange(40, dtype=torch.uint8).view(-1, 1).expand(40, 60)
    columns = torch.arange(60, dtype=torch.uint8).view(1, -1).expand(40, 60)
    depth = (100.0 * rows + columns + 2)[::factor, ::factor].contiguous()
    sample = Sample(torch.stack([rows, columns, rows]), None, None, "picture", depth=depth)
    crop = RandomCrop((48, 48), fill=(0, 0, 0), resize=(60, 90), scale=(0.8, 1.2), flip=0.5)
    for seed in range(8):
        piece = crop(sample, torch.Generator().manual_seed(seed))
        assert piece.depth is not None and piece.valid is not None and piece.depth.shape == (48, 48)
        known = piece.valid
        assert (piece.depth[~known] == UNKNOWN).all() and set(piece.depth.unique().tolist()) <= {
            UNKNOWN,
            *depth.flatten().tolist(),
        }
        value = piece.depth[known] - 2
        assert (value // 100 - piece.image[0][known]).abs().max() <= factor
        assert (value % 100 - piece.image[1][known]).abs().max() <= factor


def test_a_batch_has_depth_only_if_asked() -> None:
    def first(**more: bool):
        scenes = [StreetScenes(domain, count=2, size=SIZE) for domain in ("source", "target")]
        loader = Loader(
            *scenes, source_transform=RandomCrop(SIZE, fill=(0, 0, 0), flip=0.0), batch=1, seed=0,
            mean=(0, 0, 0), std=(1, 1, 1), **more,
        )  # fmt: skip
        return scenes, next(loader.steps(0, 1))

    scenes, batch = first(depth=True)
    for half, domain in ((batch.source, scenes[0]), (batch.target, scenes[1])):
        assert torch.equal(half.depth[0], domain.depth(int(half.names[0][-1])))
    assert first()[1].source.depth is None and first()[1].target.depth is None


@pytest.fixture
def folders(tmp_path: Path) -> DataSettings:
    """Two folders of scenes with their depth beside them, in centimetres."""
    for domain in ("source", "target"):
        write_folder(tmp_path / domain, domain, split="train", count=2, size=SIZE)
        scenes = StreetScenes(domain, count=2, size=SIZE)
        for index in range(2):
            file = tmp_path / domain / f"depth/{scenes.name(index)}_d.png"
            write_depth(file, depth_of(scenes.scene_seed(index), domain, SIZE))
    own = {"split": "train", "depth": DepthSettings(folder=Path("depth"), suffix="_d")}
    return DataSettings(
        root=tmp_path, classes=list(STREET_CLASSES.names), crop=(32, 32),
        source=DomainSettings(root=Path("source"), **own), target=DomainSettings(root=Path("target"), **own),
    )  # fmt: skip


def test_a_folder_of_depth_files_is_read_by_name(folders: DataSettings) -> None:
    opened = open_domain(folders, folders.source, labelled=True, depth=True)
    opened.check()
    scenes = StreetScenes("source", count=2, size=SIZE)
    assert opened.has_depth and len(opened) == 2
    for index in range(2):
        assert torch.equal(opened.depth(index), scenes.depth(index))
        assert torch.equal(opened.label(index), scenes.label(index))
    assert not open_domain(folders, folders.source, labelled=True).has_depth
    assert (nearness_of(np.array([10.0])) > 1).all()


def spoilt(data: DataSettings, name: str) -> tuple[str, ...]:
    """Spoil a depth file of the target; what must be said of it."""
    path = sorted((data.root / "target/depth").iterdir())[0]
    match name:
        case "missing":
            path.unlink()
            return ("no depth target_train_00000_d.png", "1 of 2", "data.target.depth.folder")
        case "cut off":
            path.write_bytes(path.read_bytes()[:200])
            return (path.name, "damaged or cut off")
        case "8 bits":
            write_depth(path, np.zeros(SIZE, np.uint8))
            return (path.name, "16 bits")
        case _:
            write_depth(path, np.ones((64, 64), np.uint16))
            return (path.name, "64x64 pixels, but its picture has 128x64")


@pytest.mark.parametrize("name", ["missing", "cut off", "8 bits", "shape"])
def test_what_is_wrong_with_depth_files_is_told_before_training(folders: DataSettings, name: str) -> None:
    survey = take_inventory(folders, depths="named")
    survey.look(workers=0)
    assert [one.text for _, one in findings(survey) if one.severity == "error"] == []
    words = spoilt(folders, name)
    survey = take_inventory(folders, depths="named")
    survey.look(workers=0)
    told = [one.text for _, one in findings(survey) if one.severity == "error"]
    assert len(told) == 1 and all(word in told[0] for word in words), told
    if name != "cut off":  # which only decoding shows
        with pytest.raises((ValueError, OSError), match=words[0]):
            open_domain(folders, folders.target, labelled=False, depth=True).check()


def test_a_recipe_that_learns_depth_refuses_pictures_without(folders: DataSettings, tmp_path: Path) -> None:
    bare = folders.model_copy(update={"target": folders.target.model_copy(update={"depth": None})})
    with pytest.raises(
        ValueError, match=r"the target does not say: .*data\.target\.depth\.folder=DIR; `segue depth`"
    ):
        open_domain(bare, bare.target, labelled=False, depth=True)
    survey = take_inventory(bare, depths="needed")
    assert "the target does not say" in " ".join(survey.domains["target"].refusals)
    assert survey.domains["source"].refusals == [] and len(survey.domains["source"].depths) == 2
    wanted = tiny("corda").model_copy(update={"data": bare.model_copy(update={"crop": (64, 64)})})
    with pytest.raises(ValueError, match="the target does not say"):
        train(wanted, tmp_path / "run", console=QUIET, cpu=True)
    assert not (tmp_path / "run" / "experiment.yaml").exists()
    generated = tiny("corda", {"data": {"source": {"depth": {"folder": "there"}}}})
    with pytest.raises(ValueError, match="not read from files: leave out depth"):
        train(generated, tmp_path / "run", console=QUIET, cpu=True)


def test_cityscapes_own_disparities_need_no_opencv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """(value - 1) / 256 pixels; 0 is unknown, and 1 as far as can be."""
    monkeypatch.setitem(sys.modules, "cv2", None)
    write_depth(tmp_path / "in/town/0_disparity.png", np.array([[0, 1, 2561, 65535]], np.uint16))
    told = measure_depth(tmp_path / "in", None, tmp_path / "out", cameras=Cameras(focal=200, baseline=0.1))
    assert told == {"pictures": 1, "written": 1, "known": 0.75}
    assert read_depth(tmp_path / "out/town/0.png").tolist() == [[0, 65535, 200, round(2000 * 256 / 65534)]]
