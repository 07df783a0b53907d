"""Settings for two folders of one's own, chosen for this machine and these pictures where nobody has chosen.

A pair that somebody described has settings of its own. Two bare folders have none, and the papers' (a large network,
40 000 steps) would take weeks on a processor.
"""

import statistics
from collections.abc import Set
from dataclasses import dataclass

import torch

from segue.data.picture_files import PictureFiles
from segue.engine.domains import open_domain
from segue.engine.settings import DomainSettings, Experiment
from segue.trees import Tree, merge

SEEN = 32
"""Of so many pictures of a domain the size is looked at."""

FITTING = {10.0: "mit_b5", 7.0: "mit_b3", 5.0: "mit_b2", 0.0: "mit_b1"}
"""The largest of the papers' encoders that trains within so many GiB of a GPU, on their crops in half precision."""

ON_A_PROCESSOR: Tree = {
    "steps": 2000,
    "network": {"encoder": "mit_b0"},
    "data": {"workers": 1},
    "run": {"precision": "fp32", "log_every": 20, "draw_every": 200, "save_every": 200},
    # A teacher that follows within as large a share of the run as DAFormer's: 2.5 % of it.
    "when": {"method.teacher.name=average": {"method": {"teacher": {"momentum": 0.98}}}},
}
"""An hour or a few on two cores."""

FROM_RANDOM_NUMBERS: Tree = {
    "optim": {"lr": 1e-3, "head_factor": 1.0, "warmup": 0.06},
    "when": {"terms.feature_distance": {"terms": {"feature_distance": None}}},
}
"""Without pretrained weights: everything learns fast, and there are no features worth keeping."""

Sizes = dict[str, tuple[int, int]]
"""The usual height and width of the pictures of each domain."""


@dataclass(frozen=True)
class Machine:
    """What the choice depends on: the GPU's memory in GiB, None without one, and whether it has bfloat16."""

    gpu: float | None = None
    has_bf16: bool = False

    @classmethod
    def here(cls, *, cpu: bool) -> "Machine":
        """This machine, without its GPU if ``cpu``."""
        if cpu or not torch.cuda.is_available():
            return cls()
        memory = torch.cuda.get_device_properties(0).total_memory / 2**30
        return cls(memory, torch.cuda.is_bf16_supported(including_emulation=False))

    @property
    def settings(self) -> Tree:
        """Network, precision and budget."""
        if self.gpu is None:
            return ON_A_PROCESSOR
        encoder = next(name for least, name in FITTING.items() if self.gpu >= least)
        return {"network": {"encoder": encoder}, "run": {"precision": "bf16" if self.has_bf16 else "fp16"}}

    @property
    def longest_crop(self) -> int:
        """The side of the crops, if pictures are large enough: the papers', or half of it."""
        return 256 if self.gpu is None else 512

    def __str__(self) -> str:
        """For people."""
        return "a processor" if self.gpu is None else f"a GPU with {self.gpu:.0f} GiB"


def choose(wanted: Experiment, machine: Machine, *, named: Set[str]) -> tuple[Tree, Sizes]:
    """Settings for an experiment on two folders, and the sizes of their pictures, from the files' headers.

    Args:
        wanted: With everything that the user says.
        named: The dotted keys that the user sets.

    Raises:
        ValueError: If the data are not as the settings say.
        FileNotFoundError: If a folder is missing.
    """
    data = wanted.data
    domains = {"source": data.source, "target": data.target, "evaluation": data.evaluation}
    sizes = {
        role: _usual_size(wanted, domain)
        for role, domain in domains.items()
        if domain and role != "evaluation"
    }
    factor = 1 if wanted.network.multi_resolution is None else 2  # its context is seen at half of the size
    side = factor * machine.longest_crop
    crop = data.crop if "data.crop" in named else _crop(sizes, side)
    seen: Tree = {"crop": list(crop)}
    for role, domain in domains.items():
        if domain is not None:
            seen[role] = {"resize": _box(sizes["source" if role == "source" else "target"], crop)}
    chosen = merge(machine.settings, {"data": seen})
    if wanted.network.weights is None and wanted.network.start is None:
        when = {**chosen.get("when", {}), **FROM_RANDOM_NUMBERS["when"]}
        chosen = merge(chosen, FROM_RANDOM_NUMBERS, {"when": when})
    return chosen, sizes


def explained(chosen: Experiment, machine: Machine, sizes: Sizes) -> str:
    """The choice in one line, with what the user can do about it."""
    network, data = chosen.network, chosen.data
    is_random = network.weights is None and network.start is None
    weights = (
        "; from random numbers: docs/networks.md says where pretrained weights come from, which are worth more than"
        " anything else here (--set network.weights=FILE)"
    )
    pictures = " and ".join(f"{width}x{height} ({role})" for role, (height, width) in sizes.items())
    return (
        f"chosen for {machine} and pictures of {pictures}: {network.encoder}, crops of {data.crop[1]}x{data.crop[0]},"
        f" {data.batch} + {data.batch} a step, {chosen.run.precision}, {chosen.steps} steps"
        f"{weights if is_random else ''};"
        " --print shows all settings, --set changes any"
    )


def _usual_size(wanted: Experiment, domain: DomainSettings) -> tuple[int, int]:
    every = domain.model_copy(
        update={"part": None, "names": None, "rejected": None}
    )  # these are no PictureFiles
    pictures = open_domain(wanted.data, every, labelled=False)
    assert isinstance(pictures, PictureFiles), "a folder"
    places = range(0, len(pictures), max(1, len(pictures) // SEEN))
    heights, widths = zip(*(pictures.size(place) for place in places), strict=True)
    return int(statistics.median_low(heights)), int(statistics.median_low(widths))


def _crop(sizes: Sizes, longest: int) -> tuple[int, int]:
    """Height and width: no longer than the sides of either domain's pictures, and multiples of 32."""
    height, width = (min(longest, *(size[axis] for size in sizes.values())) // 32 * 32 for axis in (0, 1))
    return max(32, height), max(32, width)


def _box(size: tuple[int, int], crop: tuple[int, int]) -> list[int] | None:
    """The smallest box in which pictures still cover a crop, so that it shows most of one; None for their own size."""
    factor = max(crop[0] / size[0], crop[1] / size[1])
    return [round(side * factor) for side in size] if factor < 1 else None
