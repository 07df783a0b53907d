"""The network that a run trains: built by its settings, with the weights that it starts from."""

from segue.models.build import build_segmenter
from segue.models.segmenter import Segmenter
from segue.models.settings import NetworkSettings
from segue.models.weights import load_encoder, load_start


def build_student(settings: NetworkSettings, *, classes: int, crop: tuple[int, int]) -> Segmenter:
    """The network that a run trains, with its starting weights; random ones follow from torch's current seed.

    Args:
        settings: Of the network.
        classes: How many it tells apart.
        crop: Height and width of training crops.

    Raises:
        FileNotFoundError: If a file of weights is missing.
        ValueError: If weights do not fit the network.
    """
    student = build_segmenter(**settings.arguments(classes=classes, crop=crop))
    student.encoder.checkpointed = tuple(settings.checkpoint_stages)
    if settings.weights is not None:
        load_encoder(student.encoder, settings.weights)
    if settings.start is not None:
        load_start(student, settings.start)
    return student
