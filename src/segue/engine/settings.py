"""The tree of settings that describes one training run; strict, frozen, written to YAML and read back."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from segue.classes import nearest

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Count = Annotated[int, Field(ge=1)]
Colour = tuple[int, int, int]


class Settings(BaseModel):
    """A group of settings: an unknown key is an error, nothing changes after reading."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class MultiResolutionSettings(Settings):
    """HRDA: the whole crop at low resolution and a window of it in detail (``MultiResolution``)."""

    detail: Share = 0.5  # sides of the detail window, of the crop's
    context_scale: Share = 0.5  # s: how much the crop is shrunk for the context
    detail_share: Share = 0.1  # lambda_d: the detail's share of the loss
    overlap: Annotated[float, Field(ge=0.0, lt=1.0)] = (
        0.5  # of detail windows at test time and for the teacher
    )
    attention: Literal["class", "single", "none"] = "class"


class NetworkSettings(Settings):
    """The student: an encoder and a head by their names in ``segue.models.build``."""

    encoder: str = "mit_b5"
    head: str = "daformer"
    context: str | None = None  # None is the head's own default
    channels: Count = 256
    dropout: Share = 0.1
    drop_path: Share = 0.1
    multi_resolution: MultiResolutionSettings | None = None
    weights: Path | None = None  # of the encoder; None starts from random numbers
    start: Path | None = None  # a run or model folder whose whole network training starts from
    checkpoint_stages: list[int] = []  # of the encoder: computed again for the gradient, to save memory


class MarginSettings(Settings):
    """Borders as fractions of a picture's sides."""

    top: Share = 0.0
    bottom: Share = 0.0
    left: Share = 0.0
    right: Share = 0.0


class DomainSettings(Settings):
    """Where one domain's pictures are, and what its own classes mean in training classes."""

    dataset: Literal[
        "folder", "street_scenes",
        "gta5", "synthia", "cityscapes", "acdc", "dark_zurich", "bdd100k", "mapillary", "camvid", "camvid_32",
    ] = "folder"  # fmt: skip
    root: Path | None = None  # relative to data.root
    split: str | None = None
    label_classes: Path | list[str] | None = None  # folder: None finds classes.json or .yaml in the root
    class_map: dict[str, str] = {}  # own class -> training class or "ignore"; "*" for the rest
    domain: Literal["source", "target"] | None = None  # street scenes
    pictures: Count | None = None  # street scenes: how many to generate
    seed: int = 0  # street scenes
    resize: tuple[Count, Count] | None = None  # height, width before cropping and for evaluation
    margins: MarginSettings | None = None  # marked as not valid before cropping


class RareClassSettings(Settings):
    """Rare class sampling of the source (DAFormer, section 3.2)."""

    temperature: Positive = 0.01  # T of equation 7
    min_share: Share = 3000 / (1914 * 1052)  # 3000 pixels of a GTA5 picture
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
    crop: tuple[Count, Count] = (512, 512)  # height, width
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


class AugmentSettings(Settings):
    """Colour changes of what the student sees of the target (DACS, DAFormer)."""

    strength: Share = 0.2  # s: brightness, contrast, saturation and hue
    jitter_probability: Share = 0.8
    blur_probability: Share = 0.5
    sigma: tuple[Positive, Positive] = (0.15, 1.15)  # of the blur, in pixels


class MaskSettings(Settings):
    """MIC's masked view."""

    block: Positive = 1 / 16  # b: pixels from 1 on, below that a share of the crop's height
    ratio: Share = 0.7  # r: share of the blocks that is hidden
    pictures: Literal["target", "both"] = "target"
    augment: bool = True  # colour changes of its own


class CoordinationSettings(Settings):
    """STCT: how far each target picture is trusted."""

    alpha: Annotated[float, Field(ge=0.0)] = (
        2e-4  # at 40 000 steps; the ramp keeps its share of a shorter run
    )
    mode: Literal["coordinated", "accuracy", "time", "threshold", "none"] = "coordinated"
    threshold: Share = 0.5  # of the mode "threshold": pseudo-accuracy from which a picture is trusted


class HybridAttentionSettings(Settings):
    """MHA: source and target in one pass, in which their tokens meet."""

    grouping: Literal["none", "random", "hvh", "hvr", "cutout", "semantic"] = "semantic"
    scattered: Annotated[int, Field(ge=0)] = 0  # k: classes torn apart by semantic grouping
    target_mask: Literal["source", "pseudo", "mixed"] = "source"
    direction: Literal["bidirectional", "s2t", "t2s", "none"] = "bidirectional"
    inter_share: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.5  # rho: how much the other domain's keys count
    groups_itself: bool = True  # a domain that does not look over still looks within its group
    stages: list[Annotated[int, Field(ge=1, le=4)]] = [1, 2, 3, 4]
    resample: Literal["step", "stage", "block"] = "step"  # how often groups are drawn


class CollaborationSettings(Settings):
    """CLDA: the teacher's non-salient blocks follow the student's that attend as they do."""

    saliency: Path | None = None  # what `segue saliency` wrote; None measures it before training
    against: Literal["agreement", "source"] = "agreement"  # what it is measured against then
    pictures: Count = 500  # that it is measured on then
    threshold: Annotated[float, Field(ge=0.0)] = 0.1  # points of mean IoU that make a block salient
    least: Share = 0.5  # of the blocks, that are taken as non-salient by agreement
    signed: bool = False  # a block without which the teacher is better is non-salient, too
    fraction: Share = 0.3  # of the non-salient blocks that follow
    match: Literal["channel", "token", "both", "random", "index"] = "channel"
    captured: Literal["projected", "before_projection"] = "projected"
    update: Literal["block", "attention"] = "block"
    stages: list[Annotated[int, Field(ge=1, le=4)]] = [1, 2, 3, 4]
    match_from: Share = 0.1  # T2, of the steps
    match_until: Share = 0.125  # T3; blocks follow after it
    every: Count = 10  # steps from one comparison to the next
    momentum: Share = 0.999  # alpha

    @model_validator(mode="after")
    def _compares_for_a_while(self) -> "CollaborationSettings":
        if self.match_until < self.match_from:
            raise ValueError("match_until comes before match_from")
        return self


class SourceOnlySettings(Settings):
    """Supervised training on the source."""

    name: Literal["source_only"] = "source_only"


class SelfTrainingSettings(Settings):
    """DACS, DAFormer and what is built on them."""

    name: Literal["self_training"] = "self_training"
    teacher: Literal["average", "large"] = (
        "average"  # who labels the target: the student's average, or a model
    )
    teacher_model: Path | None = None  # of a large teacher: its run or model folder
    collaborate: CollaborationSettings | None = None  # None: a large teacher stays as it is
    soft: bool = False  # learn the teacher's probabilities instead of its label
    momentum: Share = 0.999  # alpha of the teacher's moving average
    teacher_statistics: Literal["batch", "average"] = "batch"
    threshold: Share | None = (
        0.968  # tau: confidence that counts towards quality; None trusts the teacher wholly
    )
    mix: Literal["class_mix"] | None = "class_mix"
    class_pool: Literal["batch", "image"] = "batch"
    augment: AugmentSettings | None = AugmentSettings()
    coordinate: CoordinationSettings | None = None
    pair: HybridAttentionSettings | None = None
    mask: MaskSettings | None = None
    margins: MarginSettings | None = None  # of the crop

    @model_validator(mode="after")
    def _pieces_fit(self) -> "SelfTrainingSettings":
        if self.teacher == "average" and (self.teacher_model or self.collaborate):
            raise ValueError("teacher_model and collaborate are for teacher: large")
        if self.soft and self.mask is not None and self.mask.pictures == "both":
            raise ValueError("soft does not go with mask.pictures: both")
        return self


class ClassWeightSettings(Settings):
    """Weights of small and seldom classes (the student of an ensemble)."""

    weight: Positive = 7.0
    small: Share = 1 / 32  # of a batch's pixels; 64 x 64 of 512 x 256
    momentum: Share = 0.9  # of the factor for classes seldom seen; 1 leaves it out


class RoundSettings(Settings):
    """CBST: label, train, label again."""

    count: Count = 3
    portion: Share = 0.2  # p_0: of each class's pixels that are labelled in the first round
    step: Share = 0.05  # more in each further round
    most: Share = 0.5
    every: Count = 4  # pixels from one that thresholds are found by to the next


class EnsembleSettings(Settings):
    """Ensemble distillation: members, a policy, fused labels, one student."""

    members: dict[str, Path] = Field(
        default={}
    )  # run or model folders, .onnx files, folders of labels, by name
    maps: dict[str, dict[str, str]] = {}  # class of a member -> class of the pair, or ignore; by member
    kind: Literal["channel", "pixel", "average"] = "channel"
    policy: Literal["certainty", "random"] | Path = "certainty"  # or a YAML file of class: member
    conflict: Literal["neighbourhood", "certainty", "order", "ignore"] = "neighbourhood"
    unclaimed: Literal["neighbourhood", "majority", "ignore"] = "neighbourhood"
    window: Count = 5  # kappa
    order: list[str] | None = None  # classes by precedence, the first one wins
    threshold: Share = 0.0  # certainty below which a label is dropped
    student_share: Share = 0.5  # of the steps, for each member's own student, whose certainty decides


class OfflineSettings(Settings):
    """Training on labels of the target that were made beforehand, or by its own earlier stages."""

    name: Literal["offline"] = "offline"
    labels: Path | None = None  # folder of label PNGs by picture name, with classes.json
    source: bool = False  # learn the source, too
    weights: ClassWeightSettings | None = None
    percentile: Annotated[float, Field(ge=0.0, lt=100.0)] = (
        0.0  # of the loss, below which pixels are left out
    )
    rounds: RoundSettings | None = None
    ensemble: EnsembleSettings | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> "OfflineSettings":
        if sum(origin is not None for origin in (self.labels, self.rounds, self.ensemble)) > 1:
            raise ValueError(
                "labels, rounds and ensemble exclude each other: each says where labels come from"
            )
        return self


class FeatureDistanceSettings(Settings):
    """DAFormer's distance to the features that training started from."""

    classes: list[str] | None = None  # None: Cityscapes' things that the class list has, or all classes
    share: Annotated[float, Field(ge=0.0)] = 0.005  # lambda
    min_share: Share = 0.75  # r: part of a cell that one class must cover


class SamRegularizerSettings(Settings):
    """SSR: a second decoding, of features that have looked at SAM's."""

    encoder: Literal["vit_b", "vit_l", "vit_h", "tiny"] = "vit_b"
    weights: Path | None = None  # a Hugging Face folder or the official .pth; None: random, for tests alone
    image_size: Count | None = None  # side of what SAM sees, in pixels; None for its own, 1024
    stages: list[Annotated[int, Field(ge=1, le=4)]] = [1, 2, 3, 4]  # S0 to S3 of the paper
    share: Annotated[float, Field(ge=0.0)] = 1.0  # of the second decoding's loss
    zero_init: bool = False
    bn_update: Literal["both", "plain_only"] = "both"
    mask_branch: bool = False  # decode MIC's masked view twice, too


class InstanceBankSettings(Settings):
    """DIDA: teacher and student agree on which labelled instances a pixel is similar to."""

    size: Count = 250  # K: instances in all
    temperature: Positive = 0.1  # tau
    share: Annotated[float, Field(ge=0.0)] = 1.0  # lambda
    beta: Share = 1.0  # how far the pseudo-label stays the class prediction; 1: instances do not correct it
    similarity: Literal["cosine", "dot", "linear"] = "cosine"
    scatter: Literal["teacher", "student_logits", "off"] = "teacher"
    update: Literal["ema", "ema_boundary", "ema_boundary_center", "fifo", "frozen"] = "ema"
    interval: Count = 50  # steps from one update to the next
    momentum: Share = 0.999  # mu
    region: Literal["target", "all", "confident"] = "target"
    warmup: Share = 1500 / 40000  # share of the steps before the bank is filled


class ConfidenceSettings(Settings):
    """CRST: pseudo-labels are not learnt to certainty."""

    share: Annotated[float, Field(ge=0.0)] = 0.1  # lambda of MRKLD


class TermSettings(Settings):
    """Additional losses; None leaves one out."""

    feature_distance: FeatureDistanceSettings | None = None
    instance_bank: InstanceBankSettings | None = None
    sam_regularizer: SamRegularizerSettings | None = None
    confidence: ConfidenceSettings | None = None

    @model_validator(mode="before")
    @classmethod
    def _names_mean_defaults(cls, value: Any) -> Any:
        return {name: {} for name in value} if isinstance(value, list) else value


class OptimSettings(Settings):
    """AdamW, linear warm-up, polynomial decay (DAFormer's values)."""

    lr: Positive = 6e-5  # of the encoder
    head_factor: Positive = 10.0  # the head learns this much faster
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.01  # none on norms
    betas: tuple[Share, Share] = (0.9, 0.999)
    warmup: Share = 1500 / 40000  # share of the steps
    warmup_start: Share = 1e-6  # first factor
    power: Positive = 1.0
    clip: Positive | None = None  # largest gradient norm
    accumulate: Count = 1  # batches a step


class RunSettings(Settings):
    """How the run is carried out; changes speed and records, not what is learnt."""

    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    log_every: Count = 50
    draw_every: Annotated[int, Field(ge=0)] = 1000  # 0: never
    save_every: Count = 1000
    keep: Count = 1  # checkpoints
    trackers: list[Literal["tensorboard", "wandb"]] = []


class EvaluationSettings(Settings):
    """The protocol of scores and of the predictions in the report."""

    mode: Literal["auto", "whole", "sliding"] = "auto"
    overlap: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.5  # of sliding windows
    blend: Literal["taper", "mean"] = "taper"  # how overlapping windows are averaged
    flip: bool = False
    scales: list[Positive] = [1.0]
    network: Literal["student", "teacher"] = "student"
    classes: list[str] | None = None  # that the mean is over; None for all that are labelled
    also: dict[str, list[str]] = {}  # further means by name, over these classes
    pictures: Annotated[int, Field(ge=0)] = 8  # kept for the report


class Experiment(Settings):
    """One run: recipe x pair x network x budget."""

    recipe: str
    seed: int = 0
    steps: Count = 40000
    network: NetworkSettings = NetworkSettings()
    data: DataSettings
    method: Annotated[
        SourceOnlySettings | SelfTrainingSettings | OfflineSettings, Field(discriminator="name")
    ]
    terms: TermSettings = TermSettings()
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

    @field_validator("seed")
    @classmethod
    def _seed_fits_the_generators(cls, value: int) -> int:
        if not 0 <= value < 2**31:
            raise ValueError("a seed is at least 0 and below 2**31")
        return value
