"""Looks at a run without target labels: the pictures that it is judged by, and what is measured at each save point."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from torch import Tensor, nn

from segue.data.dataset import Dataset
from segue.data.part import Chosen
from segue.engine.domains import open_domain
from segue.engine.model_card import model_card, prediction_protocol
from segue.engine.settings import DomainSettings, Experiment
from segue.evaluation import evidence
from segue.evaluation.evidence import PROGRESS, Record, Row
from segue.evaluation.model import TrainedModel
from segue.evaluation.pictures import evenly
from segue.evaluation.prediction_files import png
from segue.evaluation.target_pictures import TargetPictures
from segue.evaluation.unlabelled import (
    MEASURES,
    Seen,
    certainty_of_classes,
    class_shares,
    look,
    look_at_source,
    source_shares,
)
from segue.files import write_bytes
from segue.methods.method import Method
from segue.models.weights import save_model
from segue.ops.draw import tiled

BEST = "best"
"""The folder, inside a run's, of the network that ``evidence.best`` chose."""

SPARED = 20
"""Pictures are set aside, and not trained on, only where the target has at least so many times as many."""

PREVIEWED, PREVIEW_WIDTH = 3, 320
"""So many target pictures are drawn now and then, side by side, each this many pixels wide."""


def places_judged_by(pictures: int, total: int) -> tuple[list[int], bool]:
    """The places of the target pictures that a run is judged by, and whether it does not train on them."""
    return evenly(total, pictures), total >= SPARED * pictures


def trained_on(experiment: Experiment, target: Dataset) -> Dataset:
    """The target's pictures without those that are set aside."""
    places, set_aside = places_judged_by(experiment.evidence.pictures, len(target))
    if not set_aside or not places:
        return target
    left_out = set(places)
    return Chosen(target, [place for place in range(len(target)) if place not in left_out])


def is_previewed(step: int) -> bool:
    """Whether predictions are drawn after so many steps: 3, 10, 30, 100, 300 and so on."""
    return step >= 3 and str(step).rstrip("0") in ("1", "3")


@dataclass(frozen=True)
class Sets:
    """The pictures that a run is judged by; of the target, labels are not even opened."""

    target: Dataset
    chosen: list[int]
    set_aside: bool
    source: Dataset
    source_chosen: list[int]
    source_trained_on: bool
    source_domain: DomainSettings

    @classmethod
    def of(cls, experiment: Experiment) -> "Sets":
        """Those of an experiment; it raises what opening the domains raises."""
        data, most = experiment.data, experiment.evidence.pictures
        target = open_domain(data, data.target, labelled=False)
        chosen, set_aside = places_judged_by(most, len(target))
        domain = data.source_evaluation or data.source
        source = open_domain(data, domain, labelled=True)
        places = evenly(len(source), most)
        return cls(target, chosen, set_aside, source, places, data.source_evaluation is None, domain)

    def empty_record(self, experiment: Experiment) -> Record:
        """A record of these pictures without any row."""
        start = experiment.network.start
        learns = experiment.method.reads_target or experiment.network.statistics == "target"
        return Record(
            measures={
                name: {"title": one.title, "better": one.better, "votes": one.votes}
                for name, one in MEASURES.items()
            },
            classes=list(experiment.data.classes),
            adapted=learns and not experiment.reads_target_labels,
            pictures=[self.target.name(place) for place in self.chosen],
            set_aside=self.set_aside,
            source_pictures=len(self.source_chosen),
            source_trained_on=self.source_trained_on,
            source_shares=None,
            start=None if start is None else str(start),
            rows=[],
        )


def measured(
    record: Record,
    step: int,
    sets: Sets,
    experiment: Experiment,
    *,
    network: nn.Module,
    teacher: nn.Module | None,
    device: torch.device,
    as_source: AbstractContextManager[None] | None = None,
    watch: Callable[[int, Tensor, Tensor], None] | None = None,
) -> Record:
    """The record with a row about a network more; draws no random numbers and leaves the networks as they are.

    Args:
        teacher: The network to agree with.
        as_source: A context in which the network sees source pictures; None for none in particular.
        watch: As for :func:`segue.evaluation.unlabelled.look`.
    """
    card = model_card(experiment, step=step)
    plain = replace(card.prediction, flip=False, scales=(1.0,))
    model = TrainedModel(network, card, device, protocol=plain)
    # Before the first step a teacher is still a copy, which agrees with anything.
    other = TrainedModel(teacher, card, device, protocol=plain) if teacher is not None and step else None
    seen = look(model, sets.target, sets.chosen, other=other, watch=watch)
    on_source = replace(prediction_protocol(experiment, sets.source_domain), flip=False, scales=(1.0,))
    with as_source or nullcontext():
        there = TrainedModel(network, card, device, protocol=on_source)
        probability, label = look_at_source(there, sets.source, sets.source_chosen)
    earlier = [row for row in record.rows if row.step < step]
    start = torch.tensor(earlier[0].shares) if earlier and record.start is not None else None
    seen = replace(seen, source=probability, label=label, start=start)
    shares = source_shares(seen)
    known = None if shares is None else shares.tolist()
    return evidence.watched(replace(record, source_shares=known, rows=[*earlier, row_of(seen, step)]))


def row_of(seen: Seen, step: int) -> Row:
    """Every measure of what was seen."""
    singles = [seen.picture(place) for place in range(len(seen.target))]
    return Row(
        step,
        {name: measure.value(seen) for name, measure in MEASURES.items()},
        {name: [one.value(single) for single in singles] for name, one in MEASURES.items() if one.votes},
        class_shares(seen).tolist(),
        certainty_of_classes(seen),
    )


class Witness:
    """Measures a run's network at its save points, and keeps the record in the run folder.

    A resumed run drops the rows of steps that it makes again, and measures the same ones once more.
    """

    def __init__(self, experiment: Experiment, folder: Path, method: Method, device: torch.device) -> None:
        self.experiment = experiment
        self.folder = folder
        self.method = method
        self.device = device
        self.sets = Sets.of(experiment)

    def announce(self, console: Console) -> None:
        """Say what training does not see because of it."""
        sets = self.sets
        if sets.set_aside and self.experiment.method.reads_target:
            console.print(
                f"{len(sets.chosen)} of {len(sets.target)} target pictures are set aside to judge the run by"
                " (evidence.pictures).",
                highlight=False,
            )

    def look(self, step: int) -> Sequence[str]:
        """Measure after so many steps; returns the alarms that were not raised before."""
        record = evidence.read(self.folder) or self.sets.empty_record(self.experiment)
        scored = self.experiment.evaluation.network
        network = self.method.scored(scored)
        known = {alarm.partition(":")[0] for row in record.rows if row.step < step for alarm in row.alarms}
        kept = TargetPictures(
            self.folder, model_card(self.experiment, step=step).class_list, is_start=step == 0
        )

        def keep(place: int, image: Tensor, prediction: Tensor) -> None:
            kept.add(self.sets.target.name(place), image, prediction)

        record = measured(
            record, step, self.sets, self.experiment,
            network=network, teacher=self.method.partner(scored), device=self.device,
            as_source=self.method.statistics_of("source"),
            watch=keep if step or record.start is not None else None,
        )  # fmt: skip
        kept.write()
        evidence.write(self.folder, record)
        self._keep_best(record, network)
        return [alarm for alarm in record.rows[-1].alarms if alarm.partition(":")[0] not in known]

    def preview(self, step: int) -> None:
        """Draw what the network says of a few target pictures after so many steps, into ``pictures/progress``."""
        card = model_card(self.experiment, step=step)
        plain = replace(card.prediction, flip=False, scales=(1.0,))
        network = self.method.scored(self.experiment.evaluation.network)
        model = TrainedModel(network, card, self.device, protocol=plain)
        drawn = [
            Image.fromarray(model.predict(self.sets.target.image(place)).overlay)
            for place in self.sets.chosen[:PREVIEWED]
        ]
        size = (PREVIEW_WIDTH, max(1, round(drawn[0].height * PREVIEW_WIDTH / drawn[0].width)))
        sheet = tiled([[np.asarray(one.resize(size, Image.Resampling.BILINEAR)) for one in drawn]])
        write_bytes(self.folder / PROGRESS / f"{step:07d}.png", png(sheet, level=6))

    def _keep_best(self, record: Record, network: nn.Module) -> None:
        """Save the network if a measure without labels says that none before was better."""
        name = self.experiment.evidence.best
        rows = [row for row in record.rows if row.step]  # what training started from is not a result
        if name is None or not rows:
            return
        values = [row.values.get(name) for row in rows]
        known = [MEASURES[name].better * value for value in values if value is not None]
        if values[-1] is not None and known[-1] == max(known):
            save_model(self.folder / BEST, network, model_card(self.experiment, step=rows[-1].step))

    def has_seen(self, step: int) -> bool:
        """Whether the record ends with this step."""
        record = evidence.read(self.folder)
        return record is not None and bool(record.rows) and record.rows[-1].step == step
