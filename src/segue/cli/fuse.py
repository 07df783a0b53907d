"""``segue fuse``: many members' predictions, one label for every picture."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from segue.classes import ClassList
    from segue.evaluate.account import Account
    from segue.evaluate.members import OpenedMembers
    from segue.scores import Scores

MODEL_HINT = "a run or model folder, an .onnx file, or a folder of PNGs with class numbers"


def fuse(
    members: Annotated[list[str], typer.Argument(help=f"NAME=PATH each: {MODEL_HINT}.", metavar="NAME=PATH")],
    out: Annotated[Path, typer.Option(help="The folder of fused labels; what is there already is kept.")],
    classes: Annotated[
        Path | None, typer.Option(help="Class list of the result; that of the first member by default.")
    ] = None,
    pictures: Annotated[
        Path | None, typer.Option(help="Folder of pictures, for members that predict.")
    ] = None,
    maps: Annotated[
        list[str] | None,
        typer.Option("--map", help="NAME=FILE: YAML, class of the member -> class of the result, or ignore."),
    ] = None,
    fusion: Annotated[
        Literal["channel", "pixel", "average"],
        typer.Option(help="Class by class by a policy, the majority, or the highest mean probability."),
    ] = "channel",
    policy: Annotated[
        str,
        typer.Option(
            help="certainty (needs --student), a YAML file of class: member, uniform:NAME, random:SEED, or truth"
            " (an oracle; needs --labels)."
        ),
    ] = "certainty",
    students: Annotated[
        list[str] | None,
        typer.Option(
            "--student", help="NAME=FOLDER: what the member's distilled student labelled with `segue label`."
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(help="Labels of these pictures, to measure by: other policies beside this one."),
    ] = None,
    labels_map: Annotated[
        Path | None, typer.Option(help="YAML: class of --labels -> class of the result, or ignore.")
    ] = None,
    conflict: Annotated[
        Literal["neighbourhood", "certainty", "order", "ignore"], typer.Option(help="Of several claims.")
    ] = "neighbourhood",
    unclaimed: Annotated[
        Literal["neighbourhood", "majority", "ignore"], typer.Option(help="Of pixels that nobody claims.")
    ] = "neighbourhood",
    window: Annotated[int, typer.Option(min=1, help="Side of the neighbourhood in pixels.")] = 5,
    order: Annotated[
        str | None,
        typer.Option(help="Classes with commas in between, of which the first one wins a conflict; or rare."),
    ] = None,
    threshold: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Certainty below which a label is dropped.")
    ] = 0.0,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, mps; a GPU if there is one.")] = None,
) -> None:
    """Fuse predictions into one label for every picture, and say who was believed; goes on where it stopped."""
    from segue.cli.opened import choose_device
    from segue.cli.pictures import find_pictures
    from segue.cli.progress import counting
    from segue.data.class_map import read_class_list
    from segue.data.picture import read_image
    from segue.evaluate.comparison import compare, score_members
    from segue.evaluate.fusing import Fusion, FusionRules, check_members
    from segue.evaluate.open_members import open_members, open_truth
    from segue.memory import keep_memory
    from segue.report.fusion_page import write_fusion_report
    from segue.trees import read_yaml

    keep_memory()
    paths, by_student = _named_paths(members, "member"), _named_paths(students or [], "--student")
    for given in (*paths.values(), *by_student.values(), *([] if labels is None else [labels])):
        if given.resolve() == out.resolve():
            raise ValueError(f"--out {out}: this folder is read from; choose another one")
    files = {} if pictures is None else find_pictures(pictures, out)
    own_maps = {name: read_yaml(path) for name, path in _named_paths(maps or [], "--map").items()}
    opened = open_members(
        paths,
        pictures=files,
        read=read_image,
        classes=None if classes is None else read_class_list(classes),
        maps=own_maps,
        device=choose_device(device),
    )
    rules = FusionRules(fusion, None, conflict, unclaimed, window, _precedence(order, opened), threshold)
    check_members(opened.members, rules)
    labels_classes = {} if labels_map is None else read_yaml(labels_map)
    truth = None if labels is None else open_truth(labels, opened.classes, labels_classes)
    found = None if truth is None else score_members(opened, truth)
    chosen, about = (None, {}) if fusion != "channel" else _policy(
        policy, [member.name for member in opened.members], opened.classes, by_student, found
    )  # fmt: skip
    rules = replace(rules, policy=chosen)
    made = {
        "members": {name: str(path.absolute()) for name, path in paths.items()}, "maps": own_maps,
        "pictures": None if pictures is None else str(pictures.absolute()),
    }  # fmt: skip
    run = Fusion(opened.members, opened.classes, rules, out, made)
    with counting("fusing", len(opened.names)) as watch:
        fused = run.run(opened.names, watch=watch)
    console = Console(soft_wrap=True)
    worth = "no labelled target pictures (--labels): what this policy is worth is not known"
    if truth is not None and found is not None:
        beside = compare(opened, rules, truth, found)
        worth, about["compared"] = beside.lines(policy if fusion == "channel" else fusion), beside.to_json()
    console.print(worth, highlight=False, markup=False)
    run.write_account({"policy_from": policy if fusion == "channel" else None, **about})
    page = write_fusion_report(out, pictures=files.get)
    if chosen is not None:
        console.print(_table(chosen, opened.classes.names, list(paths)))
    console.print(
        f"{fused} pictures fused now, of {len(opened.names)}; {_shares(run.account)}", highlight=False
    )
    console.print(f"labels  {out / 'index'}\nreport  {page}", highlight=False)


def _precedence(order: str | None, opened: "OpenedMembers") -> tuple[int, ...] | None:
    from segue.evaluate.policy import precedence, rarest_first

    if order == "rare":
        return rarest_first(opened.members, opened.classes, opened.names)
    return None if order is None else precedence(order.split(","), opened.classes)


def _policy(
    wanted: str,
    names: Sequence[str],
    classes: "ClassList",
    students: Mapping[str, Path],
    found: "Sequence[Scores] | None",
) -> "tuple[tuple[int, ...], dict[str, object]]":
    from segue.evaluate import policy
    from segue.evaluate.open_members import student_certainty

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
        if found is None:
            raise ValueError("--policy truth needs --labels: labelled target pictures; it is an oracle")
        Console().print(
            "This policy reads target labels: it is an oracle, for measuring only.", style="yellow"
        )
        table = [[one.per_class_iou[name] for name in classes.names] for one in found]
        return policy.by_truth(found, classes), {"iou": table}
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


def _shares(account: "Account") -> str:
    shares = {
        "disputed": account.disputed, "unclaimed": account.unclaimed, "without a label": account.ignored,
    }  # fmt: skip
    return ", ".join(f"{name} {100 * count / max(account.pixels, 1):.1f} %" for name, count in shares.items())


def _table(policy: Sequence[int], names: Sequence[str], members: Sequence[str]) -> Table:
    table = Table(title="who is believed")
    table.add_column("class")
    table.add_column("member")
    for name, member in zip(names, policy, strict=True):
        table.add_row(name, members[member])
    return table


def _named_paths(given: Sequence[str], what: str) -> dict[str, Path]:
    """``["a=b", ...]`` as paths by name.

    Raises:
        ValueError: If one is not of this form, or a name comes twice.
    """
    found: dict[str, Path] = {}
    for text in given:
        name, separator, path = text.partition("=")
        if not separator or not name or not path:
            raise ValueError(f"{what} {text!r}: write it as NAME=PATH")
        if name in found:
            raise ValueError(f"{what} {name!r} is given twice")
        found[name] = Path(path)
    return found
