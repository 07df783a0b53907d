"""ProDA: soft labels made beforehand are corrected by how near a pixel is to the target's own prototypes."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, Literal, cast

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from segue.data.dataset import Dataset
from segue.evaluation.pictures import evenly
from segue.evaluation.predictors import fitted_image, in_evaluation_mode
from segue.files import write_bytes
from segue.methods.context import Context, Preparation
from segue.methods.method import MethodSettings, Reading, Term
from segue.methods.mixing import AugmentSettings
from segue.methods.prototype_stages import PrototypeStages
from segue.methods.stages import Stages
from segue.methods.strong_view import StrongViewSettings
from segue.methods.symmetric import SymmetricSettings
from segue.methods.taught import Taught
from segue.methods.teachers.average import AverageSettings
from segue.ops import prototypes as ops
from segue.ops.losses import LEAST
from segue.ops.resize import resize
from segue.ranks import gathered, is_first_rank, mean_over_ranks, wait_for_all
from segue.settings import Count, NotNegative, Positive, Share
from segue.types import Batch, MeanOver, Output, View

PROTOTYPES_FILE = "prototypes.safetensors"


class PrototypeSettings(PrototypeStages, MethodSettings):
    """ProDA: labels that prototypes correct, and the stages before and after."""

    name: Literal["prototypes"] = "prototypes"
    labels_target: ClassVar[bool] = True
    teacher: AverageSettings = AverageSettings(momentum=0.999, statistics="average")
    temperature: Positive = 1.0  # tau, by which distances are multiplied
    renewal: Share = 1e-4  # 1 - lambda: share of new features in a prototype
    least: Count = 10  # cells of a class that a picture must have to move its prototype
    pictures: Count | None = None  # target pictures that prototypes begin with; None: all
    threshold: Share = 0.0  # labels of which less of the product is certain are ignored
    symmetric: SymmetricSettings = SymmetricSettings()
    consistency: NotNegative = (
        10.0  # share of the loss that compares a strongly changed view's nearness; 0: no view
    )
    strong: StrongViewSettings = StrongViewSettings()
    frozen_statistics: bool = True  # batch norms keep the statistics that training starts with
    source_mean: MeanOver = "labelled"  # what the source's loss is averaged over

    @property
    def colours(self) -> AugmentSettings | None:
        """Those of the strongly changed view."""
        return self.strong.augment

    def reading(self, recipe: str) -> Reading:
        """Read the target with its soft labels."""
        if self.labels is None:
            raise ValueError(
                f"recipe {recipe} corrects soft labels made beforehand: name their folder with --set method.labels=DIR"
            )
        return Reading(labels=self.labels, soft=True)

    def build(self, context: Context, terms: Mapping[str, Term]) -> "PrototypeTraining":
        """What the stage that corrects labels trains."""
        return PrototypeTraining(self, context, terms)

    def carry_out(self, stages: Stages) -> dict[str, Any] | None:
        """Carry out all stages, or correct given labels."""
        return stages.train() if self.is_single else self.in_stages(stages)


class PrototypeTraining(Taught):
    """The student learns the target's labels as prototypes correct them, and to be as near to these when it is changed.

    Source: ProDA (Zhang et al., CVPR 2021), sections 3.2 and 3.3, and its code.
    """

    def __init__(self, settings: PrototypeSettings, context: Context, terms: Mapping[str, Term]) -> None:
        own = Prototypes(settings, len(context.classes), context.student.embedding_channels)
        names = ("source", "altered", "target") if settings.consistency else ("source", "target")
        super().__init__(context.student, {**terms, "prototypes": own}, view_names=names)
        self.settings = settings
        self.teacher = settings.teacher.build(context, terms)
        self.strong = settings.strong.build(context)
        self.colours = context.colours

    def views(self, batch: Batch, step: int) -> Iterator[View]:
        """Yield the source, the target strongly changed, and the target with corrected labels."""
        target = batch.target
        assert target is not None and target.soft is not None, "the engine gives soft labels"

        # 1. The student learns the source.
        yield View("source", batch.source.image, batch.source.label, mean_over=self.settings.source_mean)

        # 2. The teacher says how near the target's pixels are to every prototype; changed, they are to be as near.
        taught: Output = self.teacher(target.image)
        near = self._near(taught, (target.image.shape[-2], target.image.shape[-1]))
        if self.settings.consistency:
            seen = self.strong(target.image)
            yield View("altered", seen.image, weight=seen.sees(target.valid).float(), soft=seen.maps(near))

        # 3. Soft labels are corrected by it. This view is the last one, as all of the network learns from it.
        label = target.within(ops.denoised_label(target.soft, near, threshold=self.settings.threshold))
        loss = self.settings.symmetric.loss
        yield View("target", target.image, label, teacher=taught, loss=loss, mean_over="labelled")

        # 4. Prototypes follow the teacher's features.
        self.prototypes.follow(taught)

    def prepare(self, preparation: Preparation) -> None:
        """Find the first prototypes in a pass over the target, once for a run folder."""
        super().prepare(preparation)
        path = preparation.folder / PROTOTYPES_FILE
        if is_first_rank() and not path.is_file():
            assert preparation.target is not None, "the engine gives the target's pictures"
            self._measure(preparation.target, preparation.resize["target"], preparation.device)
            own = self.prototypes
            write_bytes(path, save({"prototypes": own.prototypes.cpu(), "counts": own.counts.cpu()}))
        wait_for_all()
        content = load_file(path)
        self.prototypes.prototypes.copy_(content["prototypes"])
        self.prototypes.counts.copy_(content["counts"])

    def resting(self) -> Iterable[nn.Module]:
        """Batch norms with frozen statistics."""
        return self._norms if self.settings.frozen_statistics else ()

    @property
    def prototypes(self) -> "Prototypes":
        """The term that holds them."""
        return cast(Prototypes, self.terms["prototypes"])

    def _near(self, taught: Output, size: tuple[int, int]) -> Tensor:
        return resize(self.prototypes.nearness(taught.embedding), size)

    @torch.no_grad()
    def _measure(self, target: Dataset, box: tuple[int, int] | None, device: torch.device) -> None:
        """The exact mean, over pictures, of each class's mean features, as the student begins."""
        student = self.student.to(device)
        self.prototypes.to(device)
        mean, std = (torch.tensor(values, device=device).view(3, 1, 1) for values in self.colours)
        with in_evaluation_mode(student):
            for place in evenly(len(target), self.settings.pictures or len(target)):
                image = fitted_image(target.image(place)[None].to(device).float(), box)
                self.prototypes.follow(student((image - mean) / std), exact=len(target), alone=True)


class Prototypes(Term):
    """The prototypes, and the loss of a changed view whose nearness to them is another one.

    Attributes:
        prototypes: One vector (D) for each class.
        counts: The pictures that each was found in.
    """

    view_names = ("altered",)
    prototypes: Tensor
    counts: Tensor

    def __init__(self, settings: PrototypeSettings, classes: int, channels: int) -> None:
        super().__init__()
        self.settings = settings
        if not settings.consistency:
            self.view_names = ()
        self.register_buffer("prototypes", torch.zeros(classes, channels))
        self.register_buffer("counts", torch.zeros(classes))

    def forward(self, network: nn.Module, view: View, output: Output) -> dict[str, Tensor]:
        """The divergence of the view's nearness from the picture's, over visible pixels and over classes."""
        assert view.soft is not None and view.weight is not None
        apart = ops.distances(output.embedding, self.prototypes, self.counts > 0)
        size = (view.soft.shape[-2], view.soft.shape[-1])
        own = resize(-self.settings.temperature * apart, size).log_softmax(1)
        loss = (torch.xlogy(view.soft, view.soft) - view.soft * own).mean(1)
        seen = mean_over_ranks(view.weight.sum()).clamp(min=LEAST)
        return {"consistency": self.settings.consistency * (loss * view.weight).sum() / seen}

    def nearness(self, embedding: Tensor) -> Tensor:
        """How near every cell is to each prototype, without gradient."""
        with torch.no_grad():
            apart = ops.distances(embedding, self.prototypes, self.counts > 0)
            return ops.nearness(apart, self.settings.temperature)

    def follow(self, seen: Output, *, exact: int = 100, alone: bool = False) -> None:
        """Move towards the features of what is predicted, on all processes the same.

        ``alone`` says that this process works by itself.
        """
        features = seen.embedding
        label = resize(seen.logits.float(), (features.shape[-2], features.shape[-1])).argmax(1)
        means, found = ops.class_means(features, label, classes=len(self.counts), least=self.settings.least)
        if not alone:
            means, found = gathered(means), gathered(found.float()) > 0.5
        ops.follow(self.prototypes, self.counts, means, found, momentum=self.settings.renewal, exact=exact)
