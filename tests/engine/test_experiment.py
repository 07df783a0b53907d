"""Settings: strict, with errors that name the key and the nearest known one; what is written is read back equal."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.engine import experiment as experiments
from segue.methods.former import RENAMED
from segue.recipes.catalogue import RECIPES, experiment
from segue.recipes.classification_pairs import STREET_OBJECTS
from segue.recipes.pairs import STREET_SCENES
from segue.trees import merge

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.dictionaries(st.text("ab", min_size=1, max_size=2), inner, max_size=3),
    max_leaves=8,
)
TREES = st.dictionaries(st.text("ab", min_size=1, max_size=2), PLAIN, max_size=3)


@pytest.mark.parametrize("recipe", list(RECIPES))
def test_written_and_read_back(recipe: str, tmp_path: Path) -> None:
    wanted = experiment(recipe, STREET_OBJECTS if RECIPES[recipe].names_pictures else STREET_SCENES)
    experiments.save(wanted, tmp_path / "experiment.yaml")
    assert experiments.load(tmp_path / "experiment.yaml") == wanted


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("method.treshold=0.9", "unknown key 'method.treshold'; did you mean 'threshold'?"),
        (
            "method.teacher.momentun=0.9",
            "unknown key 'method.teacher.momentun'; did you mean 'momentum'?",
        ),
        ("metod.momentum=0.9", "unknown key 'metod'; did you mean 'method'?"),
        ("data.source.rot=x", "unknown key 'data.source.rot'; did you mean 'root'?"),
        (
            "terms.feature_distanc.share=1",
            "unknown key 'terms.feature_distanc'; did you mean 'feature_distance'?",
        ),
        ("optim.lr=-1", "optim.lr: Input should be greater than 0, got -1"),
        ("seed=-1", "seed: a seed is at least 0 and below 2**31, got -1"),
        ("method.mix=cutmix", "method.mix"),
        ("steps=many", "steps"),
    ],
)
def test_a_wrong_setting_is_named(assignment: str, message: str) -> None:
    with pytest.raises(ValueError, match="configuration: ") as error:
        experiment("daformer", STREET_SCENES, experiments.parse_assignments([assignment]))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("assignment", ["steps", "=3", "a..b=1", "a={"])
def test_a_malformed_assignment_says_how_to_write_it(assignment: str) -> None:
    with pytest.raises(ValueError, match="--set"):
        experiments.parse_assignments([assignment])


def test_later_wishes_beat_earlier_ones() -> None:
    wanted = experiment(
        "daformer",
        STREET_SCENES,
        {"steps": 5, "seed": 1},
        experiments.parse_assignments(["steps=7", "optim.lr=0.5"]),
    )
    assert (wanted.steps, wanted.seed, wanted.optim.lr) == (7, 1, 0.5)


def test_a_pair_adjusts_pieces_that_a_recipe_uses_and_adds_none() -> None:
    pair = {
        **STREET_SCENES,
        "when": {
            "method.teacher.name=average": {"method": {"teacher": {"momentum": 0.5}}},
            "terms.feature_distance": {"terms": {"feature_distance": {"share": 7}}},
        },
    }
    adapted, plain, simple = (experiment(r, pair) for r in ("daformer", "source_only", "dacs"))
    assert adapted.method.teacher.momentum == 0.5
    assert adapted.terms.feature_distance is not None and adapted.terms.feature_distance.share == 7
    assert plain.terms.feature_distance is None and simple.terms.feature_distance is None


OLD = {
    "momentum": 0.7,
    "teacher_statistics": "average",
    "copies_first": True,
    "teacher_model": None,
    "collaborate": None,
}


@pytest.mark.parametrize(
    ("old", "now"),
    [
        (
            {"teacher": "average"},
            {"name": "average", "momentum": 0.7, "statistics": "average", "copies_first": True},
        ),
        ({"teacher": "large", "teacher_model": "there"}, {"name": "large", "model": "there"}),
        (
            {"teacher": "large", "teacher_model": "there", "collaborate": {"match": "both", "momentum": 0.5}},
            {"name": "collaborative", "model": "there", "match": "both", "momentum": 0.5},
        ),
    ],
)
def test_runs_from_before_teachers_had_settings_are_read_as_what_they_were(old: dict, now: dict) -> None:
    tree = experiment("daformer", STREET_SCENES).model_dump(mode="json")
    found = experiments.parse({**tree, "method": {**tree["method"], **OLD, **old}})
    assert found == experiments.parse(merge(tree, {"method": {"teacher": now}}))


@pytest.mark.parametrize(("key", "now"), RENAMED.items())
def test_a_key_that_moved_names_the_new_one(key: str, now: str) -> None:
    with pytest.raises(ValueError, match=f"{key!r} is called {re.escape(now)}$"):
        experiment("daformer", STREET_SCENES, experiments.parse_assignments([f"{key}=1"]))


def test_settings_of_another_teacher_replace_those_of_the_one_before() -> None:
    wanted = experiment(
        "daformer", STREET_SCENES, experiments.parse_assignments(["method.teacher.name=large"])
    )
    assert wanted.method.teacher.model_dump() == {"name": "large", "model": None}
    same = experiments.revise(wanted, {"method": {"teacher": {"name": "large", "model": "there"}}})
    again = experiments.revise(same, {"method": {"teacher": {"name": "large"}}})
    assert str(again.method.teacher.model) == "there"


def test_a_condition_inside_another_needs_both() -> None:
    inner = {"terms.feature_distance": {"steps": 7}}
    pair = {**STREET_SCENES, "when": {"method.name=self_training": {"seed": 3, "when": inner}}}
    found = {recipe: experiment(recipe, pair) for recipe in ("daformer", "dacs", "source_only")}
    assert {name: (one.seed, one.steps) for name, one in found.items()} == {
        "daformer": (3, 7), "dacs": (3, 800), "source_only": (0, 800),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("when", "message"),
    [
        (
            {"terms.feature_distanse": {}},
            "unknown key 'terms.feature_distanse'; did you mean 'feature_distance'",
        ),
        ({"methods.momentum": {}}, "unknown key 'methods'; did you mean 'method'"),
        ({"terms.feature_distance": 3}, "when terms.feature_distance: expected settings by name, found 3"),
        ([1], r"when: expected settings by name, found \[1\]"),
    ],
)
def test_a_condition_about_no_setting_is_refused(when: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        experiment("daformer", {**STREET_SCENES, "when": when})


def test_terms_may_be_a_list_of_names() -> None:
    wanted = experiment("dacs", STREET_SCENES, {"terms": ["feature_distance"]})
    assert wanted.terms.feature_distance is not None


def test_only_the_oracle_reads_target_labels() -> None:
    for name in RECIPES:
        wanted = experiment(name, STREET_OBJECTS if RECIPES[name].names_pictures else STREET_SCENES)
        assert wanted.reads_target_labels == (name == "target_supervised")
        assert (wanted.data.source.domain == "target") == (name == "target_supervised")


def test_an_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean 'daformer'"):
        experiment("dafomer", STREET_SCENES)


def test_differences_leave_out_what_only_concerns_speed() -> None:
    one = experiment("dacs", STREET_SCENES)
    other = experiment(
        "dacs", STREET_SCENES, experiments.parse_assignments(["optim.lr=0.5", "run.log_every=1"])
    )
    assert experiments.differences(one, other) == ["optim.lr"]


@pytest.mark.parametrize(
    ("text", "message"), [("a: [", "not readable as YAML"), ("- 1", "expected a mapping")]
)
def test_a_bad_yaml_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "pair.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        experiments.read_yaml(path)
    assert str(path) in str(error.value)


@given(TREES, TREES)
def test_merging_keeps_every_leaf_of_the_later_tree(base: dict, change: dict) -> None:
    merged = experiments.flatten(experiments.merge(base, change))
    for key, value in experiments.flatten(change).items():
        assert merged[key] == value


@given(TREES)
def test_merging_nothing_changes_nothing(base: dict) -> None:
    assert experiments.merge(base, {}) == base
    assert experiments.merge(base, base) == base


def test_entries_of_a_class_map_are_set_one_by_one() -> None:
    """A dotted key changes one entry; a whole map replaces the whole map."""
    pair = merge(STREET_SCENES, {"data": {"source": {"class_map": {"*": "ignore", "car": "road"}}}})
    both = experiments.parse_assignments(
        ["data.source.class_map.car=sky", "data.source.class_map.person=road"]
    )
    found = experiment("source_only", pair, both).data.source.class_map
    assert found == {"*": "ignore", "car": "sky", "person": "road"}
    whole = experiments.parse_assignments(["data.source.class_map={car: sky}"])
    assert experiment("source_only", pair, whole).data.source.class_map == {"car": "sky"}


def test_precision_is_part_of_an_experiment() -> None:
    one = experiment("source_only", STREET_SCENES)
    full, half = (experiments.revise(one, {"run": {"precision": name}}) for name in ("fp32", "bf16"))
    assert experiments.differences(full, half) == ["run.precision"]
    assert experiments.differences(one, half) == [], "a checkpoint says what auto was, and refuses a change"
    assert experiments.differences(one, experiments.revise(one, {"run": {"log_every": 7}})) == []


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"data": {"crop": [24, 64]}}, "data.crop"),
        ({"evaluation": {"scales": []}}, "evaluation.scales"),
    ],
)
def test_settings_that_no_run_can_end_with(wish: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        experiment("source_only", STREET_SCENES, wish)


def test_colours_are_no_difference() -> None:
    """Colours are only drawn: a run whose default colours were others, of an older version, goes on."""
    wanted = experiment("source_only", STREET_SCENES)
    painted = experiments.revise(
        wanted, {"data": {"colours": [[i, 0, 0] for i in range(len(wanted.data.classes))]}}
    )
    assert wanted != painted and not experiments.differences(wanted, painted)
