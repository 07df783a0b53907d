"""The tree of settings that describes one training run; strict, frozen, written to YAML and read back."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import Field, create_model, field_validator, model_validator

from segue.classes import Colour, nearest
from segue.data.published_layouts import DATASETS
from segue.methods import METHODS
from segue.methods.method import MethodSettings, TermSettings
from segue.methods.terms import TERMS
from segue.models.settings import NetworkSettings
from segue.protocol import Blend, Mode, PredictionProtocol
from segue.settings import Count, Margins, Positive, Settings, Share, one_of

if TYPE_CHECKING:
    AnyMethod: TypeAlias = MethodSettings
    DatasetName: TypeAlias = str
    _EveryTerm: TypeAlias = Settings
else:
    DatasetName = Literal[DATASETS]
    AnyMethod = one_of(METHODS)
    _EveryTerm = create_model(
        "_EveryTerm", __base__=Settings, **{name: (kind | None, None) for name, kind in TERMS.items()}
    )

Side: TypeAlias = Annotated[int, Field(ge=32)]
"""Pixels: an encoder's coarsest cell is 32 of them wide."""


class DomainSettings(Settings):
    """Where one domain's pictures are, and what its own classes mean in training classes."""

    dataset: DatasetName = "folder"
    root: Path | None = None  # relative to data.root
    split: str | None = None
    include: list[
        str
    ] = []  # patterns of picture names, without extension: 0001TP*, night/*; none: all of them
    exclude: list[str] = []  # the same, of pictures to leave out
    label_classes: Path | list[str] | None = None  # of a folder without classes.json or .yaml of its own
    class_map: dict[str, str] = {}  # own class -> training class or "ignore"; "*" for the rest
    domain: Literal["source", "target"] | None = None  # of generated pictures, as are the next three
    pictures: Count | None = None  # how many to generate
    size: tuple[Count, Count] | None = None  # height, width to render at; None: 128 x 256
    seed: int = 0
    resize: tuple[Count, Count] | None = None  # height, width before cropping and for evaluation
    margins: Margins | None = None  # marked as not valid before cropping
    part: tuple[Annotated[int, Field(ge=0)], Count] | None = (
        None  # [0, 2]: every second picture from the first
    )

    @model_validator(mode="after")
    def _the_part_is_one_of_them(self) -> "DomainSettings":
        if self.part is not None and self.part[0] >= self.part[1]:
            raise ValueError(f"part {list(self.part)}: parts count from 0, so the last is {self.part[1] - 1}")
        return self


class RareClassSettings(Settings):
    """Rare class sampling of the source."""

    temperature: Positive = 0.01  # T
    min_share: Share = 3000 / (1914 * 1052)  # 3000 pixels of the papers' pictures
    min_crop_ratio: Positive = 0.5  # of those pixels must be left in the crop


class DataSettings(Settings):
    """The pair, and how batches are cut from it."""

    pair: str = "folders"
    root: Path = Path()
    classes: list[str] = Field(min_length=1)
    colours: list[Colour] | None = None
    source: DomainSettings
    target: DomainSettings
    source_evaluation: DomainSettings | None = None  # labelled; scored after training
    evaluation: DomainSettings | None = (
        None  # labelled target pictures; scored after training, never trained on
    )
    crop: tuple[Side, Side] = (512, 512)  # height, width
    scale: tuple[Positive, Positive] = (1.0, 1.0)  # random enlargement before cropping
    flip: Share = 0.5
    max_share: Share = 0.75  # of a source crop that one class may cover
    rare_classes: RareClassSettings | None = None
    batch: Count = 2  # of each domain, on each process
    workers: Annotated[int, Field(ge=0)] = 2

    @model_validator(mode="after")
    def _as_many_colours_as_classes(self) -> "DataSettings":
        if self.colours is not None and len(self.colours) != len(self.classes):
            raise ValueError(f"{len(self.classes)} classes but {len(self.colours)} colours")
        return self


class OptimSettings(Settings):
    """The student's optimiser, linear warm-up, polynomial decay."""

    name: Literal["adamw", "sgd"] = "adamw"
    lr: Positive = 6e-5  # of the encoder
    head_factor: Positive = 10.0  # the head learns this much faster
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.01  # adamw: none on norms
    betas: tuple[Share, Share] = (0.9, 0.999)  # of adamw
    momentum: Share = 0.9  # of sgd
    nesterov: bool = False  # sgd
    warmup: Share = 1500 / 40000  # share of the steps
    warmup_start: Share = 1e-6  # first factor
    power: Annotated[float, Field(ge=0.0)] = 1.0  # 0 holds the rate
    clip: Positive | None = None  # largest gradient norm
    accumulate: Count = 1  # batches a step


class RunSettings(Settings):
    """How the run is carried out; changes speed and records, not what is learnt."""

    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    log_every: Count = 50
    draw_every: Annotated[int, Field(ge=0)] = 1000  # 0: never
    save_every: Count = 1000
    keep: Count = 2  # checkpoints: the newest, and one before it should that turn out to be a bad place


class EvaluationSettings(Settings):
    """The protocol of scores and of the predictions in the report."""

    mode: Mode = PredictionProtocol.mode
    overlap: Annotated[float, Field(ge=0.0, lt=1.0)] = PredictionProtocol.overlap  # of sliding windows
    blend: Blend = PredictionProtocol.blend  # how overlapping windows are averaged
    flip: bool = PredictionProtocol.flip
    scales: Annotated[list[Positive], Field(min_length=1)] = list(PredictionProtocol.scales)
    network: Literal["student", "teacher"] = "student"
    classes: list[str] | None = None  # that the mean is over; None for all that are labelled
    also: dict[str, list[str]] = {}  # further means by name, over these classes
    pictures: Annotated[int, Field(ge=0)] = 8  # kept for the report


class Terms(_EveryTerm):
    """Additional losses by name; None leaves one out."""

    @model_validator(mode="before")
    @classmethod
    def _names_mean_defaults(cls, value: Any) -> Any:
        return {name: {} for name in value} if isinstance(value, list) else value

    def used(self) -> dict[str, TermSettings]:
        """Those that are not left out, in the order of their building."""
        found = {name: getattr(self, name) for name in TERMS}
        return {name: settings for name, settings in found.items() if settings is not None}


class Experiment(Settings):
    """One run: recipe x pair x network x budget."""

    recipe: str
    seed: int = 0
    steps: Count = 40000
    network: NetworkSettings = NetworkSettings()
    data: DataSettings
    method: AnyMethod
    terms: Terms = Terms()
    optim: OptimSettings = OptimSettings()
    run: RunSettings = RunSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    reads_target_labels: bool = False  # true for the oracle alone

    @model_validator(mode="after")
    def _counted_classes_exist(self) -> "Experiment":
        known = self.data.classes
        for names in (self.evaluation.classes or [], *self.evaluation.also.values()):
            strange = [name for name in names if name not in known]
            if strange:
                raise ValueError(f"evaluation: unknown class {strange[0]!r}{nearest(strange[0], known)}")
        return self

    @model_validator(mode="after")
    def _pieces_fit(self) -> "Experiment":
        for term in self.terms.used().values():
            term.check(self.method)
        if self.method.deals_source and self.data.rare_classes is not None:
            raise ValueError(
                "data.rare_classes draws the source's pictures, and this method learns each of a share of them alike:"
                " set data.rare_classes=null"
            )
        if self.network.statistics == "domain" and not self.method.shows_domains_apart:
            raise ValueError(
                f"network.statistics=domain: no view of method {self.method.name} shows the target alone while it"
                " trains; choose target"
            )
        return self

    @field_validator("seed")
    @classmethod
    def _seed_fits_the_generators(cls, value: int) -> int:
        if not 0 <= value < 2**31:
            raise ValueError("a seed is at least 0 and below 2**31")
        return value
