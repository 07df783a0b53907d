"""CLDA's teacher: a large trained network, of whose blocks the useless ones learn from the small student."""

import json
import logging
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from segue.evaluation.model import TrainedModel
from segue.evaluation.saliency import Saliency, by_agreement, by_labels, measure
from segue.files import write_text
from segue.methods.context import Context, Preparation, Trained
from segue.methods.method import Term
from segue.methods.teacher import Teacher, TeacherSettings, move_towards
from segue.methods.teachers.blocks import Captured, attention_maps, draw_layers, exchangeable, same_depth
from segue.methods.teachers.large import open_teacher
from segue.models.segmenter import Segmenter
from segue.models.weights import Card, weights_digest
from segue.ops.likeness import Likeness, likeness
from segue.ranks import is_first_rank
from segue.settings import Count, NotNegative, Share, Stage
from segue.types import Batch, Output

logger = logging.getLogger(__name__)

LAYERS_FILE = "teacher_layers.json"
"""What the run went by when it chose the layers that follow."""

COMPARED = ("channel", "token", "both")
"""Ways of matching that look at attention."""


class CollaborativeSettings(TeacherSettings):
    """CLDA: the teacher's non-salient blocks follow the student's that attend as they do."""

    name: Literal["collaborative"] = "collaborative"
    model: Path | None = None  # its run or model folder
    saliency: Path | None = None  # what `segue saliency` wrote; None measures it before training
    against: Literal["agreement", "source"] = "agreement"  # what it is measured against then
    pictures: Count = 500  # that it is measured on then
    threshold: NotNegative = 0.1  # points of mean IoU that make a block salient
    least: Share = 0.5  # of the blocks, that are taken as non-salient by agreement
    tolerance: Annotated[float, Field(gt=0.0)] = 5.0  # points of agreement that make any block salient
    signed: bool = False  # a block without which the teacher is better is non-salient, too
    fraction: Share = 0.3  # of the non-salient blocks that follow
    # How the match of a block is found: by the likeness of attention maps over channels, tokens or both, or else at
    # random, or at the same relative depth ("index"); always within a stage.
    match: Literal["channel", "token", "both", "random", "index"] = "channel"
    captured: Captured = "projected"  # attention is compared after its output projection or before
    update: Literal["block", "attention"] = "block"  # what of a block follows its match
    stages: list[Stage] = [1, 2, 3, 4]
    match_from: Share = 0.1  # T2, of the steps
    match_until: Share = 0.125  # T3; blocks follow after it
    every: Count = 10  # steps from one comparison to the next
    momentum: Share = 0.999  # alpha

    @model_validator(mode="after")
    def _compares_for_a_while(self) -> "CollaborativeSettings":
        if self.match_until < self.match_from:
            raise ValueError("match_until comes before match_from")
        return self

    def build(self, context: Context, terms: Mapping[str, Term]) -> "LearningTeacher":
        """The trained model, whose layers are measured before the first step."""
        network, card, folder = open_teacher(self.model, context, terms)
        _check_layers(network, context.student, self, card, folder)
        return LearningTeacher(self, network, context, card, weights_digest(folder))

    def non_salient(self, saliency: Saliency, seed: int) -> list[str]:
        """The teacher's blocks that follow the student, drawn from those that matter least."""
        layers = draw_layers(
            saliency.non_salient(
                threshold=self.threshold, share=self.least, tolerance=self.tolerance, signed=self.signed
            ),
            share=self.fraction,
            seed=seed,
            stages=[saliency.stages[stage - 1] for stage in self.stages],
        )
        if not layers:
            logger.warning("no layer of the teacher is non-salient: none will follow the student")
        return layers


class CollaborativeTeacher(Teacher):
    """Labels the target, and takes over blocks of its student in the place of its own non-salient ones.

    From ``match_from`` to ``match_until`` it is watched which of the student's blocks attends most as each chosen
    block of the teacher does; after that, each chosen block follows its match. Nothing is learnt by gradient.

    Source: CLDA, section 4, algorithm 1 and equations 5 to 8. The paper leaves the two times and the momentum
    open. Under several resolutions the context's pass is compared.

    Args:
        network: The trained teacher; it is changed.
        student: The network that is trained; its encoder has blocks of the same shapes.
        layers: The chosen blocks of the teacher's encoder; they may be chosen later.
        steps: The length of the run.
        seed: Of random matches.

    Raises:
        ValueError: If blocks of the student's do not fit in the place of the chosen ones.
    """

    scores: Tensor

    def __init__(
        self,
        settings: CollaborativeSettings,
        network: Segmenter,
        student: Segmenter,
        layers: Sequence[str] = (),
        *,
        steps: int,
        seed: int,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.network = network.requires_grad_(False)
        self.match_from = round(settings.match_from * steps)
        self.match_until = round(settings.match_until * steps)
        self.seed = seed
        self.choose(student, layers)
        self.train()

    def choose(self, student: Segmenter, layers: Sequence[str]) -> None:
        """Say which blocks follow the student, before the first step.

        Raises:
            ValueError: If blocks of the student's do not fit in their place.
        """
        self.candidates = exchangeable(self.network, student, layers)
        self.layers = tuple(layers)
        self._matches: list[str] | None = None
        widest = max((len(names) for names in self.candidates.values()), default=0)
        self.register_buffer("scores", torch.zeros(len(self.layers), widest))

    def learner(self) -> nn.Module:
        """The large network."""
        return self.network

    def train(self, mode: bool = True) -> "CollaborativeTeacher":
        """The teacher is always in evaluation mode."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, image: Tensor) -> Output:
        """The teacher's output, without gradient."""
        return self.network(image)

    @torch.no_grad()
    def follow(self, student: nn.Module, batch: Batch, step: int, held: Tensor | None = None) -> None:
        """Compare attention while it is time for that, and move the chosen blocks afterwards."""
        assert isinstance(student, Segmenter) and batch.target is not None
        if self.match_from <= step <= self.match_until:
            self._matches = None
            if (step - self.match_from) % self.settings.every == 0 and self.settings.match in COMPARED:
                self._compare(student, batch.target.image, self.settings.match)
        elif step > self.match_until and self.layers:
            own = self._values(self.network, self.layers)
            others = self._values(student, self.matches())
            move_towards(own, others, 1.0 - self.settings.momentum, held)

    def matches(self) -> list[str]:
        """The student's block that each chosen block follows, as far as attention was compared."""
        if self._matches is None:
            self._matches = [
                self.candidates[name][place] for name, place in zip(self.layers, self._places(), strict=True)
            ]
        return self._matches

    def _places(self) -> list[int]:
        depths = [len(self.candidates[name]) for name in self.layers]
        match self.settings.match:
            case "random":
                draw = random.Random(self.seed)
                return [draw.randrange(depth) for depth in depths]
            case "index":
                return [
                    same_depth(name, self.network.encoder.layers, depth)
                    for name, depth in zip(self.layers, depths, strict=True)
                ]
            case _:
                rows = self.scores.tolist()
                return [
                    max(range(depth), key=row.__getitem__) for row, depth in zip(rows, depths, strict=True)
                ]

    def _compare(self, student: Segmenter, image: Tensor, kind: Likeness) -> None:
        """Equation 6, added to what was found on earlier batches."""
        wanted = {name for names in self.candidates.values() for name in names}
        own = attention_maps(self.network, image, self.layers, self.settings.captured)
        others = attention_maps(student, image, sorted(wanted), self.settings.captured)
        for row, name in enumerate(self.layers):
            candidates = self.candidates[name]
            found = torch.stack([likeness(own[name], others[other], kind) for other in candidates])
            self.scores[row, : len(candidates)] += found

    def _values(self, network: Segmenter, layers: Sequence[str]) -> list[Tensor]:
        encoder = network.encoder
        is_whole = self.settings.update == "block"
        parts = layers if is_whole else [f"{name}.{encoder.attention}" for name in layers]
        return [value for name in parts for value in encoder.get_submodule(name).parameters()]


class LearningTeacher(CollaborativeTeacher):
    """A large teacher whose useless layers are measured before training, and follow the student afterwards.

    Args:
        network: On the processor.
        context: The run.
        card: What its folder says about it.
        weights: The weights_digest of its weights.
    """

    def __init__(
        self, settings: CollaborativeSettings, network: Segmenter, context: Context, card: Card, weights: str
    ) -> None:
        super().__init__(settings, network, context.student, steps=context.steps, seed=context.seed)
        self.card = card
        self._student = (context.student,)  # a tuple hides it from nn.Module: it is the method's
        self._given = settings.saliency and read_saliency(settings.saliency, network)
        self._made = {"teacher": weights, "against": settings.against, "pictures": settings.pictures}

    def prepare(self, preparation: Preparation) -> None:
        """Measure what its layers are worth, unless that is known, and choose those that follow."""
        path = preparation.folder / LAYERS_FILE
        saliency = self._given or _kept(path, self._made) or self._measured(preparation)
        if is_first_rank():
            content = {**self._made, "saliency": saliency.to_json()}
            write_text(path, json.dumps(content, indent=2) + "\n")
        self.choose(self._student[0], self.settings.non_salient(saliency, self.seed))

    def trained(self) -> Trained:
        """The large network, which learnt from its student; pictures of neither domain moved its statistics."""
        return Trained(self.network, called="large teacher", arguments=self.card.network, sees_pictures=False)

    def _measured(self, preparation: Preparation) -> Saliency:
        domain = "source" if self.settings.against == "source" else "target"
        pictures = preparation.source if domain == "source" else preparation.target
        assert pictures is not None, "a method with a teacher has a target"
        return measure(
            TrainedModel(self.network, self.card, preparation.device),
            pictures,
            against=self.settings.against,
            reference=by_labels(pictures) if domain == "source" else by_agreement(),
            resize=preparation.resize[domain],
            most=self.settings.pictures,
            over_ranks=True,
        )


def read_saliency(path: Path, network: Segmenter) -> Saliency:
    """What `segue saliency` or a run wrote of a network.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is something else, or was measured on another encoder.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; `segue saliency RUN` writes it")
    try:
        saliency = Saliency.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}; measure it again with `segue saliency`") from None
    if saliency.stages != [list(stage) for stage in network.encoder.layers]:
        raise ValueError(f"{path}: measured on another encoder than the teacher's; measure it again")
    if saliency.against == "truth":
        logger.warning("%s was measured with target labels: what comes of it is an oracle", path)
    return saliency


def _check_layers(
    network: Segmenter, student: Segmenter, wanted: CollaborativeSettings, card: Card, path: Path
) -> None:
    stages = network.encoder.layers
    if not stages:
        raise ValueError(
            f"{path}: a {card.network['encoder']} has no layers that could follow the student; choose a mit, vit or"
            " dino encoder, or plain distillation (recipe kd)"
        )
    exchangeable(network, student, [name for stage in wanted.stages for name in stages[stage - 1]])
    if wanted.match in COMPARED and network.shrinks != student.shrinks:
        raise ValueError(
            f"{path} sees pictures shrunk by {network.shrinks}, the student by {student.shrinks}: their attention"
            " cannot be compared; choose a teacher of the same recipe, or method.teacher.match=index"
        )


def _kept(path: Path, made: Mapping[str, object]) -> Saliency | None:
    """What an earlier start of the same run measured."""
    if not path.is_file():
        return None
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if any(content.get(name) != value for name, value in made.items()):
        return None
    return Saliency.from_json(content["saliency"])
