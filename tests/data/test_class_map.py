"""Proves how class list files are understood, how classes are mapped, and what every mistake is told."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from segue.classes import class_list
from segue.data.class_map import label_table, parse_label_classes, read_class_list, read_label_classes
from segue.types import IGNORE

NAMES = st.lists(st.text("abcdé _-1", min_size=1).filter(str.strip), min_size=1, max_size=20, unique=True)
TRAINING = class_list(["road", "car", "person"])


def own(*names: str, **more: object):
    return parse_label_classes({"classes": list(names), **more}, "classes.json")


@settings(max_examples=40, deadline=None)
@given(NAMES)
def test_lists_and_mappings_mean_the_same_in_json_and_yaml(names: list[str]) -> None:
    for content in (names, dict(enumerate(names)), {"classes": names}, {"classes": dict(enumerate(names))}):
        for again in (
            json.loads(json.dumps(content)),
            yaml.safe_load(yaml.safe_dump(content, allow_unicode=True)),
        ):
            read = parse_label_classes(again, "file")
            assert read.names == dict(enumerate(names)) and read.ignored == {255} and not read.declared


@settings(max_examples=40, deadline=None)
@given(NAMES, st.data())
def test_a_map_sends_every_value_to_its_goal(names: list[str], data: st.DataObject) -> None:
    training = class_list(data.draw(NAMES))
    goals = [*training.names, "ignore"]
    class_map = {name: data.draw(st.sampled_from(goals)) for name in names if data.draw(st.booleans())}
    rest = data.draw(st.sampled_from(goals))
    table = label_table(own(*names, ignore=255), training, {**class_map, "*": rest})
    ids = table.translate(np.array([[*range(len(names)), 255]], dtype=np.uint8), "label")[0].tolist()
    expected = [class_map.get(name, name if name in training.names else rest) for name in names]
    assert ids == [IGNORE if goal == "ignore" else training.index(goal) for goal in expected] + [IGNORE]


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-5, 300) | st.floats() | st.text(max_size=4),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(["classes", "ignore", "palette", "0", 1, None]), inner, max_size=4
            )
        ),
        max_leaves=8,
    )
)
def test_any_content_is_understood_or_refused_in_one_line(content: object) -> None:
    try:
        read = parse_label_classes(content, "classes.yaml")
    except ValueError as error:
        assert str(error).startswith("classes.yaml: ") and "\n" not in str(error)
    else:
        assert read.names and all(type(value) is int for value in read.names)


def test_values_may_have_gaps_share_a_name_and_exceed_a_byte() -> None:
    gaps = parse_label_classes(
        {"classes": {"7": "road", 300: "car", 9: "road"}, "ignore": [0, 65535]}, "file"
    )
    table = label_table(gaps, TRAINING, {})
    assert table.translate(np.array([[7, 9, 300, 0, 65535]], np.uint16), "label")[0].tolist() == [
        0,
        0,
        1,
        255,
        255,
    ]


def test_class_lists_with_and_without_colours(tmp_path: Path) -> None:
    path = tmp_path / "classes.yml"
    path.write_text("classes: {4: lane, 2: kerb}\npalette: [[1, 2, 3], [4, 5, 6]]\n")
    assert read_class_list(path).names == ("kerb", "lane")
    assert read_class_list(path).colours == ((4, 5, 6), (1, 2, 3))
    path.write_text("[road, kerb]")
    assert read_class_list(path).colours[0] == (128, 64, 128)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (3, "expected a list"),
        ([], "empty"),
        ({"classes": []}, "empty"),
        (["road", "road"], "class names appear twice: road"),
        (["road", 3], "3 is not a class name"),
        ({"road": 0}, "'road' is not a label value"),
        ({"classes": ["road"], "ingore": 3}, "unknown key 'ingore'; did you mean 'ignore'?"),
        ({"classes": ["road"], "ignore": "void"}, "'void' is not a label value"),
        ({"classes": ["road"], "ignore": 0}, "value 0 is both ignored and class 'road'"),
        ({"classes": ["road"], "colours": []}, "1 classes but 0 colours"),
        ({"classes": ["road"], "palette": [[0, 0, 256]]}, "is not a colour"),
    ],
)
def test_bad_class_lists(content: object, words: str) -> None:
    with pytest.raises(ValueError, match=r"^classes\.json: ") as caught:
        parse_label_classes(content, "classes.json")
    assert words in str(caught.value)


@pytest.mark.parametrize(("name", "text"), [("c.json", "{"), ("c.yaml", "a: [b"), ("c.yml", "a: b: c")])
def test_broken_files_are_one_line(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=rf"{name}: not a class list: .+") as caught:
        read_label_classes(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("class_map", "words"),
    [
        ({"vehicel": "car", "*": "ignore"}, "classes.json has no class 'vehicel'; did you mean 'vehicle'?"),
        ({"vehicle": "cars", "*": "ignore"}, "neither a training class nor 'ignore'; did you mean 'car'?"),
        ({"*": None}, "'*' goes to None"),
    ],
)
def test_bad_maps_name_the_nearest_and_the_remedy(class_map: dict, words: str) -> None:
    with pytest.raises(ValueError, match=r"^class map: ") as caught:
        label_table(own("road", "vehicle", "tree", "cart"), TRAINING, class_map)
    assert words in str(caught.value)


def test_classes_without_counterpart_are_refused_with_the_map_to_complete() -> None:
    classes = own("road", "vehicle", "tree", "guard rail")
    with pytest.raises(
        ValueError, match=r"^classes\.json: 2 of its classes are not training classes; "
    ) as caught:
        label_table(classes, TRAINING, {"vehicle": "car"}, place="data.source.class_map")
    said = str(caught.value)
    assert (
        "add to data.source.class_map, with a training class (road, car, person) or ignore for each '?'"
        in said
    )
    assert "('*: ignore' covers the rest)" in said and "\n" not in said
    written = yaml.safe_load(said[said.index("{") : said.index("}") + 1])
    assert written == {"tree": "?", "guard rail": "?"}
    with pytest.raises(
        ValueError, match=r"'tree' goes to '\?', which is neither a training class nor 'ignore'"
    ):
        label_table(classes, TRAINING, {"vehicle": "car", **written})
    label_table(classes, TRAINING, {"vehicle": "car", **dict.fromkeys(written, "ignore")})


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([0, 7, 9], "label values 7, 9 are outside the class list (values 0-2, 255); name them"),
        (
            [1, 2, 3],
            "label values 3 are outside the class list (values 0-2, 255); if the labels count from 1",
        ),
        ([-1, 0], "label values -1 are outside"),
        ([70000], "label values 70000 are outside"),
        (list(range(3, 20)), "3, 4, 5, 6, 7, 8, 9, 10, ..."),
    ],
)
def test_values_outside_the_class_list(values: list[int], words: str) -> None:
    table = label_table(own("road", "car", "person"), TRAINING, {})
    with pytest.raises(ValueError, match=r"^a/label\.png: ") as caught:
        table.translate(np.array([values]), "a/label.png")
    assert words in str(caught.value)


def test_two_class_masks_of_0_and_255_are_found() -> None:
    mask = np.array([[0, 255]], dtype=np.uint8)
    two = class_list(["ground", "house"])
    for classes in (own("ground", "house"), own("ground", "house", ignore=9)):
        with pytest.raises(ValueError, match=r"m\.png: .*like a 0/255 mask.*\{0: background, 255: name\}"):
            label_table(classes, two, {}).translate(mask, "m.png")
    meant = label_table(own("ground", "house", ignore=255), two, {})
    assert meant.translate(mask, "m.png").tolist() == [[0, 255]]
    remedy = label_table(parse_label_classes({0: "ground", 255: "house"}, "file"), two, {})
    assert remedy.translate(mask, "m.png").tolist() == [[0, 1]]
    assert label_table(own("ground", "house"), two, {}).translate(mask // 255, "m.png").tolist() == [[0, 1]]
    many = label_table(own("road", "car", "person"), TRAINING, {})
    assert many.translate(mask, "m.png").tolist() == [[0, 255]]


def test_no_class_to_be_learnt_is_called_ignore() -> None:
    with pytest.raises(ValueError, match="'ignore' says which pixels have no class"):
        class_list(["road", "ignore"])
