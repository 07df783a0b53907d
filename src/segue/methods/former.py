"""Settings of earlier versions: what their keys are called now, and how whole trees of theirs are read."""

from collections.abc import Mapping
from typing import Any

from segue.methods.teachers import TEACHERS
from segue.trees import Tree

RENAMED = {
    "terms.sam_regularizer": "terms.frozen_regularizer now, as any transformer may be frozen; SAM's encoders are called"
    " sam_vit_b, sam_vit_l and sam_vit_h there",
    "method.momentum": "method.teacher.momentum now",
    "method.teacher_statistics": "method.teacher.statistics now",
    "method.copies_first": "method.teacher.copies_first now",
    "method.teacher_model": "method.teacher.model now",
    "method.collaborate": "method.teacher now, with name: collaborative",
}
"""Keys of earlier versions, and what they are called."""


def renewed(tree: Mapping[str, Any]) -> Tree:
    """The tree of settings of an earlier version as one of this version.

    Former keys that are null are left out: files of whole trees hold them. A teacher's settings once stood among those
    of the method, where ``teacher`` was its name.
    """
    left = dict(tree)
    method = left.get("method")
    if isinstance(method, Mapping) and isinstance(method.get("teacher"), str):
        left["method"] = _with_its_teacher(dict(method))
    for key in RENAMED:
        group, _, name = key.partition(".")
        inner = left.get(group)
        if isinstance(inner, Mapping) and name in inner and inner[name] is None:
            left[group] = {other: value for other, value in inner.items() if other != name}
    return left


def _with_its_teacher(method: Tree) -> Tree:
    shared = method.pop("collaborate", None)
    name = method["teacher"] if shared is None else "collaborative"
    known = TEACHERS[name].model_fields if name in TEACHERS else {}
    own = [key.removeprefix("method.") for key in RENAMED if key.startswith("method.")]
    former = {key.removeprefix("teacher_"): method.pop(key) for key in own if key in method} | (shared or {})
    return {**method, "teacher": {"name": name, **{key: former[key] for key in former if key in known}}}
