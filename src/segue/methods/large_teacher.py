"""A trained network as the teacher: found, checked against the student, its layers measured if they are to follow."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from segue.evaluation.model import TrainedModel
from segue.evaluation.saliency import Saliency, by_agreement, by_labels, measure
from segue.files import write_text
from segue.methods.collaborative import (
    COMPARED,
    Captured,
    CollaborativeTeacher,
    Match,
    Update,
    draw_layers,
    exchangeable,
)
from segue.methods.context import Context, Preparation, Trained
from segue.methods.teacher import Frozen, Teacher
from segue.models.segmenter import Segmenter
from segue.models.weights import Card, digest, load_model, model_folder
from segue.ranks import is_first_rank
from segue.settings import Count, NotNegative, Settings, Share, Stage

logger = logging.getLogger(__name__)

LAYERS_FILE = "teacher_layers.json"
"""What the run went by when it chose the layers that follow."""


class CollaborationSettings(Settings):
    """CLDA: the teacher's non-salient blocks follow the student's that attend as they do."""

    saliency: Path | None = None  # what `segue saliency` wrote; None measures it before training
    against: Literal["agreement", "source"] = "agreement"  # what it is measured against then
    pictures: Count = 500  # that it is measured on then
    threshold: NotNegative = 0.1  # points of mean IoU that make a block salient
    least: Share = 0.5  # of the blocks, that are taken as non-salient by agreement
    tolerance: Annotated[float, Field(gt=0.0)] = 5.0  # points of agreement that make any block salient
    signed: bool = False  # a block without which the teacher is better is non-salient, too
    fraction: Share = 0.3  # of the non-salient blocks that follow
    match: Match = "channel"
    captured: Captured = "projected"
    update: Update = "block"
    stages: list[Stage] = [1, 2, 3, 4]
    match_from: Share = 0.1  # T2, of the steps
    match_until: Share = 0.125  # T3; blocks follow after it
    every: Count = 10  # steps from one comparison to the next
    momentum: Share = 0.999  # alpha

    @model_validator(mode="after")
    def _compares_for_a_while(self) -> "CollaborationSettings":
        if self.match_until < self.match_from:
            raise ValueError("match_until comes before match_from")
        return self

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


def load_teacher(
    context: Context,
    model: Path | None,
    wanted: CollaborationSettings | None,
    *,
    compares_embeddings: bool = False,
) -> Teacher:
    """The large teacher of a run, checked before anything is written.

    Args:
        context: The run.
        model: Its run or model folder.
        wanted: How its layers follow the student; None for a teacher that stays as it is.
        compares_embeddings: Whether a term compares its embedding with the student's.

    Raises:
        FileNotFoundError: If there is no such model or saliency file.
        ValueError: If none is named, or it does not fit the student or the classes.
    """
    if model is None:
        raise ValueError(
            f"recipe {context.recipe} distils from a trained teacher: name its run with"
            " --set method.teacher_model=RUN"
        )
    folder = model_folder(model)
    network, card = load_model(folder)
    context.check_model(card, model)
    if compares_embeddings and network.embedding_channels != context.student.embedding_channels:
        raise ValueError(
            f"{model}: its embedding has {network.embedding_channels} channels, the student's"
            f" {context.student.embedding_channels}: an instance bank compares both; choose equal network.channels"
        )
    if wanted is None:
        return Frozen(network)
    _check_layers(network, context.student, wanted, card, model)
    return LearningTeacher(network, context, wanted, card, digest(folder))


class LearningTeacher(CollaborativeTeacher):
    """A large teacher whose useless layers are measured before training, and follow the student afterwards.

    Args:
        network: On the processor.
        context: The run.
        wanted: How its layers follow.
        card: What its folder says about it.
        weights: The digest of its weights.
    """

    def __init__(
        self, network: Segmenter, context: Context, wanted: CollaborationSettings, card: Card, weights: str
    ) -> None:
        super().__init__(
            network,
            context.student,
            match=wanted.match,
            captured=wanted.captured,
            update=wanted.update,
            match_from=round(wanted.match_from * context.steps),
            match_until=round(wanted.match_until * context.steps),
            every=wanted.every,
            momentum=wanted.momentum,
            seed=context.seed,
        )
        self.wanted, self.card = wanted, card
        self._student = (context.student,)  # a tuple hides it from nn.Module: it is the method's
        self._given = None if wanted.saliency is None else read_saliency(wanted.saliency, network)
        self._made = {"teacher": weights, "against": wanted.against, "pictures": wanted.pictures}

    def prepare(self, preparation: Preparation) -> None:
        """Measure what its layers are worth, unless that is known, and choose those that follow."""
        path = preparation.folder / LAYERS_FILE
        saliency = self._given or _kept(path, self._made) or self._measured(preparation)
        if is_first_rank():
            content = {**self._made, "saliency": saliency.to_json()}
            write_text(path, json.dumps(content, indent=2) + "\n")
        self.choose(self._student[0], self.wanted.non_salient(saliency, self.seed))

    def trained(self) -> Trained:
        """The large network, which learnt from its student; pictures of neither domain moved its statistics."""
        return Trained(self.network, called="large teacher", arguments=self.card.network, sees_pictures=False)

    def _measured(self, preparation: Preparation) -> Saliency:
        domain = "source" if self.wanted.against == "source" else "target"
        pictures = preparation.source if domain == "source" else preparation.target
        assert pictures is not None, "a method with a teacher has a target"
        return measure(
            TrainedModel(self.network, self.card, preparation.device),
            pictures,
            against=self.wanted.against,
            reference=by_labels(pictures) if domain == "source" else by_agreement(),
            resize=preparation.resize[domain],
            most=self.wanted.pictures,
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
    network: Segmenter, student: Segmenter, wanted: CollaborationSettings, card: Card, path: Path
) -> None:
    stages = network.encoder.layers
    if not stages:
        raise ValueError(
            f"{path}: a {card.network['encoder']} has no layers that could follow the student; choose a mit encoder,"
            " or plain distillation (recipe kd)"
        )
    exchangeable(network, student, [name for stage in wanted.stages for name in stages[stage - 1]])
    if wanted.match in COMPARED and network.shrinks != student.shrinks:
        raise ValueError(
            f"{path} sees pictures shrunk by {network.shrinks}, the student by {student.shrinks}: their attention"
            " cannot be compared; choose a teacher of the same recipe, or method.collaborate.match=index"
        )


def _kept(path: Path, made: Mapping[str, object]) -> Saliency | None:
    """What an earlier start of the same run measured."""
    if not path.is_file():
        return None
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if any(content.get(name) != value for name, value in made.items()):
        return None
    return Saliency.from_json(content["saliency"])
