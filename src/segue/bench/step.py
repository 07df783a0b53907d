"""The steps that benchmarks take: methods with random weights, and a batch of noise."""

import torch
from torch import Tensor, nn

from segue.classes import class_list
from segue.methods.context import PAPER_STEPS, Context
from segue.methods.masking import MaskSettings
from segue.methods.mixing import AugmentSettings
from segue.methods.self_training import SelfTraining, SelfTrainingSettings
from segue.methods.terms.feature_distance import FeatureDistance, FeatureDistanceSettings
from segue.models.build import build_segmenter
from segue.models.segmenter import Segmenter
from segue.models.settings import NetworkSettings
from segue.types import Batch, Source, Target

CLASSES = 19
THINGS = range(11, CLASSES)


def one_step(method: SelfTraining, data: Batch, number: int) -> None:
    """A training step without the optimiser, so that two methods keep the same parameters."""
    method.begin(number)
    for view in method.views(data, number):
        losses: list[Tensor] = list(method(view).values())
        torch.stack(losses).sum().backward()
    method.zero_grad()
    method.after_step(data, number)


def self_training(recipe: str, encoder: str, *, size: int) -> SelfTraining:
    """DAFormer's, HRDA's or MIC's method, for crops of ``size`` pixels; details are half as high and wide."""
    detail = None if recipe == "daformer" else {"detail": (size // 2, size // 2)}
    student = build_segmenter(encoder, "daformer", num_classes=CLASSES, multi_resolution=detail)
    distance = FeatureDistance(
        FeatureDistanceSettings(), student.feature_network(), classes=THINGS, num_classes=CLASSES
    )
    # Both colour changes happen in every step, so that every step costs the same.
    augment = AugmentSettings(jitter_probability=1.0, blur_probability=1.0)
    settings = SelfTrainingSettings(augment=augment, mask=MaskSettings() if recipe == "mic" else None)
    return settings.build(bare_run(student, encoder), {"distance": distance})


def bare_run(student: Segmenter, encoder: str) -> Context:
    """A run of which nothing is used but its student."""
    classes = class_list([str(number) for number in range(CLASSES)])
    return Context("bench", PAPER_STEPS, 0, classes, (512, 512), NetworkSettings(encoder=encoder), student)


def noise_batch(count: int, size: int, device: torch.device) -> Batch:
    """Pictures of noise with labels in blocks of 64 pixels, so that some feature cells show things."""
    torch.manual_seed(0)
    image = torch.randn(2, count, 3, size, size, device=device)
    blocks = torch.randint(0, CLASSES, (count, 1, size // 64, size // 64), device=device).float()
    label = nn.functional.interpolate(blocks, (size, size), mode="nearest").long()[:, 0]
    names = [""] * count
    return Batch(Source(image[0], label, names), Target(image[1], None, None, names))
