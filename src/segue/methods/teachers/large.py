"""A trained network as a teacher that never changes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from segue.methods.context import Context
from segue.methods.method import Term
from segue.methods.teacher import Frozen, TeacherSettings
from segue.models.segmenter import Segmenter
from segue.models.weights import Card, load_model, model_folder


class LargeSettings(TeacherSettings):
    """A trained model, usually a larger one than the student."""

    name: Literal["large"] = "large"
    model: Path | None = None  # the teacher's run or model folder

    def build(self, context: Context, terms: Mapping[str, Term]) -> Frozen:
        """Build the teacher from its trained model."""
        return Frozen(open_teacher(self.model, context, terms)[0])


def open_teacher(
    model: Path | None, context: Context, terms: Mapping[str, Term]
) -> tuple[Segmenter, Card, Path]:
    """Load a trained model from its run or model folder, and see that it fits the student, the classes and the terms.

    Returns:
        The network on the processor, its card, and the model folder.

    Raises:
        FileNotFoundError: If there is no such model.
        ValueError: If none is named, or it does not fit.
    """
    if model is None:
        raise ValueError(
            f"recipe {context.recipe} distils from a trained teacher: name its run with"
            " --set method.teacher.model=RUN"
        )
    folder = model_folder(model)
    network, card = load_model(folder)
    context.check_model(card, model)
    compares = any(term.compares_embeddings for term in terms.values())
    if compares and network.embedding_channels != context.student.embedding_channels:
        raise ValueError(
            f"{model}: its embedding has {network.embedding_channels} channels, the student's"
            f" {context.student.embedding_channels}: an instance bank compares both; choose equal network.channels"
        )
    return network, card, folder
