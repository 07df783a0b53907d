"""Opens the data sets and labels that an experiment names."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from segue.classes import ClassList, class_list
from segue.data.dataset import Dataset
from segue.data.depth import with_depth
from segue.data.folder import ImageFolder
from segue.data.name_patterns import NamePatterns
from segue.data.named_labels import NamedLabels, open_named_labels
from segue.data.part import Part, Relabelled
from segue.data.published import open_published
from segue.data.published_layouts import GENERATED
from segue.data.review import Unrejected, listed
from segue.data.whole_pictures import open_class_folders, open_image_list
from segue.engine.settings import DataSettings, DomainSettings

if TYPE_CHECKING:
    from segue.data.streets.dataset import Split


def training_classes(data: DataSettings) -> ClassList:
    """The classes that the network predicts, with their colours."""
    return class_list(data.classes, data.colours)


def open_domain(
    data: DataSettings,
    domain: DomainSettings,
    *,
    labelled: bool,
    depth: bool = False,
    map_place: str | None = None,
) -> Dataset:
    """The data set of a domain.

    Args:
        labelled: Whether labels may be read; otherwise label files are not even looked for.
        depth: Whether how far things are has to be known; otherwise depth files are not looked for either.
        map_place: Where the domain's class map is written, for messages; None for the pair's settings.

    Raises:
        ValueError: If the settings do not say enough, or the data are not as they say.
        FileNotFoundError: If a folder is missing.
    """
    whole = _open_files(
        data,
        domain.model_copy(update={"part": None, "rejected": None, "names": None, "offline_labels": None}),
        labelled=labelled and domain.offline_labels is None,
        role=_role(data, domain),
        map_place=map_place or class_map_place(data, domain),
    )
    if domain.part is not None:
        whole = Part(whole, *domain.part)
    if domain.rejected is not None:
        whole = Unrejected(whole, domain.rejected)
    if domain.names is not None:
        whole = listed(whole, domain.names)
    if domain.offline_labels is not None and labelled:
        labels = open_offline(data, domain.offline_labels, whole)
        whole = Relabelled(whole, labels, labels.fingerprint())
    if depth:
        return with_depth(whole, domain.depth, data.root / (domain.root or ""), _role(data, domain))
    return whole


def _open_files(
    data: DataSettings, domain: DomainSettings, *, labelled: bool, role: str, map_place: str
) -> Dataset:
    classes = training_classes(data)
    patterns = NamePatterns(tuple(domain.include), tuple(domain.exclude))
    if domain.dataset in GENERATED:
        return _generated(domain, classes.names)
    _check_files(domain, role)
    assert domain.root is not None, "checked above"
    root = data.root / domain.root
    own = domain.label_classes
    if domain.dataset == "class_folders":
        return open_class_folders(
            root,
            split=domain.split,
            classes=classes,
            class_map=domain.class_map,
            map_place=map_place,
            labelled=labelled,
            patterns=patterns,
        )
    if domain.dataset == "image_list":
        return open_image_list(
            root,
            split=domain.split,
            images=domain.images,
            labels=domain.labels,
            classes=classes,
            labelled=labelled,
            patterns=patterns,
        )
    if domain.dataset != "folder":
        return open_published(
            domain.dataset,
            root,
            split=domain.split,
            classes=classes,
            class_map=domain.class_map,
            map_place=map_place,
            labelled=labelled,
            patterns=patterns,
        )
    return ImageFolder(
        root,
        split=domain.split,
        classes=classes,
        label_classes=data.root / own if isinstance(own, Path) else own,
        class_map=domain.class_map,
        map_place=map_place,
        labelled=labelled,
        patterns=patterns,
        label_suffix=domain.label_suffix,
        images=domain.images,
        labels=domain.labels,
    )


def _generated(domain: DomainSettings, classes: Sequence[str]) -> Dataset:
    """Pictures that are drawn."""
    from segue.data.streets import cutouts  # here, as real data do not need them
    from segue.data.streets import dataset as streets

    if domain.domain is None:
        raise ValueError(f"{domain.dataset.replace('_', ' ')} need `domain: source` or `domain: target`")
    if domain.depth is not None:
        raise ValueError(f"{domain.dataset.replace('_', ' ')} are not read from files: leave out depth")
    if domain.include or domain.exclude:
        raise ValueError(
            f"{domain.dataset.replace('_', ' ')} are generated, not read from files: leave out include and exclude;"
            " pictures=N says how many there are"
        )
    kind = streets.StreetScenes if domain.dataset == "street_scenes" else cutouts.StreetObjects
    if classes != kind.classes.names:
        raise ValueError(
            f"data.classes: {domain.dataset.replace('_', ' ')} are labelled with {', '.join(kind.classes.names)}, in"
            " this order; leave data.classes out"
        )
    return kind(
        domain.domain,
        split=cast("Split", domain.split or "train"),  # which it checks
        count=domain.pictures or 1000,
        size=domain.size,
        seed=domain.seed,
    )


def class_map_place(data: DataSettings, domain: DomainSettings) -> str:
    """Where a domain's class map is written, for messages."""
    return f"data.{_role(data, domain)}.class_map (the pair's file, or --set)"


def _check_files(domain: DomainSettings, role: str) -> None:
    """Raise ``ValueError`` if settings of files are missing, or others are there, which would be ignored."""
    if domain.size is not None:
        raise ValueError(f"dataset {domain.dataset}: size is what street scenes are rendered at; use resize")
    if domain.pictures is not None or domain.domain is not None:
        key = "domain" if domain.pictures is None else f"pictures={domain.pictures}"
        raise ValueError(
            f"dataset {domain.dataset}: data.{role}.{key} is for street scenes, which are generated;"
            " choose among files by part=[0,4] (every fourth one), include or exclude"
        )
    if domain.root is None:
        raise ValueError(
            f"dataset {domain.dataset} needs a root: --set data.source.root=DIR, or --source DIR --target DIR"
        )
    if domain.dataset != "folder":
        lists = ("images", "labels") if domain.dataset == "image_list" else ()
        for key in ("label_classes", *sorted({"images", "labels"} - {*lists}), "label_suffix"):
            if getattr(domain, key):
                raise ValueError(f"{domain.dataset} has {key} of its own: leave out {key}")
    if domain.dataset == "image_list" and domain.class_map:
        raise ValueError(f"image_list: its numbers count data.classes; leave out data.{role}.class_map")


def _role(data: DataSettings, domain: DomainSettings) -> str:
    """The key of a domain in the settings."""
    if domain == data.target and domain is not data.evaluation:
        return "target"  # compared by value, as the oracle puts it in the source's place
    roles = ("source", "evaluation", "source_evaluation", "few")
    return next((role for role in roles if getattr(data, role) is domain), "source")


def open_offline(data: DataSettings, folder: Path, target: Dataset) -> NamedLabels:
    """The labels of a folder in training classes, by the names of target pictures.

    Args:
        folder: Holds label PNGs (in ``index/`` or directly) and ``classes.json``.
        target: Each of its pictures needs a label.

    Raises:
        FileNotFoundError: If the folder holds no labels or no class list.
        ValueError: If a picture has no label, or a class no counterpart.
    """
    labels = open_named_labels(
        folder,
        training_classes(data),
        {},
        origin=str(folder),
        place="a file for `segue fuse --map`, which translates labels",
    )
    names = [target.name(index) for index in range(len(target))]
    lost = [name for name in names if name not in labels.files]
    if lost:
        raise ValueError(f"{folder}: no label of {len(lost)} target pictures, for example {lost[0]!r}")
    return labels
