"""Every kind of mistake in two folders is found, alone and all together, and folders without one are not accused."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from tests.checking.conftest import CLASSES, Find, label, picture, save, settings

from segue.checking.checks import CHECKS, findings
from segue.classes import class_list
from segue.data.folder import ImageFolder
from segue.engine.inventory import take_inventory

COLOURS = np.array(class_list(CLASSES).colours, dtype=np.uint8)


def at(root: Path, name: str = "source/labels/0.png") -> Path:
    return root / name


def change(path: Path, spoil: Callable[[np.ndarray], np.ndarray]) -> None:
    with Image.open(path) as opened:
        pixels = np.asarray(opened)
    save(spoil(pixels), path)


def truncate(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def turned(root: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    save(picture(0), root / "source/images/0.jpg", exif=exif)
    (root / "source/images/0.png").unlink()


def from_one(root: Path) -> None:
    for path in (root / "source/labels").iterdir():
        change(path, lambda v: np.where(v == 255, 255, v + 1).astype(np.uint8))


def without_the_first(root: Path) -> None:
    for path in (root / "source/labels").iterdir():
        change(path, lambda v: np.where(v == 0, 1, v))


def masks(root: Path) -> None:
    for path in (root / "source/labels").iterdir():
        change(path, lambda v: np.where(v == 1, 255, 0).astype(np.uint8))


def without_a_class(root: Path) -> None:
    for path in (root / "source/labels").iterdir():
        change(path, lambda v: np.where(v == 1, 0, v))


def ignored(root: Path) -> None:
    for path in (root / "source/labels").iterdir():
        change(path, lambda v: np.full_like(v, 255))


def twelve_bits(root: Path) -> None:
    for path in (root / "target/images").iterdir():
        change(path, lambda p: p[..., 0].astype(np.uint16) << 4)


MISTAKES: dict[str, tuple[Callable[[Path], object], str, str, tuple[str, ...]]] = {
    "missing folder": (
        lambda r: shutil.rmtree(r / "target"),
        "error",
        "folders and class lists",
        ("target", "no such"),
    ),
    "class list that contradicts": (
        lambda r: (r / "source/classes.yaml").write_text("[road, car, tree]"),
        "error",
        "folders and class lists",
        ("tree", "class_map"),
    ),
    "no label": (lambda r: at(r).unlink(), "error", "pictures and labels", ("0.png", "no label", "1 of 6")),
    "suffix": (
        lambda r: at(r).rename(r / "source/labels/0_mask.png"),
        "warning",
        "pictures and labels",
        ("0_mask.png", "no picture"),
    ),
    "truncated picture": (
        lambda r: truncate(r / "target/images/2.png"),
        "error",
        "unreadable files",
        ("2.png", "cut off"),
    ),
    "truncated label": (lambda r: truncate(at(r)), "error", "unreadable files", ("0.png", "cut off")),
    "JPEG label": (
        lambda r: (save(label(0), r / "source/labels/0.jpg"), at(r).unlink()),
        "error",
        "kinds of labels",
        ("0.jpg", "a JPEG"),
    ),
    "fractions": (
        lambda r: (save(label(0).astype(np.float32), r / "source/labels/0.tif"), at(r).unlink()),
        "error",
        "kinds of labels",
        ("0.tif", "mode F"),
    ),
    "colour mask": (
        lambda r: change(at(r), lambda v: COLOURS[np.minimum(v, 2)]),
        "error",
        "kinds of labels",
        ("0.png", "3 colours"),
    ),
    "value": (
        lambda r: change(at(r), lambda v: np.where(v == 2, 7, v)),
        "error",
        "label values",
        ("0.png", "values 7", "0-2, 255"),
    ),
    "from one": (from_one, "error", "label values", ("values 3", "count from 1", "6 such labels")),
    "first class nowhere": (
        without_the_first,
        "warning",
        "label values",
        ("no label holds the value 0", "count from 1"),
    ),
    "0/255 masks of three classes": (
        masks,
        "warning",
        "label values",
        ("0/255 masks", "{0: background, 255: name}"),
    ),
    "class without a pixel": (without_a_class, "warning", "labelled pixels", ("no pixel of the class car",)),
    "all ignored": (ignored, "error", "labelled pixels", ("all 6 labels is ignored",)),
    "one ignored": (
        lambda r: change(at(r), lambda v: np.full_like(v, 255)),
        "warning",
        "labelled pixels",
        ("0.png", "1 such label of 6"),
    ),
    "size": (lambda r: change(at(r), lambda v: v[:40]), "error", "sizes", ("0.png", "64x40", "64x48")),
    "EXIF": (turned, "warning", "upright", ("0.jpg", "EXIF")),
    "12 bits": (twelve_bits, "error", "bits", ("only 12", "by 16", "5 such")),
    "blank": (
        lambda r: save(np.full((48, 64, 3), 90, np.uint8), r / "target/images/1.png"),
        "warning",
        "blank pictures",
        ("1.png",),
    ),
    "small": (
        lambda r: save(picture(9, 20, 64), r / "target/images/1.png"),
        "warning",
        "crops and scales",
        ("1.png", "32x32", "1 of 5"),
    ),
    "copy": (
        lambda r: shutil.copy(r / "source/images/3.png", r / "target/images/3.png"),
        "warning",
        "duplicates",
        ("the same file", "target/images/3.png"),
    ),
    "recompressed": (
        lambda r: (
            save(picture(3), r / "target/images/3.jpg", quality=60),
            (r / "target/images/3.png").unlink(),
        ),
        "warning",
        "near-duplicates",
        ("nearly the same", "target/images/3.jpg"),
    ),
    "evaluation in the source": (
        lambda r: shutil.copy(r / "source/images/3.png", r / "evaluation/images/1.png"),
        "warning",
        "duplicates",
        ("labels were trained on",),
    ),
    "dark": (
        lambda r: [change(p, lambda x: x // 12) for p in (r / "target/images").iterdir()],
        "warning",
        "looks",
        ("dark",),
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_each_mistake_is_found_where_it_belongs(root: Path, find: Find, name: str) -> None:
    spoil, severity, kind, words = MISTAKES[name]
    assert find() == []
    spoil(root)
    told = [(one.severity, where, one.text) for where, one in find()]
    texts = [text for how, where, text in told if (how, where) == (severity, kind)]
    assert any(all(word in text for word in words) for text in texts), told


def test_every_check_has_a_mistake_that_it_finds() -> None:
    told_as_notes = {"class shares"}
    assert {kind for _, _, kind, _ in MISTAKES.values()} | told_as_notes == CHECKS.keys()


def test_all_mistakes_at_once(root: Path, find: Find) -> None:
    """None hides another: one file of each kind is spoilt, and each is told."""
    spoilt = ["no label", "truncated picture", "blank", "12 bits"]
    truncate(root / "source/images/5.png")
    change(at(root, "source/labels/1.png"), lambda v: v + 9)
    change(at(root, "source/labels/2.png"), lambda v: v[:40])
    change(at(root, "source/labels/3.png"), lambda v: COLOURS[np.minimum(v, 2)])
    shutil.copy(root / "source/images/4.png", root / "evaluation/images/0.png")
    for name in spoilt[:3]:
        MISTAKES[name][0](root)
    kinds = [kind for kind, _ in find()]
    expected = {
        "pictures and labels",
        "unreadable files",
        "label values",
        "sizes",
        "kinds of labels",
        "blank pictures",
        "duplicates",
    }
    assert expected <= set(kinds)
    assert kinds.count("unreadable files") == 2


def test_errors_are_said_as_training_says_them(root: Path, find: Find) -> None:
    for name in ("size", "value", "truncated label", "JPEG label"):
        shutil.rmtree(root / "source/labels")
        for n in range(6):
            save(label(n), root / f"source/labels/{n}.png")
        MISTAKES[name][0](root)
        told = next(one.text for _, one in find() if one.severity == "error")
        folder = ImageFolder(root / "source", classes=class_list(CLASSES), labelled=True)
        with pytest.raises(ValueError) as refused:
            folder.check()
            folder.label(0)
        assert told == str(refused.value), name


def test_the_map_that_is_offered_for_colour_masks_is_understood(root: Path, find: Find) -> None:
    """Saved as it is, with names that could be guessed, the masks are what the grey labels were."""
    before = ImageFolder(root / "source", classes=class_list(CLASSES), labelled=True).label(0)
    for path in (root / "source/labels").iterdir():
        change(path, lambda v: COLOURS[np.where(v == 255, 0, v)])
    remedy = next(one.remedy for kind, one in find() if kind == "kinds of labels")
    assert sorted(yaml.safe_load(remedy)["classes"]) == sorted(CLASSES)
    (root / "source/classes.yaml").write_text(remedy)
    assert find() == []
    after = ImageFolder(root / "source", classes=class_list(CLASSES), labelled=True).label(0)
    assert after[4:].equal(before[4:])
    # A colour that nobody named.
    change(at(root), lambda v: np.where(v == v[5, 5], np.uint8(1), v))
    assert "colours of no class ((1, 1, 1))" in next(
        one.text for kind, one in find() if kind == "label values"
    )


def test_unlike_shares_and_scales_are_notes(root: Path, find: Find) -> None:
    without_a_class(root)
    for path in (root / "target/images").iterdir():
        save(picture(int(path.stem) + 50, 96, 128), path)
    texts = [one.text for _, one in find(notes=True) if one.severity == "note"]
    assert any("shares of classes differ" in text and "car 0 %" in text for text in texts)
    assert any("2.0 times as large" in text for text in texts)


def test_shared_files_are_looked_at_once(root: Path) -> None:
    """The evaluation pictures may be the target's own: there are no copies then, only a note."""
    data = settings(root)
    assert data.evaluation is not None
    for path in (root / "evaluation/images").iterdir():
        shutil.copy(path, root / "target/images" / path.name)
    same = data.model_copy(update={"target": data.evaluation})
    survey = take_inventory(same)
    assert survey.number_of_files == 6 + 6 + 2 + 2
    survey.look(workers=0)
    told = [(one.severity, one.domain) for kind, one in findings(survey) if kind == "duplicates"]
    assert told == [("note", "target and evaluation")]


def test_a_sample_says_nothing_about_the_rest(root: Path) -> None:
    """The cheap half finds what a header or a few labels show, and does not call a class absent."""
    without_a_class(root)
    survey = take_inventory(settings(root), only=("source", "target"))
    survey.glance(headers=3, samples=2)
    assert len(survey.domains["source"].truths) == 2 and len(survey.domains["target"].pictures) == 3
    assert not [one for _, one in findings(survey) if one.severity != "note"]
    twelve_bits(root)
    ignored(root)
    survey.glance(headers=3, samples=2)
    texts = [one.text for _, one in findings(survey) if one.severity == "error"]
    assert len(survey.domains["source"].truths) == 6, "labels are read until one of them says something"
    assert any("only 12" in text for text in texts) and any(
        "all 6 labels is ignored" in text for text in texts
    )


def test_a_void_colour_and_a_label_suffix_are_known(root: Path, find: Find) -> None:
    """Masks whose names end otherwise, with a colour for what is not labelled."""
    for path in (root / "source/labels").iterdir():
        change(path, lambda v: np.where(v[..., None] == 255, np.uint8(9), COLOURS[np.minimum(v, 2)]))
        path.rename(path.with_name(f"{path.stem}_mask.png"))
    assert any("--label-suffix _mask" in one.text for _, one in find())
    colours = [list(map(int, colour)) for colour in COLOURS]
    listed = {"classes": CLASSES, "colours": colours, "void": [9, 9, 9]}
    (root / "source/classes.yaml").write_text(yaml.safe_dump(listed))
    assert find(label_suffix="_mask") == []
