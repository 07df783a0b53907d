"""The settings of methods and of their additional losses."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from segue.engine.setting import Count, MarginSettings, Positive, Settings, Share

Percentile = Annotated[float, Field(ge=0.0, lt=100.0)]
"""Of the loss, below which pixels are left out; 0 keeps all."""


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
    moves_statistics: bool = False  # whether running batch statistics follow it, as in the official code


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
    tolerance: Annotated[float, Field(gt=0.0)] = 5.0  # points of agreement that make any block salient
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
    copies_first: bool = False  # after the first update the average is the student itself (DACS)
    source_mean: Literal["pixels", "labelled"] = "pixels"  # what the source's loss is averaged over
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
    """CBST and CRST: label, fine-tune, label again."""

    count: Count = 3
    portion: Share = 0.2  # p_0: of each class's pixels that are labelled in the first round
    step: Share = 0.05  # more in each further round
    most: Share = 0.5
    every: Count = 4  # pixels from one that thresholds are found by to the next
    flip: bool = True  # labels come from the mean over the mirror image
    scales: Annotated[list[Positive], Field(min_length=1)] = [0.9]  # and over these sizes
    alpha: Positive | None = None  # of LRENT's soft labels; None for hard ones
    prior: Share | None = None  # CBST-SP: side of the smoothing, of the height; None expects classes anywhere
    source_portion: Share = 0.03  # of the source's pictures that are learnt with the target's
    source_step: Share = 0.0025  # more in each further round
    source_most: Share = 0.06
    epochs: Count | None = 2  # how often a round learns each picture; None: it takes the run's steps
    rate: Positive = 0.2  # of optim.lr, by which the source was learnt; held, as there is no warm-up or decay
    rare: Share = 1e-3  # of all pixels: classes predicted on fewer are mined
    mine: Share = 0.8  # how often a target picture is cut around one of them


class MiningSettings(Settings):
    """Pieces of target pictures are cut around pixels with an offline label of these classes."""

    classes: Annotated[list[str], Field(min_length=1)]
    chance: Share = 0.8


class MemberStudentSettings(Settings):
    """A member's own student, of whom nothing is wanted but how certain it is of each class."""

    share: Positive = 0.5  # of the run's steps; above 1 for more
    start: Literal["start", "weights"] | Path = (
        "start"  # network.start, network.weights alone, or another network
    )
    pictures: Literal["all", "halves"] = "all"  # halves: learns one half, says how certain it is of the other
    # Both make a student learn the rare and the hard, and so less sure of all it names: off.
    weights: ClassWeightSettings | None = None
    percentile: Percentile = 0.0


class EnsembleSettings(Settings):
    """Ensemble distillation: members, a policy, fused labels, one student."""

    # Run or model folders, .onnx files, folders of labels, by name; each gets a folder of that name.
    members: dict[Annotated[str, Field(pattern=r"^[^./\\][^/\\]*$")], Path] = Field(default={})
    maps: dict[str, dict[str, str]] = {}  # class of a member -> class of the pair, or ignore; by member
    kind: Literal["channel", "pixel", "average"] = "channel"
    policy: Literal["certainty", "random"] | Path = "certainty"  # or a YAML file of class: member
    conflict: Literal["neighbourhood", "certainty", "order", "ignore"] = "neighbourhood"
    unclaimed: Literal["neighbourhood", "majority", "ignore"] = "neighbourhood"
    window: Count = 5  # kappa
    order: list[str] | Literal["rare"] | None = (
        None  # classes by precedence, the first one wins; or rare ones first
    )
    threshold: Share = 0.0  # certainty below which a label is dropped
    students: MemberStudentSettings = MemberStudentSettings()  # one of each member; their certainty decides


class OfflineSettings(Settings):
    """Training on labels of the target that were made beforehand, or by its own earlier stages."""

    name: Literal["offline"] = "offline"
    labels: Path | None = None  # folder of label PNGs by picture name, with classes.json
    soft: bool = False  # learn the probabilities that are stored beside the labels
    source_share: Share | None = None  # of the source's pictures, in common batches; None: the target alone
    mining: MiningSettings | None = None
    frozen_statistics: bool = False  # batch norms keep the statistics of the network that is started from
    weights: ClassWeightSettings | None = None
    percentile: Percentile = 0.0
    rounds: RoundSettings | None = None
    ensemble: EnsembleSettings | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> "OfflineSettings":
        if sum(origin is not None for origin in (self.labels, self.rounds, self.ensemble)) > 1:
            raise ValueError(
                "labels, rounds and ensemble exclude each other: each says where labels come from"
            )
        if self.rounds is not None and (self.soft or self.mining or self.source_share is not None):
            raise ValueError(
                "rounds decide on soft, mining and source_share themselves: set method.rounds instead"
            )
        return self


class EnsembleDistillationSettings(Settings):
    """EnD and EnD²: a student of what several models say of the target, softly."""

    name: Literal["ensemble_distillation"] = "ensemble_distillation"
    members: dict[str, Path] = Field(default={})  # run or model folders of the pair's classes, by name
    kind: Literal["mean", "distribution"] = "mean"
    temperature: Positive = 2.5  # of EnD² at the start


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
    temperature: Annotated[float, Field(ge=0.0)] = 0.1  # tau; 0: the teacher's nearest instance alone
    share: Annotated[float, Field(ge=0.0)] = 1.0  # lambda
    beta: Share = 1.0  # how far the pseudo-label stays the class prediction; 1: instances do not correct it
    similarity: Literal["cosine", "dot", "linear"] = "cosine"
    scatter: Literal["teacher", "student_logits", "off"] = "teacher"
    update: Literal["ema", "ema_boundary", "ema_boundary_center", "fifo", "frozen"] = "ema"
    interval: Count = 50  # steps of 40 000 from one update to the next; keeps its share of another run
    momentum: Share = 0.999  # mu of 769 updates; what they leave of a row is left by however many a run has
    region: Literal["target", "trusted", "all", "confident"] = "target"
    # Share of the steps before the bank is filled; None: 1500 / 40 000 from pretrained weights, or else a half.
    warmup: Share | None = None


class ConfidenceSettings(Settings):
    """CRST: pseudo-labels are not learnt to certainty."""

    share: Annotated[float, Field(ge=0.0)] = 0.1  # lambda
    kind: Literal["divergence", "entropy", "squares"] = "divergence"  # MRKLD, MRENT, MRL2


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
