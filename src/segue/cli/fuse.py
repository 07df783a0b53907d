"""``segue fuse``: the predictions of several members become one label for each picture."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer
from rich.console import Console
from rich.table import Table

from segue.cli.options import Device
from segue.cli.together import together
from segue.fusion_rules import Conflict, FusionRules, Kind, Unclaimed

if TYPE_CHECKING:
    from segue.classes import ClassList
    from segue.evaluation.fusing import Fusion
    from segue.evaluation.fusion_comparison import Truth
    from segue.evaluation.fusion_counts import FusionCounts
    from segue.evaluation.members import OpenedMembers
    from segue.scores import Scores

Members: TypeAlias = Annotated[
    list[str],
    typer.Argument(
        help="Members: PATH is a run or model folder, an .onnx file, or a folder of PNGs with class numbers.",
        metavar="NAME=PATH",
    ),
]
Out: TypeAlias = Annotated[Path, typer.Option(help="Folder of fused labels; those already there are kept.")]
Classes: TypeAlias = Annotated[
    Path | None, typer.Option(help="Class list of the result; by default the first member's.")
]
Pictures: TypeAlias = Annotated[
    Path | None, typer.Option(help="Folder of pictures, for members that are models.")
]
Maps: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        help="NAME=FILE: a YAML file that maps the member's classes to those of the result, or to ignore.",
    ),
]
Way: TypeAlias = Annotated[
    Kind,
    typer.Option(
        help="Believe one member for each class (channel), take the majority (pixel), or the highest mean probability"
        " (average)."
    ),
]
Policy: TypeAlias = Annotated[
    str | None,
    typer.Option(
        help="Whom channel believes: certainty (the default; needs --student), a YAML file that maps class to member,"
        " uniform:NAME, random:SEED, or truth (an oracle; needs --labels)."
    ),
]
Students: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--student",
        help="NAME=FOLDER: what `segue label` wrote for the student trained on the member's labels.",
    ),
]
Labels: TypeAlias = Annotated[
    Path | None,
    typer.Option(help="True labels of these pictures, only to compare this policy with others."),
]
LabelsMap: TypeAlias = Annotated[
    Path | None,
    typer.Option(help="YAML file that maps the classes of --labels to those of the result, or to ignore."),
]
Competing: TypeAlias = Annotated[Conflict, typer.Option(help="How to resolve competing claims.")]
Missing: TypeAlias = Annotated[Unclaimed, typer.Option(help="What becomes of pixels that no member claims.")]
Window: TypeAlias = Annotated[
    int, typer.Option(min=1, help="Side of the neighbourhood in pixels, an odd number.")
]
Order: TypeAlias = Annotated[
    str | None,
    typer.Option(
        help="For --conflict order: classes, the first wins, as in pole,road; or rare (rarest first)."
    ),
]
Threshold: TypeAlias = Annotated[
    float, typer.Option(min=0.0, max=1.0, help="Drop labels whose certainty is below this.")
]


def fuse(
    members: Members,
    out: Out,
    classes: Classes = None,
    pictures: Pictures = None,
    maps: Maps = None,
    fusion: Way = FusionRules.kind,
    policy: Policy = None,
    students: Students = None,
    labels: Labels = None,
    labels_map: LabelsMap = None,
    conflict: Competing = FusionRules.conflict,
    unclaimed: Missing = FusionRules.unclaimed,
    window: Window = FusionRules.window,
    order: Order = None,
    threshold: Threshold = FusionRules.threshold,
    device: Device = None,
) -> None:
    """Fuse predictions into one label for each picture; repeat an interrupted command and it goes on."""
    from segue.data.folder_files import find_pictures
    from segue.evaluation.fusing import Fusion, check_members
    from segue.memory import keep_memory
    from segue.ranks import is_first_rank, made_by_first_rank, of_all_ranks, processes, rank
    from segue.trees import read_yaml

    _refuse_unused(fusion, policy, students, labels, labels_map)
    keep_memory()
    paths, by_student = _named_paths(members, "member"), _named_paths(students or [], "--student")
    inputs = [*paths.values(), *by_student.values(), *([] if labels is None else [labels])]
    if out.resolve() in [path.resolve() for path in inputs]:
        raise ValueError(f"--out {out}: this folder is read from; choose another one")
    files = {} if pictures is None else find_pictures(pictures, out)
    own_maps = {name: read_yaml(path) for name, path in _named_paths(maps or [], "--map").items()}
    made = {
        "members": {name: str(path.absolute()) for name, path in paths.items()}, "maps": own_maps,
        "pictures": None if pictures is None else str(pictures.absolute()),
    }  # fmt: skip
    with together(device) as own:
        opened = _open(paths, files, classes, own_maps, own)
        truth, scores = _measured(opened, labels, labels_map) if is_first_rank() else (None, None)

        def settle() -> tuple[FusionRules, dict[str, Any]]:
            first = _precedence(order, opened)
            rules = FusionRules(fusion, None, conflict, unclaimed, window, first, threshold)
            check_members(opened.members, rules)
            return _with_policy(rules, policy or "certainty", opened, by_student, scores)

        rules, about = made_by_first_rank(settle)
        run = Fusion(opened.members, opened.classes, rules, out, made)
        fused = sum(of_all_ranks(run.run(opened.names, share=(rank(), processes()))))
        if is_first_rank():
            if processes() > 1:
                run.run(opened.names)  # as no process has seen more than its part
            worth, comparison = _compared(opened, rules, truth, scores, about["policy_from"] or fusion)
            Console(soft_wrap=True).print(worth, highlight=False, markup=False)
            run.write_record({**about, **comparison})
            _say(run, opened, fused, files)


def _refuse_unused(
    fusion: Kind,
    policy: str | None,
    students: Sequence[str] | None,
    labels: Path | None,
    labels_map: Path | None,
) -> None:
    if fusion != "channel" and (policy or students):
        raise ValueError(f"--policy and --student go with --fusion channel, not with {fusion}")
    if labels_map and labels is None:
        raise ValueError("--labels-map describes the classes of --labels, which is not given")


def _with_policy(
    rules: FusionRules,
    policy: str,
    opened: "OpenedMembers",
    by_student: Mapping[str, Path],
    scores: "Sequence[Scores] | None",
) -> tuple[FusionRules, dict[str, Any]]:
    """The rules with the policy that channel-wise fusion needs, and where it comes from."""
    if rules.kind != "channel":
        return rules, {"policy_from": None}
    names = [member.name for member in opened.members]
    chosen, about = _policy(policy, names, opened.classes, by_student, scores)
    return replace(rules, policy=chosen), {"policy_from": policy, **about}


def _say(run: "Fusion", opened: "OpenedMembers", fused: int, files: Mapping[str, Path]) -> None:
    """Write the page, and print what was done."""
    from segue.report.fusion_page import write_fusion_report

    console, policy = Console(soft_wrap=True), run.rules.policy
    page = write_fusion_report(run.out, pictures=files.get)
    if policy is not None:
        console.print(_table(policy, opened.classes.names, [member.name for member in opened.members]))
    console.print(
        f"{fused} pictures fused now, of {len(opened.names)}; {_shares(run.counts)}", highlight=False
    )
    console.print(f"labels  {run.out / 'index'}\nreport  {page}", highlight=False)


def _open(
    paths: Mapping[str, Path],
    pictures: Mapping[str, Path],
    classes: Path | None,
    maps: Mapping[str, Mapping[str, str]],
    device: str | None,
) -> "OpenedMembers":
    from segue.data.class_map import read_class_list
    from segue.data.picture import read_image
    from segue.evaluation.model import choose_device
    from segue.evaluation.open_members import open_members

    listed = None if classes is None else read_class_list(classes)
    return open_members(
        paths, pictures=pictures, read=read_image, classes=listed, maps=maps, device=choose_device(device)
    )


def _measured(
    opened: "OpenedMembers", labels: Path | None, labels_map: Path | None
) -> "tuple[Truth, list[Scores]] | tuple[None, None]":
    """The true labels, and each member's scores on them."""
    from segue.evaluation.fusion_comparison import score_members
    from segue.evaluation.open_members import open_truth
    from segue.trees import read_yaml

    own_map = {} if labels_map is None else read_yaml(labels_map)
    if labels is None:
        return None, None
    truth = open_truth(labels, opened.classes, own_map)
    return truth, score_members(opened, truth)


def _compared(
    opened: "OpenedMembers",
    rules: FusionRules,
    truth: "Truth | None",
    scores: "Sequence[Scores] | None",
    used: str,
) -> tuple[str, dict[str, Any]]:
    """The comparison of these rules with others, in words and for the record."""
    from segue.evaluation.fusion_comparison import compare

    if truth is None or scores is None:
        return "no labelled target pictures (--labels): what this policy is worth is not known", {}
    beside = compare(opened, rules, truth, scores)
    return beside.lines(used), {"compared": beside.to_json()}


def _precedence(order: str | None, opened: "OpenedMembers") -> tuple[int, ...] | None:
    from segue.evaluation.policy import precedence, rarest_first

    if order == "rare":
        return rarest_first(opened.members, opened.classes, opened.names)
    return None if order is None else precedence(order.split(","), opened.classes)


def _policy(
    wanted: str,
    names: Sequence[str],
    classes: "ClassList",
    students: Mapping[str, Path],
    scores: "Sequence[Scores] | None",
) -> tuple[tuple[int, ...], dict[str, Any]]:
    from segue.evaluation import policy
    from segue.evaluation.open_members import student_certainty

    kind, _, rest = wanted.partition(":")
    if kind == "uniform":
        if rest not in names:
            raise ValueError(f"--policy {wanted}: no member {rest!r}; there are {', '.join(names)}")
        return (names.index(rest),) * len(classes), {}
    if kind == "random":
        if not rest.isdigit():
            raise ValueError(f"--policy {wanted}: write it as random:SEED")
        return policy.at_random(classes, names, int(rest)), {}
    if wanted == "truth":
        if scores is None:
            raise ValueError("--policy truth needs --labels: labelled target pictures; it is an oracle")
        Console().print(
            "This policy reads target labels: it is an oracle, for measuring only.", style="yellow"
        )
        table = [[one.per_class_iou[name] for name in classes.names] for one in scores]
        return policy.by_truth(scores, classes), {"iou": table}
    if wanted == "certainty":
        missing = [name for name in names if name not in students]
        if missing:
            raise ValueError(
                f"--policy certainty needs a student of every member: --student {missing[0]}=FOLDER (train one on the"
                " member's labels, then `segue label`); recipe ensemble does all of it"
            )
        table = [student_certainty(students[name], classes) for name in names]
        return policy.by_certainty(table), {"certainty": table}
    return policy.from_file(Path(wanted), classes, names), {}


def _shares(counts: "FusionCounts") -> str:
    shares = {
        "disputed": counts.disputed, "unclaimed": counts.unclaimed, "without a label": counts.ignored,
    }  # fmt: skip
    return ", ".join(f"{name} {100 * count / max(counts.pixels, 1):.1f} %" for name, count in shares.items())


def _table(policy: Sequence[int], names: Sequence[str], members: Sequence[str]) -> Table:
    table = Table(title="who is believed")
    table.add_column("class")
    table.add_column("member")
    for name, member in zip(names, policy, strict=True):
        table.add_row(name, members[member])
    return table


def _named_paths(given: Sequence[str], what: str) -> dict[str, Path]:
    """``["a=b", ...]`` as paths by name; a ValueError if one has another form, or a name comes twice."""
    paths: dict[str, Path] = {}
    for text in given:
        name, separator, path = text.partition("=")
        if not separator or not name or not path:
            raise ValueError(f"{what} {text!r}: write it as NAME=PATH")
        if name in paths:
            raise ValueError(f"{what} {name!r} is given twice")
        paths[name] = Path(path)
    return paths
