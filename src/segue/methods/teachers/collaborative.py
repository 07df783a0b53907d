"""CLDA's teacher: a large trained network whose least useful blocks learn from the small student."""

import json
import logging
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import model_validator
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
from segue.settings import Count, NotNegative, Positive, Share, Stage
from segue.types import Batch, Output

logger = logging.getLogger(__name__)

LAYERS_FILE = "teacher_layers.json"
"""The file of a run folder that holds the measured saliency of the teacher's layers."""

COMPARED = ("channel", "token", "both")
"""The ways of matching that compare attention."""


class CollaborativeSettings(TeacherSettings):
    """CLDA: the teacher's non-salient blocks follow those of the student whose attention is most alike."""

    name: Literal["collaborative"] = "collaborative"
    model: Path | None = None  # the teacher's run or model folder
    saliency: Path | None = None  # the file that `segue saliency` wrote; None: measure it before training
    against: Literal["agreement", "source"] = "agreement"  # measure it by agreement or on the source's labels
    pictures: Count = 500  # how many pictures to measure it on
    threshold: NotNegative = 0.1  # a block that changes mean IoU by so many points is salient
    least: Share = 0.5  # share of the blocks that are non-salient when measured by agreement
    tolerance: Positive = 5.0  # a block that costs so many points of agreement is salient in any case
    signed: bool = False  # a block without which the teacher is better is non-salient, too
    fraction: Share = 0.3  # share of the non-salient blocks that follow the student
    # How a block's match of the same stage is found: by the likeness of attention maps over channels, tokens or both,
    # at random, or at the same relative depth ("index").
    match: Literal["channel", "token", "both", "random", "index"] = "channel"
    captured: Captured = "projected"  # compare attention after its output projection or before it
    update: Literal["block", "attention"] = "block"  # what follows the match: the block or its attention
    stages: list[Stage] = [1, 2, 3, 4]  # stages whose blocks may follow
    match_from: Share = 0.1  # T2: when attention is first compared, as a share of the steps
    match_until: Share = 0.125  # T3: when it is last compared; blocks follow from then on
    every: Count = 10  # steps between comparisons
    momentum: Share = 0.999  # alpha: share of a block that an update leaves

    @model_validator(mode="after")
    def _compares_for_a_while(self) -> "CollaborativeSettings":
        if self.match_until < self.match_from:
            raise ValueError("match_until comes before match_from")
        return self

    def build(self, context: Context, terms: Mapping[str, Term]) -> "LearningTeacher":
        """Build the teacher from its trained model; its layers are measured before the first step."""
        network, card, folder = open_teacher(self.model, context, terms)
        _check_layers(network, context.student, self, card, folder)
        return LearningTeacher(self, network, context, card, weights_digest(folder))

    def non_salient(self, saliency: Saliency, seed: int) -> list[str]:
        """The teacher's blocks that are to follow the student, drawn from those that matter least."""
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
    """Labels the target, while its own non-salient blocks follow blocks of the student.

    From ``match_from`` to ``match_until`` the attention of each chosen block is compared with that of the student's
    blocks; after that, each chosen block follows the most similar one. Nothing is learnt by gradient.

    Source: CLDA, section 4, algorithm 1 and equations 5 to 8. The paper leaves the two times and the momentum
    open. With several resolutions, attention is compared in the context's pass.

    The trained ``network`` is changed in place; its blocks, ``layers``, may be chosen later by :meth:`choose`.

    Raises:
        ValueError: If the student's blocks have other shapes than the chosen ones.
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
        """Say, before the first step, which blocks follow; ``ValueError`` if the student's have other shapes."""
        self.candidates = exchangeable(self.network, student, layers)
        self.layers = tuple(layers)
        self._matches: list[str] | None = None
        widest = max((len(names) for names in self.candidates.values()), default=0)
        self.register_buffer("scores", torch.zeros(len(self.layers), widest))

    def learner(self) -> nn.Module:
        """The large network."""
        return self.network

    def train(self, mode: bool = True) -> "CollaborativeTeacher":
        """Stay in evaluation mode."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, image: Tensor) -> Output:
        """The teacher's output, without gradient."""
        return self.network(image)

    @torch.no_grad()
    def follow(self, student: nn.Module, batch: Batch, step: int, held: Tensor | None = None) -> None:
        """Compare attention while it is time for that; afterwards move the chosen blocks towards their matches."""
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
        """The student's block that each chosen block follows, by the attention compared so far."""
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
            case _:  # rows are as wide as the most candidates that any block has
                rows = self.scores.cpu().tolist()
                return [row.index(max(row[:depth])) for row, depth in zip(rows, depths, strict=True)]

    def _compare(self, student: Segmenter, image: Tensor, kind: Likeness) -> None:
        """Add this batch's likeness (equation 6) to that of earlier ones."""
        wanted = {name for names in self.candidates.values() for name in names}
        own = attention_maps(self.network, image, self.layers, self.settings.captured)
        others = attention_maps(student, image, sorted(wanted), self.settings.captured)
        for row, name in enumerate(self.layers):
            candidates = self.candidates[name]
            alike = torch.stack([likeness(own[name], others[other], kind) for other in candidates])
            self.scores[row, : len(candidates)] += alike

    def _values(self, network: Segmenter, layers: Sequence[str]) -> list[Tensor]:
        encoder = network.encoder
        is_whole = self.settings.update == "block"
        parts = layers if is_whole else [f"{name}.{encoder.attention}" for name in layers]
        return [value for name in parts for value in encoder.get_submodule(name).parameters()]


class LearningTeacher(CollaborativeTeacher):
    """A collaborative teacher that measures before training which of its layers are to follow the student.

    A measurement is kept in the run folder, with the digest of the ``weights`` that it belongs to.
    """

    def __init__(
        self, settings: CollaborativeSettings, network: Segmenter, context: Context, card: Card, weights: str
    ) -> None:
        super().__init__(settings, network, context.student, steps=context.steps, seed=context.seed)
        self.card = card
        self._student = (context.student,)  # in a tuple, nn.Module does not register it: it is the method's
        self._given = settings.saliency and read_saliency(settings.saliency, network)
        self._made = {"teacher": weights, "against": settings.against, "pictures": settings.pictures}

    def prepare(self, preparation: Preparation) -> None:
        """Measure what its layers are worth, unless that is known, and choose those that follow the student."""
        path = preparation.folder / LAYERS_FILE
        saliency = self._given or _kept(path, self._made) or self._measured(preparation)
        if is_first_rank():
            content = {**self._made, "saliency": saliency.to_json()}
            write_text(path, json.dumps(content, indent=2) + "\n")
        self.choose(self._student[0], self.settings.non_salient(saliency, self.seed))

    def trained(self) -> Trained:
        """The large network, which learnt from its student; the run's pictures did not move its batch statistics."""
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
    """The saliency of a network's layers, as `segue saliency` or a run wrote it.

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
        logger.warning("%s was measured with target labels: a run that uses it is an oracle", path)
    return saliency


def _check_layers(
    network: Segmenter, student: Segmenter, settings: CollaborativeSettings, card: Card, path: Path
) -> None:
    stages = network.encoder.layers
    if not stages:
        raise ValueError(
            f"{path}: a {card.network['encoder']} has no layers that could follow the student; choose a mit, vit or"
            " dino encoder, or plain distillation (recipe kd)"
        )
    exchangeable(network, student, [name for stage in settings.stages for name in stages[stage - 1]])
    if settings.match in COMPARED and network.shrinks != student.shrinks:
        raise ValueError(
            f"{path} sees pictures shrunk by {network.shrinks}, the student by {student.shrinks}: their attention"
            " cannot be compared; choose a teacher of the same recipe, or method.teacher.match=index"
        )


def _kept(path: Path, made: Mapping[str, object]) -> Saliency | None:
    """What an earlier start of the same run measured; None if there is none, or of another teacher or settings."""
    if not path.is_file():
        return None
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if any(content.get(name) != value for name, value in made.items()):
        return None
    return Saliency.from_json(content["saliency"])
