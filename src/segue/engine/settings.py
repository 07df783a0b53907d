"""The tree of settings that describes a run: strict, frozen, written to YAML and read back."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import Field, create_model, field_validator, model_validator

from segue.classes import Colour, nearest
from segue.data.depth_file import DepthSettings
from segue.data.published_layouts import DATASETS, WHOLE
from segue.data.whole_crop import Cut
from segue.evaluation.unlabelled import MEASURES
from segue.methods import METHODS
from segue.methods.method import MethodSettings, TermSettings
from segue.methods.terms import TERMS
from segue.models.heads import HEADS
from segue.models.settings import NetworkSettings
from segue.protocol import Blend, Mode, PredictionProtocol
from segue.settings import Count, Margins, NotNegative, Positive, Settings, Share, one_of

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

Side: TypeAlias = Annotated[int, Field(ge=32, le=32768)]
"""A side in pixels, at least as long as a cell of an encoder's coarsest map, at most what a picture file may have."""


TrackerName: TypeAlias = Literal["tensorboard", "wandb", "mlflow"]
"""A service or a viewer that draws curves."""


class DomainSettings(Settings):
    """Where a domain's pictures are, and which training classes its own classes are."""

    dataset: DatasetName = "folder"
    root: Path | None = None  # a folder, tar archives or a pattern of them; relative to data.root
    split: str | None = None
    images: Path | None = None  # a folder's pictures, if not in images/; relative to root
    labels: Path | None = None  # its labels, if not in labels/ or masks/
    label_suffix: str = ""  # what follows a picture's name in that of its label: _mask, _labelIds
    # Patterns of the names of pictures to take, without extension: 0001TP*, night/*; empty: all of them.
    include: list[str] = []
    exclude: list[str] = []  # patterns of the names of pictures to leave out
    label_classes: Path | list[str] | None = None  # for a folder without classes.json or .yaml of its own
    class_map: dict[str, str] = {}  # own class -> training class or "ignore"; "*" for the rest
    domain: Literal["source", "target"] | None = None  # for street scenes and objects, as are the next three
    pictures: Count | None = None  # how many to generate
    size: tuple[Count, Count] | None = None  # height and width to render at; None: 128 x 256
    seed: int = 0
    resize: tuple[Count, Count] | None = None  # height and width before cropping and for evaluation
    # Range of the random factor on size before cropping; None: data.scale.
    scale: tuple[Positive, Positive] | None = None
    # Decode JPEG files for training at a half, quarter or eighth of their sides, as far as resize allows: faster, but
    # pixels differ a little from those of the whole picture made smaller.
    draft: bool = False
    margins: Margins | None = None  # borders to mark as not valid before cropping
    depth: DepthSettings | None = None  # how far things are, for recipes that learn it
    part: tuple[Annotated[int, Field(ge=0)], Count] | None = None  # [0, 2]: every second one, from the first
    # Lists of pictures: a text file, one name without extension a line, or a run that `segue view` reviewed.
    names: Path | None = None  # the pictures to take: of a run, those accepted
    rejected: Path | None = None  # the pictures to leave out
    # Folder of labels made beforehand, as method.labels; the domain's own are not read.
    offline_labels: Path | None = None

    @model_validator(mode="after")
    def _the_part_is_one_of_them(self) -> "DomainSettings":
        if self.part is not None and self.part[0] >= self.part[1]:
            raise ValueError(f"part {list(self.part)}: parts count from 0, so the last is {self.part[1] - 1}")
        return self

    @model_validator(mode="after")
    def _a_draft_is_of_a_size(self) -> "DomainSettings":
        if self.draft and self.resize is None:
            raise ValueError(
                "draft decodes pictures no larger than resize needs them: say resize=[HEIGHT,WIDTH]"
            )
        return self


class RareClassSettings(Settings):
    """Rare class sampling of the source."""

    temperature: Positive = 0.01  # T: the smaller it is, the more often rare classes are drawn
    # The share of a picture that a class must cover for the picture to be drawn for it: 3000 of the papers' pixels.
    min_share: Share = 3000 / (1914 * 1052)
    min_crop_ratio: Positive = 0.5  # how much of that share must be left in the crop


class DataSettings(Settings):
    """The pair of domains, and how batches are cut from it."""

    pair: str = "folders"
    root: Path = Path()
    classes: list[str] = Field(min_length=1)
    colours: list[Colour] | None = None
    source: DomainSettings
    target: DomainSettings
    source_evaluation: DomainSettings | None = None  # labelled source pictures to score on after training
    # Labelled target pictures to score on after training; never trained on.
    evaluation: DomainSettings | None = None
    # A few labelled target pictures, mixed into the source's: semi-supervised adaptation. The share is how often one of
    # them is drawn in place of a source picture.
    few: DomainSettings | None = None
    few_share: Share = 0.5
    crop: tuple[Side, Side] = (512, 512)  # height, width
    # Range of the random factor on size before cropping, of domains without one of their own.
    scale: tuple[Positive, Positive] = (1.0, 1.0)
    flip: Share = 0.5  # how often a crop is mirrored
    max_share: Share = 0.75  # share of a source crop that one class may cover at most
    # Pictures of one class each: cut a random part of a random shape, or the middle; the next two are a part's share of
    # the picture and its width to its height.
    cut: Cut = "part"
    area: tuple[Positive, Positive] = (0.08, 1.0)
    ratio: tuple[Positive, Positive] = (3 / 4, 4 / 3)
    rare_classes: RareClassSettings | None = None
    batch: Count = 2  # pictures of each domain, on each process
    # Processes that read pictures, for each process that trains; None: by its cores and its batch.
    workers: Annotated[int, Field(ge=0)] | None = None

    @property
    def names_pictures(self) -> bool:
        """Whether every picture has one class, in the place of a label for its pixels."""
        return self.source.dataset in WHOLE

    @model_validator(mode="after")
    def _domains_are_labelled_alike(self) -> "DataSettings":
        for role in ("source_evaluation", "evaluation", "few"):
            domain = getattr(self, role)
            if domain is not None and (domain.dataset in WHOLE) != self.names_pictures:
                raise ValueError(
                    f"{role}: pictures of {self.source.dataset} and {domain.dataset} are not labelled alike: one has a"
                    f" class for each picture ({', '.join(WHOLE)}), the other for each pixel"
                )
        return self

    @model_validator(mode="after")
    def _as_many_colours_as_classes(self) -> "DataSettings":
        if self.colours is not None and len(self.colours) != len(self.classes):
            raise ValueError(f"{len(self.classes)} classes but {len(self.colours)} colours")
        return self


class SharpnessSettings(Settings):
    """Sharpness-aware minimisation: the gradient is taken where the loss is highest near by, at twice the cost."""

    radius: Positive = 0.02  # rho: how far away, as a norm over all of the student's weights
    adaptive: bool = False  # in proportion to each weight's size


class OptimSettings(Settings):
    """The student's optimiser, linear warm-up, polynomial decay."""

    name: Literal["adamw", "sgd"] = "adamw"
    lr: Positive = 6e-5  # the encoder's learning rate
    head_factor: Positive = 10.0  # how many times as fast heads learn
    weight_decay: NotNegative = 0.01  # adamw: not on norms of an encoder
    betas: tuple[Share, Share] = (0.9, 0.999)  # of adamw
    momentum: Share = 0.9  # of sgd
    nesterov: bool = False  # of sgd
    warmup: Share = 1500 / 40000  # share of the steps
    warmup_start: Share = 1e-6  # factor on the rate at the first step
    power: NotNegative = 1.0  # power of the polynomial decay; 0 holds the rate
    hold: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0  # share of the steps before the decay begins
    # gamma: the rate decays as (1 + gamma * step)^-power instead, however long the run is (CDAN).
    fading: Positive | None = None
    sharpness: SharpnessSettings | None = None
    clip: Positive | None = None  # largest norm of the gradient; None: not clipped
    accumulate: Count = 1  # batches per step


class RunSettings(Settings):
    """How the run is carried out: speed and records."""

    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"  # auto: bf16 on a GPU that has it, else fp32
    float32: Literal["tf32", "ieee"] = "tf32"  # how a GPU multiplies float32: tf32 is several times faster
    deterministic: bool = False  # bit-equal repetitions on a GPU, too, which is slower
    compile: bool = False  # compile the student's encoder and head, which takes minutes at the start
    sync_batch_norm: bool = False  # batch norms see the pictures of all processes, so that two equal one
    log_every: Count = 50  # steps between lines of the log
    draw_every: Annotated[int, Field(ge=0)] = 1000  # steps between pictures of the views; 0: none
    save_every: Count = 1000  # steps between checkpoints
    # How many checkpoints are kept: at least two, so that one is left if the newest is damaged.
    keep: Annotated[int, Field(ge=2)] = 2
    trackers: list[TrackerName] = []  # who else gets every line of the log, through Accelerate


class EvaluationSettings(Settings):
    """How pictures are predicted for scores and for the report, and what scores are taken over."""

    mode: Mode = PredictionProtocol.mode
    overlap: Annotated[float, Field(ge=0.0, lt=1.0)] = PredictionProtocol.overlap  # of sliding windows
    blend: Blend = PredictionProtocol.blend  # how overlapping windows are averaged
    flip: bool = PredictionProtocol.flip  # average over the picture and its mirror image
    scales: Annotated[list[Positive], Field(min_length=1)] = list(PredictionProtocol.scales)
    network: Literal["student", "teacher"] = "student"  # which network is scored
    classes: list[str] | None = None  # classes that the mean is taken over; None for all that are labelled
    also: dict[str, list[str]] = {}  # further means by name, each over its classes
    # What sums up whole pictures: the share that is right, or its mean over the classes (VisDA-2017).
    measure: Literal["accuracy", "class_accuracy"] = "accuracy"
    pictures: Annotated[int, Field(ge=0)] = 8  # how many predictions to keep for the report


class EvidenceSettings(Settings):
    """What a run is judged by without target labels."""

    # Target pictures, and as many of the source, looked at whenever a checkpoint is written; 0: none. Where the target
    # has at least twenty times as many, they are set aside and not trained on.
    pictures: Annotated[int, Field(ge=0)] = 8
    # Keep the network of the save point that is best by this measure in the run's best/, and score it, too: beside the
    # last step, which stays the run's model.
    best: Literal[tuple(MEASURES)] | None = None  # pyright: ignore[reportInvalidTypeForm]

    @model_validator(mode="after")
    def _best_is_measured(self) -> "EvidenceSettings":
        if self.best is not None and (self.pictures == 0 or MEASURES[self.best].better == 0):
            raise ValueError(
                f"best={self.best}: choose a measure that has a better end, and evidence.pictures above 0"
            )
        return self


class Terms(_EveryTerm):
    """Additional losses by name; None leaves one out."""

    @model_validator(mode="before")
    @classmethod
    def _names_mean_defaults(cls, value: Any) -> Any:
        return {str(name): {} for name in value} if isinstance(value, list) else value

    def used(self) -> dict[str, TermSettings]:
        """The settings of the terms in use, in the order of building."""
        every = {name: getattr(self, name) for name in TERMS}
        return {name: settings for name, settings in every.items() if settings is not None}


class Experiment(Settings):
    """A run: recipe x pair x network x budget."""

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
    evidence: EvidenceSettings = EvidenceSettings()
    reads_target_labels: bool = False  # true only for the oracle, which trains on target labels

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
                "data.rare_classes draws the source's pictures unevenly, but this method learns each of a share of them"
                " equally often: set data.rare_classes=null"
            )
        if self.method.deals_source and self.data.few is not None:
            raise ValueError(
                f"data.few: method {self.method.name} learns every source picture equally often, so a few of the target"
                " cannot be mixed in; choose another recipe"
            )
        if self.network.statistics == "domain" and self.data.few is not None:
            raise ValueError(
                "network.statistics=domain: data.few shows labelled target pictures among the source's; choose trained"
                " or target"
            )
        if self.network.statistics == "domain" and not self.method.shows_domains_apart:
            raise ValueError(
                f"network.statistics=domain: method {self.method.name} has no view that shows the target alone;"
                " choose target"
            )
        return self

    @model_validator(mode="after")
    def _sharpness_has_true_gradients(self) -> "Experiment":
        if self.optim.sharpness is not None and self.run.precision == "fp16":
            raise ValueError(
                "optim.sharpness: gradients in fp16 overflow now and then, and weights would move to nowhere: set"
                " run.precision=bf16 or fp32"
            )
        return self

    @model_validator(mode="after")
    def _labels_fit_the_head(self) -> "Experiment":
        whole, head = self.data.names_pictures, HEADS.get(self.network.head)
        if head is not None and whole != head.names_pictures:
            wanted = next(name for name, kind in HEADS.items() if kind.names_pictures == whole)
            each, other = ("picture", "pixel") if whole else ("pixel", "picture")
            raise ValueError(
                f"network.head={self.network.head} names each {other}, but {self.data.source.dataset} has a class for"
                f" each {each}: choose network.head={wanted}"
            )
        if whole:
            self._check_whole_pictures()
        return self

    def _check_whole_pictures(self) -> None:
        """Raise ``ValueError`` if something needs labels of pixels."""
        if not self.method.names_pictures:
            raise ValueError(
                f"method {self.method.name} needs a class for each pixel, not for each picture: choose one of the"
                " recipes for classification, such as cdan or sdat"
            )
        if self.data.batch < 2:
            raise ValueError(
                "data.batch=1: a head that names pictures normalises by the batch: take at least 2"
            )
        terms = [f"terms.{name}" for name, term in self.terms.used().items() if not term.names_pictures]
        needs = [*(f"method.{name}" for name in self.method.of_pixels), *terms]
        if needs:
            raise ValueError(
                f"{needs[0]} needs a class for each pixel, not for each picture: set {needs[0]}=null"
            )
        if self.evaluation.mode == "sliding":
            raise ValueError(
                "evaluation.mode=sliding: pictures that have one class are not cut: choose middle or whole"
            )

    @field_validator("seed")
    @classmethod
    def _seed_fits_the_generators(cls, value: int) -> int:
        if not 0 <= value < 2**31:
            raise ValueError("a seed is at least 0 and below 2**31")
        return value
