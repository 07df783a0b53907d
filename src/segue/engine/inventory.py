"""Lists the files of a run's domains for the checks, as far as they can be found; nothing wrong is an exception."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, TypeAlias, TypeVar

from segue.checking.survey import Domain, Survey
from segue.data.class_map import LabelClasses, LabelTable, label_table
from segue.data.dataset import Dataset
from segue.data.depth import WithDepth
from segue.data.folder import FoundLabels, find_labels, folder_classes
from segue.data.folder_files import labels_of
from segue.data.part import Chosen
from segue.data.picture_files import PictureFiles
from segue.data.published_layouts import GENERATED, LAYOUTS, WHOLE
from segue.engine.domains import class_map_place, open_domain, training_classes
from segue.engine.settings import DataSettings, DomainSettings

Found = TypeVar("Found")

DepthFiles: TypeAlias = Literal["none", "named", "needed"]
"""Which depth files of source and target are listed: none, those that settings name, or those and else a complaint."""

ROLES = ("source", "target", "evaluation", "source_evaluation")


def take_inventory(
    data: DataSettings, *, only: tuple[str, ...] = ROLES, depths: DepthFiles = "none"
) -> Survey:
    """The files of the domains that a run names; labels are not even looked for in the target.

    Args:
        only: The domains that are wanted, by their keys in the settings.
    """
    wanted: dict[str, DomainSettings | None] = {role: getattr(data, role) for role in only}
    domains = [
        _domain(data, role, domain, depths if role in ("source", "target") else "none")
        for role, domain in wanted.items()
        if domain is not None and domain.dataset not in GENERATED  # there is no file
    ]
    classes = training_classes(data)
    crop = (1, 1) if data.names_pictures else data.crop  # such pictures are cut at any size
    return Survey({domain.role: domain for domain in domains}, classes.names, classes.colours, crop=crop)


def _domain(data: DataSettings, role: str, domain: DomainSettings, depths: DepthFiles) -> Domain:
    refusals: list[str] = []
    shown = Domain(
        role.replace("_", " "),
        data.root / (domain.root or ""),
        is_labelled=role != "target" and domain.offline_labels is None,
        refusals=refusals,
        resize=domain.resize,
    )
    unlabelled = _told(refusals, lambda: open_domain(data, domain, labelled=False))
    if unlabelled is None:
        return shown
    shown.images = _files(unlabelled)
    if depths == "needed" or (depths == "named" and domain.depth is not None):
        found = _told(refusals, lambda: open_domain(data, domain, labelled=False, depth=True))
        shown.depths = found.depth_files if isinstance(found, WithDepth) else {}
    if (
        not shown.is_labelled or domain.dataset in WHOLE
    ):  # a class that is no file was checked when it was opened
        return shown
    if domain.dataset == "folder":
        _add_folder_labels(shown, data, domain, refusals)
    else:
        _add_published_labels(shown, data, domain, refusals)
    return shown


def _add_folder_labels(
    shown: Domain, data: DataSettings, domain: DomainSettings, refusals: list[str]
) -> None:
    """Labels and their meaning, one without the other if need be."""
    found = _told(refusals, lambda: _labels(shown, domain))
    own = _told(refusals, lambda: _classes(shown, data, domain))
    if found is not None:
        folder, labels, suffix = found
        pairing: list[str] = []
        _told(pairing, lambda: labels_of(dict(shown.images), labels, folder, suffix=suffix))
        shown.pairing = "".join(pairing)
        shown.unlabelled = [path for name, path in shown.images.items() if name not in labels]
        shown.labels = {name: labels[name] for name in shown.images if name in labels}
        if not (domain.include or domain.exclude or domain.part or domain.names or domain.rejected):
            shown.surplus = [path for name, path in labels.items() if name not in shown.images]
    if own is not None:
        classes, place = training_classes(data), class_map_place(data, domain)
        table = _told(refusals, lambda: label_table(own, classes, domain.class_map, place=place))
        ignored = max(own.ignored - own.names.keys(), default=255)
        _explain(shown, table, own.colours)
        shown.colours |= dict.fromkeys(own.void, ignored)


def _add_published_labels(
    shown: Domain, data: DataSettings, domain: DomainSettings, refusals: list[str]
) -> None:
    dataset = _told(refusals, lambda: open_domain(data, domain, labelled=True))
    if dataset is None:
        return
    layout = LAYOUTS[domain.dataset]
    whole = _whole(dataset)
    if isinstance(whole, PictureFiles):
        labels = whole.label_files
        shown.labels = {name: labels[name] for name in shown.images}
        _explain(shown, whole.table, layout.colours if layout.label_kind == "colour" else {})
    if layout.label_kind == "deep":
        shown.label_kind = "deep label"


def _explain(shown: Domain, table: LabelTable | None, colours: Mapping[int, tuple[int, int, int]]) -> None:
    shown.values = table
    shown.colours = {colour: value for value, colour in colours.items()}


def _labels(shown: Domain, domain: DomainSettings) -> FoundLabels:
    root = shown.place.expanduser()
    return find_labels(root, split=domain.split, labels=domain.labels, suffix=domain.label_suffix)


def _classes(shown: Domain, data: DataSettings, domain: DomainSettings) -> LabelClasses:
    given = (
        data.root / domain.label_classes if isinstance(domain.label_classes, Path) else domain.label_classes
    )
    return folder_classes(shown.place.expanduser(), given, training_classes(data))


def _files(dataset: Dataset) -> dict[str, Path]:
    """A data set's picture files by name, in its order."""
    whole = _whole(dataset)
    files = whole.files if isinstance(whole, PictureFiles) else {}
    return {name: files[name] for name in map(dataset.name, range(len(dataset))) if name in files}


def _whole(dataset: Dataset) -> Dataset:
    """What a data set is a choice of."""
    while isinstance(dataset, Chosen):
        dataset = dataset.whole
    return dataset


def _told(refusals: list[str], find: Callable[[], Found]) -> Found | None:
    """What is found; None if it is refused, with the reason added to the list, once."""
    try:
        return find()
    except (ValueError, OSError) as error:
        text = " ".join(str(error).split())
        if text not in refusals:
            refusals.append(text)
        return None
