"""FDA: the source with the target's low frequencies; models of several bands label the target together, in rounds."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from segue.evaluation.model import TrainedModel
from segue.methods.average import join_models
from segue.methods.context import Context
from segue.methods.method import Method, MethodSettings, Reading, Term
from segue.methods.rounds import label_by_rank, round_seed
from segue.methods.stages import Stages
from segue.methods.style import AmplitudeExchange, Beta
from segue.ops.spectrum import Window
from segue.settings import Count, Share
from segue.types import Batch, MeanOver, View


class SpectralSettings(MethodSettings):
    """FDA with one band of frequencies, or a model for each of several bands, in rounds of self-training."""

    name: Literal["spectral"] = "spectral"
    # beta: half the side of the window of frequencies as a share of a crop's shorter side; a model is trained for each.
    bands: Annotated[list[Beta], Field(min_length=1)] = [0.01, 0.05, 0.09]
    # Which frequencies are exchanged: FDA's numpy function has "centred", its training "corners" (``ops.spectrum``).
    window: Window = "centred"
    label_rounds: Annotated[int, Field(ge=0, le=100)] = 2  # of self-training on labels of the bands' average
    # Of each class's pixels in a round, the share that stays without a label, unless surer than the ceiling.
    left_out: Share = 0.66
    ceiling: Share = 0.9
    every: Count = 4  # thresholds are found from every n-th pixel
    source_mean: MeanOver = "labelled"  # what the source's loss is averaged over
    labels: Path | None = None  # offline labels of the target that are learnt, too; a round makes its own

    @model_validator(mode="after")
    def _bands_differ(self) -> "SpectralSettings":
        if len(set(self.bands)) < len(self.bands):
            raise ValueError(f"bands {self.bands}: each trains a model of its own, so name each once")
        return self

    def reading(self, recipe: str) -> Reading:
        """Read the target, with its labels if there are any."""
        return Reading(labels=self.labels)

    def build(self, context: Context, terms: Mapping[str, Term]) -> "Spectral":
        """What one band trains; of several bands, the first."""
        return Spectral(self, context, terms)

    def carry_out(self, stages: Stages) -> dict[str, Any] | None:
        """Train a model for each band, label the target with their average, and repeat with these labels.

        Source: FDA (Yang and Soatto, CVPR 2020), sections 3.2 and 3.3. As in its code, every round starts as the first
        did, and the result is the average of the last round's models.
        """
        if len(self.bands) == 1 and self.label_rounds == 0:
            return stages.train()
        stages.begin()
        labels = self.labels
        models: dict[str, Path] = {}
        for number in range(self.label_rounds + 1):
            folder = stages.folder / f"round{number}"
            if number > 0:
                before = stages.folder / f"round{number - 1}"
                join_models(stages, models, before)
                stages.say(f"round {number} of {self.label_rounds}: the bands' average labels the target")
                labels = folder / "labels"
                label_by_rank(
                    stages,
                    TrainedModel.load(before, stages.device),
                    stages.target,
                    labels,
                    left_out=self.left_out,
                    ceiling=self.ceiling,
                    every=self.every,
                )
            models = {f"beta{band}": folder / f"beta{band}" for band in self.bands}
            for place, (band, path) in enumerate(zip(self.bands, models.values(), strict=True)):
                stages.say(f"training the band of beta {band}")
                alone = {
                    "bands": [band],
                    "label_rounds": 0,
                    "labels": None if labels is None else str(labels),
                }
                seed = round_seed(stages.seed, number * len(self.bands) + place)
                stages.train_stage(path, start=stages.start, changes={"seed": seed, "method": alone})
        stages.keep(next(reversed(models.values())))
        join_models(stages, models, stages.folder)
        return stages.score()


class Spectral(Method):
    """The student learns the source's labels on pictures that look like the target's, and the target's if it has any.

    Source: FDA (Yang and Soatto, CVPR 2020), equations 3 to 7; its entropy is the term ``entropy`` with ``eta``.
    """

    def __init__(self, settings: SpectralSettings, context: Context, terms: Mapping[str, Term]) -> None:
        is_shown = settings.labels is not None or any("target" in term.view_names for term in terms.values())
        super().__init__(context.student, terms, view_names=("source", "target") if is_shown else ("source",))
        self.settings = settings
        self.exchange = AmplitudeExchange(settings.bands[0], settings.window, *context.colours)

    def views(self, batch: Batch, step: int) -> Iterator[View]:
        """Yield the source with the target's low frequencies, and the target, unless nothing looks at it."""
        target = batch.target
        assert target is not None, "the engine gives a target loader"
        image = self.exchange(batch.source.image, target.image)
        yield View("source", image, batch.source.label, mean_over=self.settings.source_mean)
        if "target" in self.view_names:
            offline = None if self.settings.labels is None else target.offline
            label = None if offline is None else target.within(offline)
            yield View("target", target.image, label, target.weight, mean_over="labelled")
