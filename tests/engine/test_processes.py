"""Two processes train as one: equal to each other in parameters and buffers, and to one process on both halves.

Stages wait for one another: labels, fused pictures and models are whole before anybody reads them.
"""

import json
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from rich.console import Console
from tests.methods.building import context, self_training
from tests.processes import POSIX, forget_processes, on_two
from tests.tiny import ready, tiny
from torch import nn

from segue.engine.experiment import revise
from segue.engine.loop import Trainer
from segue.engine.run import DISTRIBUTED
from segue.engine.settings import Experiment
from segue.engine.stages import train
from segue.methods.aligned import AlignedSettings
from segue.methods.method import Method
from segue.methods.prototypes import PrototypeSettings
from segue.methods.several_views import SeveralViewsSettings
from segue.methods.spectral import SpectralSettings
from segue.methods.terms.adversarial import Adversarial, AdversarialSettings
from segue.methods.terms.class_adversarial import ClassAdversarial, ClassAdversarialSettings
from segue.methods.terms.entropy import Entropy, EntropySettings
from segue.methods.terms.feature_distance import FeatureDistance, FeatureDistanceSettings
from segue.methods.terms.patch_alignment import KINDS_FILE
from segue.methods.terms.point_perturbation import PointPerturbation, PointPerturbationSettings
from segue.models.build import build_segmenter
from segue.models.segmenter import Segmenter
from segue.types import Batch, Source, Target

pytestmark = [pytest.mark.slow, POSIX]
STEPS = 3


def without_batch_statistics(network: nn.Module) -> nn.Module:
    """Batch norm sees one process's pictures; group norm makes the comparison with one process exact."""
    for module in network.modules():
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, nn.GroupNorm(1, child.num_features))
    return network


def batch(step: int, slots: slice) -> Batch:
    generator = torch.Generator().manual_seed(step)
    image = torch.randn(4, 3, 64, 64, generator=generator)
    other = torch.randn(4, 3, 64, 64, generator=generator)
    label = torch.randint(0, 12, (4, 64, 64), generator=generator)
    soft = torch.randn(4, 12, 64, 64, generator=generator).softmax(1)
    depth = torch.rand(2, 4, 64, 64, generator=generator) + 1.5
    names = [""] * 4
    return Batch(
        Source(image[slots], label[slots], names[slots], depth[0, slots]),
        Target(other[slots], None, None, names[slots], soft[slots], depth[1, slots]),
    )


def daformer(student: Segmenter) -> Method:
    """Without random mixing."""
    settings = FeatureDistanceSettings(share=0.1, min_share=0.0)
    reference = FeatureDistance(settings, student.encoder, classes=None, num_classes=12)
    return self_training(student, {"distance": reference}, threshold=0.1)


def aligned(student: Segmenter) -> Method:
    """MinEnt with its prior, and AdvEnt, at once."""
    adversary = AdversarialSettings(share=0.1, map="self_information")
    terms = {
        "entropy": Entropy(EntropySettings(share=0.1, prior=0.5), num_classes=12, auxiliary=False),
        "adversarial": Adversarial(adversary, num_classes=12, auxiliary=False),
    }
    return AlignedSettings().build(context(student, classes=12), terms)


def joined(student: Segmenter) -> Method:
    """Self-training with terms that have discriminators of maps, of features and of points."""
    settings = FeatureDistanceSettings(share=0.1, min_share=0.0)
    # Probabilities of an untrained student are so alike that rounding would decide where its discriminator steps.
    adversary = AdversarialSettings(share=0.001, map="self_information")
    width, channels = student.embedding_channels, student.encoder.out_channels[-1]
    points = PointPerturbationSettings(share=0.1, after=0.0)
    terms = {
        "distance": FeatureDistance(settings, student.encoder, classes=None, num_classes=12),
        "maps": Adversarial(adversary, num_classes=12, auxiliary=False),
        "features": ClassAdversarial(ClassAdversarialSettings(), in_channels=width, num_classes=12),
        "points": PointPerturbation(points, in_channels=channels, steps=STEPS),
    }
    return self_training(student, terms, threshold=0.1)


def spectral(student: Segmenter) -> Method:
    """FDA with its entropy."""
    entropy = Entropy(EntropySettings(share=0.1, eta=2.0), num_classes=12, auxiliary=False)
    settings = SpectralSettings(bands=[0.1], label_rounds=0)
    return settings.build(context(student, classes=12), {"entropy": entropy})


def several_views(student: Segmenter) -> Method:
    """SAC without anything random in its views."""
    settings = SeveralViewsSettings(baseline=False, zoom=(1.0, 1.0), flip=0.0, augment=None, views=2)
    return settings.build(context(student, classes=12), {})


def prototypes(student: Segmenter) -> Method:
    """ProDA without a changed view, whose changes are random."""
    settings = PrototypeSettings(consistency=0.0, least=1)
    return settings.build(context(student, classes=12), {})


def guided(student: Segmenter) -> Method:
    """CorDA without random mixing; all depths are known, so that either half has as many."""
    return self_training(student, threshold=0.1, depth={"source_share": 0.1, "target_share": 0.1})


METHODS = {
    "daformer": daformer,
    "aligned": aligned,
    "joined": joined,
    "spectral": spectral,
    "several_views": several_views,
    "prototypes": prototypes,
    "guided": guided,
}


def learn(folder: Path, *, norm: bool, which: str = "daformer") -> dict[str, torch.Tensor]:
    """Three steps of a method on this process's slots."""
    accelerator = Accelerator(cpu=True, kwargs_handlers=[DISTRIBUTED])
    torch.manual_seed(0)
    head = "segformer_tasks" if which == "guided" else "segformer"
    student = build_segmenter("mit_nano", head, num_classes=12, channels=16, dropout=0.0, drop_path=0.0)
    if not norm:
        without_batch_statistics(student)
    method = METHODS[which](student)
    trainer = Trainer(tiny("daformer"), folder, method=method, accelerator=accelerator)
    each = 4 // accelerator.num_processes
    slots = slice(accelerator.process_index * each, (accelerator.process_index + 1) * each)
    for step in range(STEPS):
        trainer.update(iter([batch(step, slots)]), step)
    return {name: value.clone() for name, value in method.state_dict().items()}


def keep_what_is_learnt(rank: int, folder: Path) -> None:
    for which in METHODS:
        for norm in (True, False):
            torch.save(learn(folder, norm=norm, which=which), folder / f"{which}-{norm}-{rank}.pt")


def train_stages(rank: int, experiments: dict[str, Experiment], folder: Path) -> None:
    for recipe, wanted in experiments.items():
        assert train(wanted, folder / recipe, console=Console(quiet=True), cpu=True) is None


def test_ranks_stay_equal_and_equal_one_on_both_halves(tmp_path: Path) -> None:
    """Ranks are equal with their buffers; one process is compared where no layer has statistics of the batch.

    One pair of processes learns with every method: starting a pair takes longer than learning.
    """
    on_two(keep_what_is_learnt, tmp_path)

    def kept(which: str, norm: bool, rank: int) -> dict[str, torch.Tensor]:
        return torch.load(tmp_path / f"{which}-{norm}-{rank}.pt", weights_only=True)

    forget_processes()
    for which in METHODS:
        first, second = (kept(which, True, rank) for rank in range(2))
        for name, value in first.items():
            assert torch.equal(value, second[name]), (which, name)
        first, alone = kept(which, False, 0), learn(tmp_path, norm=False, which=which)
        for name, value in alone.items():
            # AdamW's first updates are the sign of the gradient: rounding decides where the true gradient is zero.
            assert torch.allclose(value, first[name], rtol=1e-4, atol=STEPS * 2e-3), (which, name)
        close = [torch.isclose(v, first[n], rtol=1e-4, atol=1e-6).float().mean() for n, v in alone.items()]
        assert float(torch.stack(close).mean()) > 0.97, which


LABELLED = {
    "cbst": "round2/labels",
    "ensemble": "fused",
    "intrada": "split/labels",
    "rmrnet": "labels",
    "undoing": "labels",
    "pit": "round2/labels",
    "fda": "round2/labels",
    "proda": "distilled2/labels",
}
"""Where a recipe in stages leaves the labels that its last stage learns."""

UNLABELLED = ("patchalign", "sac")
"""No stages, but kinds of patches that the first process finds for all; and stages without labels made beforehand."""


def test_stages_on_two_processes(tmp_path: Path) -> None:
    """Without pictures to score on, nothing but the stages themselves makes a process wait."""
    unscored = {"data": {"evaluation": None, "source_evaluation": None}}
    experiments = {
        recipe: revise(ready(tiny(recipe), tmp_path / "members" / recipe), unscored)
        for recipe in (*LABELLED, *UNLABELLED)
    }
    on_two(train_stages, experiments, tmp_path)
    for recipe in experiments:
        assert (tmp_path / recipe / "model/model.safetensors").is_file(), recipe
    assert (tmp_path / "patchalign" / KINDS_FILE).is_file()
    for recipe, place in LABELLED.items():
        labels = tmp_path / recipe / place
        labelled = 4 if recipe == "intrada" else 6  # the easy ones
        assert len(list((labels / "index").glob("*.png"))) == labelled, recipe
        if recipe != "ensemble":
            assert json.loads((labels / "statistics.json").read_text())["pictures"] == labelled, recipe
    fused = tmp_path / "ensemble/fused"
    account = json.loads((fused / "fusion.json").read_text())
    assert account["pictures"] == 6 and sum(account["classes"]) + account["ignored"] == account["pixels"]
    assert {path.name for path in fused.glob("*.jsonl")} >= {"pictures-0.jsonl", "pictures-1.jsonl"}
