"""``segue label`` and ``segue fuse`` end to end: every kind of member, resuming, policies, and bad input."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.tiny import ready, tiny
from typer.testing import CliRunner

from segue import api
from segue.cli.main import app
from segue.types import IGNORE

CLASSES = ["road", "car", "sky"]


def run(*arguments: object):
    return CliRunner().invoke(app, list(map(str, arguments)))


@pytest.fixture
def pictures(labelled_folder: Path) -> Path:
    return labelled_folder / "images/val"


def write_labels(folder: Path, seed: int, *, classes: list[str] = CLASSES, size=(40, 70)) -> Path:
    generator = np.random.default_rng(seed)
    (folder / "index").mkdir(parents=True)
    for name in ("a", "b"):
        values = generator.integers(0, len(classes), size, dtype=np.uint8)
        Image.fromarray(values).save(folder / "index" / f"{name}.png")
    (folder / "classes.json").write_text(json.dumps({"classes": classes}))
    return folder


def read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def stamps(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in sorted((folder / "index").rglob("*.png"))}


def test_labels_are_predictions_and_labelling_goes_on(
    model_folder: Path, pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "labels"
    first = run("label", model_folder, pictures, "--out", out, "--shard", "0/2", "--soft")
    assert first.exit_code == 0 and "1 pictures labelled now, of 2" in first.output
    assert not (out / "statistics.json").exists()
    before = stamps(out)
    rest = run("label", model_folder, pictures, "--out", out, "--soft")
    assert "1 pictures labelled now, of 2" in rest.output
    assert {name: stamps(out)[name] for name in before} == before
    assert run("predict", model_folder, pictures, "--out", tmp_path / "predicted").exit_code == 0
    for name in ("a", "b"):
        for kind in ("index", "confidence"):
            theirs = read(tmp_path / "predicted" / kind / f"{name}.png")
            assert (read(out / kind / f"{name}.png") == theirs).all()
    found = json.loads((out / "statistics.json").read_text())
    labels = np.stack([read(out / "index" / f"{name}.png") for name in ("a", "b")])
    sure = np.stack([read(out / "confidence" / f"{name}.png") for name in ("a", "b")]) / 255
    for place, name in enumerate(CLASSES):
        about = found["classes"][name]
        assert about["pixels"] == (labels == place).sum()
        if about["pixels"]:
            assert about["certainty"] == pytest.approx(sure[labels == place].mean())
        else:
            assert about["certainty"] is None


def test_thresholds_and_portions_leave_pixels_out(model_folder: Path, pictures: Path, tmp_path: Path) -> None:
    assert run("label", model_folder, pictures, "--out", tmp_path / "all").exit_code == 0
    sure = read(tmp_path / "all/confidence/a.png") / 255
    limit = float(np.median(sure)) + 0.002
    assert run("label", model_folder, pictures, "--out", tmp_path / "t", "--threshold", limit).exit_code == 0
    assert ((read(tmp_path / "t/index/a.png") == IGNORE) == (sure < limit - 0.003))[
        abs(sure - limit) > 0.004
    ].all()
    assert run("label", model_folder, pictures, "--out", tmp_path / "p", "--portion", 0.2).exit_code == 0
    labels = np.stack([read(tmp_path / "all/index" / f"{name}.png") for name in ("a", "b")])
    kept = np.stack([read(tmp_path / "p/index" / f"{name}.png") for name in ("a", "b")])
    share = (kept != IGNORE).mean()
    assert 0.1 < share < 0.35 and labels.shape == kept.shape
    both = run("label", model_folder, pictures, "--out", tmp_path / "x", "--portion", 0.2, "--threshold", 0.5)
    assert "exclude each other" in str(both.exception)
    assert "write it as 0/4" in str(
        run("label", model_folder, pictures, "--out", "x", "--shard", "2").exception
    )
    assert "the last of 2 is 1/2" in str(
        run("label", model_folder, pictures, "--out", "x", "--shard", "2/2").exception
    )


def test_fusing_folders_a_model_and_an_onnx_file(model_folder: Path, pictures: Path, tmp_path: Path) -> None:
    """A policy from a file; the result is the member's label wherever it alone claims a pixel."""
    members = [
        f"first={write_labels(tmp_path / 'first', 1)}",
        f"model={model_folder}",
        f"net={onnx_file(tmp_path / 'net.onnx')}",
    ]
    (tmp_path / "policy.yaml").write_text("road: model\ncar: net\n'*': first\n")
    out = tmp_path / "fused"
    found = run("fuse", *members, "--pictures", pictures, "--policy", tmp_path / "policy.yaml", "--out", out)
    assert found.exit_code == 0, (found.output, found.exception)
    assert run("label", model_folder, pictures, "--out", tmp_path / "own").exit_code == 0
    account = json.loads((out / "fusion.json").read_text())
    assert account["members"] == ["first", "model", "net"] and account["rules"]["policy"] == [1, 2, 0]
    for name in ("a", "b"):
        first, model = (read(tmp_path / folder / f"index/{name}.png") for folder in ("first", "own"))
        net = (read(pictures / f"{name}.jpg")[..., :3].astype(float).mean(-1) > 127).astype(
            np.uint8
        )  # 0 or 1
        claims = np.stack([model == 0, net == 1, first == 2])
        alone = claims.sum(0) == 1
        expected = np.select(list(claims), [0, 1, 2], IGNORE)
        assert (read(out / f"index/{name}.png")[alone] == expected[alone]).all()
    assert account["pictures"] == 2 and account["pixels"] == 2 * 40 * 70
    page = (out / "report.html").read_text()
    assert "Who is believed for what" in page and 'src="data:image' in page and 'src="http' not in page
    before = stamps(out)
    (out / "index/b.png").unlink()
    again = run("fuse", *members, "--pictures", pictures, "--policy", tmp_path / "policy.yaml", "--out", out)
    assert "1 pictures fused now, of 2" in again.output
    assert stamps(out)["a.png"] == before["a.png"]
    assert json.loads((out / "fusion.json").read_text()) == account


def onnx_file(path: Path) -> Path:
    """Bright pixels are cars, others road: logits from the mean of the colours, in three classes."""
    from onnx import TensorProto, helper, save

    weight = np.zeros((3, 3, 1, 1), np.float32)
    weight[1] = 10.0
    nodes = [helper.make_node("Conv", ["image", "weight", "bias"], ["logits"])]
    initial = [
        helper.make_tensor("weight", TensorProto.FLOAT, weight.shape, weight.ravel().tolist()),
        helper.make_tensor("bias", TensorProto.FLOAT, (3,), [0.0, -1e-3, -1e3]),
    ]
    shape = ["b", 3, "h", "w"]
    graph = helper.make_graph(
        nodes, "bright",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["b", 3, "h", "w"])],
        initial,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    save(model, path)
    path.with_suffix(".json").write_text(
        json.dumps({"classes": CLASSES, "mean": [127.0] * 3, "std": [1.0] * 3})
    )
    return path


def test_class_lists_meet_through_maps(tmp_path: Path) -> None:
    one = write_labels(tmp_path / "one", 1)
    other = write_labels(tmp_path / "other", 2, classes=["asphalt", "van", "heaven", "bus"])
    (tmp_path / "map.yaml").write_text("asphalt: road\nvan: car\nbus: car\nheaven: ignore\n")
    arguments = (f"one={one}", f"other={other}", "--fusion", "pixel", "--out", tmp_path / "fused")
    without = run("fuse", *arguments)
    assert (
        "other/classes.json: 4 of its classes are not training classes; add to the class map of member other"
        in str(without.exception)
    )
    assert not (tmp_path / "fused").exists()
    found = run("fuse", *arguments, "--map", f"other={tmp_path / 'map.yaml'}")
    assert found.exit_code == 0, found.exception
    table = np.array([0, 1, IGNORE, 1], np.uint8)
    first, second = read(one / "index/a.png"), table[read(other / "index/a.png")]
    expected = np.minimum(first, second)  # of two votes the lower class, or the only one
    assert (read(tmp_path / "fused/index/a.png") == expected).all()


def test_policies(tmp_path: Path) -> None:
    folders = {name: write_labels(tmp_path / name, seed) for seed, name in enumerate(("one", "two"))}
    members = [f"{name}={folder}" for name, folder in folders.items()]

    def policy(*arguments: object) -> list[int]:
        out = tmp_path / f"out{len(list(tmp_path.iterdir()))}"
        found = run("fuse", *members, "--out", out, *arguments)
        assert found.exit_code == 0, found.exception
        return json.loads((out / "fusion.json").read_text())["rules"]["policy"]

    assert policy("--policy", "uniform:two") == [1, 1, 1]
    assert policy("--policy", "random:3") == policy("--policy", "random:3")
    truth = policy("--policy", "truth", "--labels", folders["two"] / "index")
    assert truth == [1, 1, 1]  # the second one is right everywhere
    for name, certainty in (("one", [0.9, 0.2, None]), ("two", [0.5, 0.8, None])):
        folder = tmp_path / f"student_{name}"
        folder.mkdir()
        about = {c: {"pixels": 1, "certainty": v} for c, v in zip(CLASSES, certainty, strict=True)}
        (folder / "statistics.json").write_text(json.dumps({"classes": about}))
    students = [f"--student={name}={tmp_path / f'student_{name}'}" for name in folders]
    assert policy("--policy", "certainty", *students) == [0, 1, 1]
    bad = {
        ("--policy", "certainty"): "needs a student of every member",
        ("--policy", "uniform:three"): "no member 'three'",
        ("--policy", "random:x"): "write it as random:SEED",
        ("--policy", "truth"): "needs --labels",
        ("--policy", tmp_path / "none.yaml"): "no such policy file",
        ("--policy", "random:1", "--threshold", 0.5): "member one has no probabilities",
        ("--policy", "random:1", "--conflict", "order"): "conflict order needs an order",
    }
    for arguments, message in bad.items():
        assert message in str(run("fuse", *members, "--out", tmp_path / "bad", *arguments).exception), (
            arguments
        )
    (tmp_path / "p.yaml").write_text("road: one\n")
    lost = run("fuse", *members, "--out", tmp_path / "bad", "--policy", tmp_path / "p.yaml")
    assert "nobody is believed for car, sky" in str(lost.exception)


def test_rare_classes_come_first(tmp_path: Path) -> None:
    """By precedence of the classes that members name least, whatever the order of their numbers."""
    one, two = write_labels(tmp_path / "one", 1), write_labels(tmp_path / "two", 2)
    for folder in (one, two):
        for name in ("a", "b"):
            values = read(folder / f"index/{name}.png").copy()
            values[:20] = 1  # cars are the most, skies the fewest
            values[20:24][values[20:24] == 2] = 0
            Image.fromarray(values).save(folder / f"index/{name}.png")
    out = tmp_path / "out"
    arguments = (f"one={one}", f"two={two}", "--policy", "random:1", "--conflict", "order", "--out", out)
    assert run("fuse", *arguments, "--order", "rare").exit_code == 0
    assert json.loads((out / "fusion.json").read_text())["rules"]["order"] == [2, 0, 1]
    same = run("fuse", *arguments, "--order", "sky,road,car")
    assert same.exit_code == 0 and "0 pictures fused now" in same.output


def test_labels_put_other_policies_beside_the_one_in_use(tmp_path: Path) -> None:
    """They are measured by and change nothing: the same labels and the same policy as without them."""
    one, two = write_labels(tmp_path / "one", 1), write_labels(tmp_path / "two", 2)
    arguments = ("fuse", f"one={one}", f"two={two}", "--policy", "random:3", "--out")
    with_labels = run(*arguments, tmp_path / "with", "--labels", two)
    without = run(*arguments, tmp_path / "without")
    for part in (
        "used: random:3",
        "best member: two",
        "100.0",
        "majority",
        "5 random policies",
        "oracle policy",
    ):
        assert part in with_labels.output
    assert "what this policy is worth is not known" in without.output and "--labels" in without.output
    measured, blind = (
        json.loads((tmp_path / out / "fusion.json").read_text()) for out in ("with", "without")
    )
    compared = measured.pop("compared")
    assert measured == blind and compared["oracle"] == compared["members"]["two"] == 1.0
    for name in ("a", "b"):
        assert (
            read(tmp_path / f"with/index/{name}.png") == read(tmp_path / f"without/index/{name}.png")
        ).all()
    page, plain = ((tmp_path / out / "report.html").read_text() for out in ("with", "without"))
    assert "What it is worth" in page and "member two alone" in page and "IoU of one" in page
    assert "What it is worth" not in plain and "IoU one" not in plain


def test_members_that_do_not_fit(tmp_path: Path) -> None:
    one, two = write_labels(tmp_path / "one", 1), write_labels(tmp_path / "two", 2)

    def complaint(*changes: object) -> str:
        found = run(
            "fuse", f"one={one}", f"two={two}", "--fusion", "pixel", "--out", tmp_path / "out", *changes
        )
        assert found.exit_code != 0
        return str(found.exception)

    whole = (two / "index/b.png").read_bytes()
    (two / "index/b.png").unlink()
    assert "member two has other pictures than member one: it lacks 'b'" in complaint()
    (two / "index/b.png").write_bytes(whole[: len(whole) // 2])
    assert "b.png" in complaint()
    Image.fromarray(np.zeros((20, 30), np.uint8)).save(two / "index/b.png")
    assert "different sizes: one 70x40, two 30x20" in complaint()
    Image.fromarray(np.full((40, 70), 9, np.uint8)).save(two / "index/b.png")
    assert "label values 9 are outside the class list" in complaint()
    (two / "index/b.png").write_bytes(whole)
    # What was fused before the mistake stays, and the same command goes on.
    assert (
        run("fuse", f"one={one}", f"two={two}", "--fusion", "pixel", "--out", tmp_path / "out").exit_code == 0
    )
    shutil.rmtree(two / "index")
    assert "no label" in complaint() or "other pictures" in complaint() or "picture" in complaint()
    assert "neither a folder nor an .onnx file" in str(
        run("fuse", f"x={tmp_path / 'no'}", "--out", "y").exception
    )
    assert "write it as NAME=PATH" in str(run("fuse", "x", "--out", "y").exception)
    (tmp_path / "bad.onnx").write_bytes(b"nonsense")
    assert "not an ONNX network" in str(run("fuse", f"x={tmp_path / 'bad.onnx'}", "--out", "y").exception)


def test_a_member_that_never_names_a_class_is_fine(tmp_path: Path) -> None:
    one, two = write_labels(tmp_path / "one", 1), write_labels(tmp_path / "two", 2)
    for name in ("a", "b"):
        values = read(two / f"index/{name}.png").copy()
        values[values == 2] = 0
        Image.fromarray(values).save(two / f"index/{name}.png")
    (tmp_path / "p.yaml").write_text("sky: two\n'*': one\n")
    found = run(
        "fuse", f"one={one}", f"two={two}", "--policy", tmp_path / "p.yaml", "--out", tmp_path / "out"
    )
    assert found.exit_code == 0
    account = json.loads((tmp_path / "out/fusion.json").read_text())
    assert account["classes"][2] == 0 and account["named"][1][2] == 0 and account["unclaimed"] > 0


def test_torn_records_of_an_interrupted_fusion_are_left_out(tmp_path: Path) -> None:
    one, two = write_labels(tmp_path / "one", 1), write_labels(tmp_path / "two", 2)
    arguments = (f"one={one}", f"two={two}", "--fusion", "pixel", "--out", tmp_path / "out")
    assert run("fuse", *arguments).exit_code == 0
    account = (tmp_path / "out/fusion.json").read_text()
    log = tmp_path / "out/pictures.jsonl"
    log.write_text(log.read_text()[:-20])
    assert "1 pictures fused now, of 2" in run("fuse", *arguments).output
    assert (tmp_path / "out/fusion.json").read_text() == account
    assert torch.tensor(json.loads(account)["agreeing"]).shape == (2, 2)


@pytest.mark.slow
def test_an_ensemble_from_members_to_reports(tmp_path: Path) -> None:
    wanted = ready(tiny("ensemble"), tmp_path / "members")
    trained = api.train(wanted, out=tmp_path / "run", cpu=True, quiet=True)
    scores = trained.record
    assert scores is not None and scores == json.loads((tmp_path / "run/scores.json").read_text())
    account = json.loads((tmp_path / "run/fused/fusion.json").read_text())
    assert account["members"] == ["one", "two"] and len(account["certainty"]) == 2
    assert len(account["rules"]["policy"]) == 12 and account["pictures"] == 6
    assert "Who is believed for what" in (tmp_path / "run/fused/report.html").read_text()
    assert trained.report.is_file() and trained.fusion_report == tmp_path / "run/fused/report.html"
    found = run("evaluate", tmp_path / "run", "--device", "cpu")
    assert f"{100 * scores['mean_iou']:.1f}" in found.output
    bare = tiny("ensemble")
    with pytest.raises(ValueError, match=r"--set method\.ensemble\.members="):
        api.train(bare, out=tmp_path / "bare", cpu=True, quiet=True)
    with pytest.raises(ValueError, match=r"recipe cbst starts from a trained model"):
        api.train(tiny("cbst"), out=tmp_path / "bare", cpu=True, quiet=True)
    with pytest.raises(ValueError, match=r"recipe end distils models"):
        api.train(tiny("end"), out=tmp_path / "bare", cpu=True, quiet=True)
    assert not (tmp_path / "bare").exists()


def test_labels_made_otherwise_are_not_mixed(model_folder: Path, pictures: Path, tmp_path: Path) -> None:
    """A folder goes on only with the members, rules and model that it was begun with; nothing of it is touched."""
    first, second = (write_labels(tmp_path / name, seed) for seed, name in enumerate(("one", "two")))
    out, members = tmp_path / "fused", (f"one={first}", f"two={second}")
    assert run("fuse", *members, "--out", out, "--policy", "random:0").exit_code == 0
    before, page = stamps(out), (out / "fusion.json").read_text()
    for named, *arguments in (
        ("policy", *members, "--policy", "uniform:one"),
        ("window", *members, "--policy", "random:0", "--window", 3),
        ("kind", *members, "--fusion", "pixel"),
        ("members", f"one={second}", f"two={first}", "--policy", "random:0"),
    ):
        refused = run("fuse", *arguments, "--out", out)
        assert f"{out} holds labels made otherwise ({named} was" in str(refused.exception)
    assert stamps(out) == before and (out / "fusion.json").read_text() == page
    labels = tmp_path / "labels"
    assert run("label", model_folder, pictures, "--out", labels).exit_code == 0
    for named, *option in (
        ("threshold", "--threshold", 0.5),
        ("portion", "--portion", 0.2),
        ("soft", "--soft"),
    ):
        refused = run("label", model_folder, pictures, "--out", labels, *option)
        assert f"made otherwise ({named} was" in str(refused.exception)
    assert run("label", model_folder, pictures, "--out", labels).exit_code == 0
