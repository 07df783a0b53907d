"""IntraDA: the gap within the target, between pictures that a model is sure of and those that it is not."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from segue.evaluation.model import Model, TrainedModel
from segue.evaluation.read_ahead import read_ahead
from segue.files import write_text
from segue.methods.aligned import AlignedSettings
from segue.methods.context import Context
from segue.methods.method import Method, MethodSettings, Term
from segue.methods.stages import Stages, label_together, pictures_by_name
from segue.ops.information import mean_information
from segue.ranks import is_first_rank, of_all_ranks, own_share, said_by_first_rank, wait_for_all
from segue.settings import Share
from segue.trees import Tree
from segue.types import MeanOver

RANKING, EASY, HARD = "ranking.json", "easy.txt", "hard.txt"


class IntraDomainSettings(MethodSettings):
    """Align the domains, rank the target by uncertainty, then align its hard pictures with its easy ones."""

    name: Literal["intra_domain"] = "intra_domain"
    model: Path | None = None  # run or model folder that ranks and labels; None: the first stage trains one
    easy: Share = 0.67  # lambda: share of the target's pictures, the surest ones, that play the source
    # Classes of which each that a picture shows moves it towards the easy ones; empty, as by default in the official
    # code: pictures are ranked by uncertainty alone.
    rare: list[str] = []
    source_mean: MeanOver = "labelled"  # what the source's loss is averaged over

    def build(self, context: Context, terms: Mapping[str, Term]) -> Method:
        """What either stage trains."""
        return self._aligned.build(context, terms)

    def carry_out(self, stages: Stages) -> dict[str, Any] | None:
        """Align source and target, rank and label the target, align its easy with its hard pictures.

        Source: IntraDA (Pan et al., CVPR 2020), section 3, and its code, in which the last stage starts as the first.
        """
        rare = [stages.classes.index(name) for name in self.rare]
        self._check(len(stages.target))
        stages.begin()
        plain: Tree = {"method": self._aligned.model_dump(mode="json")}
        model = self.model
        if model is None:
            stages.say("first stage: source and target are aligned")
            stages.train_stage(stages.folder / "between", start=stages.start, changes=plain)
            model = stages.folder / "between"
        ranker = TrainedModel.load(model, stages.device)
        split = stages.folder / "split"
        if not said_by_first_rank((split / HARD).is_file()):
            stages.say("ranking the target's pictures by how uncertain the model is of them")
            self._rank(stages, ranker, split, rare)
        wait_for_all()
        easy = (split / EASY).read_text(encoding="utf-8").splitlines()
        stages.say(f"second stage: the {len(easy)} easy pictures, labelled, are the source of the others")
        self._label(stages, ranker, easy, split)
        scores = stages.train_stage(
            stages.folder / "within", start=stages.start, changes={**plain, "data": _within(stages, split)}
        )
        stages.keep(stages.folder / "within")
        return scores

    @property
    def _aligned(self) -> AlignedSettings:
        return AlignedSettings(source_mean=self.source_mean)

    def _check(self, pictures: int) -> None:
        easy = int(pictures * self.easy)
        if not 0 < easy < pictures:
            lacking, remedy = ("hard", "smaller") if easy else ("easy", "larger")
            raise ValueError(
                f"method.easy={self.easy} of {pictures} target pictures leaves no {lacking} ones, so that there is"
                f" nothing to align: choose a {remedy} share, or learn all labels: `segue label`, then"
                " method.name=offline"
            )

    def _rank(self, stages: Stages, model: Model, split: Path, rare: Sequence[int]) -> None:
        target = stages.target
        places = pictures_by_name(target)
        names = list(places)
        own = {
            name: score(model.probabilities(image[None])[0], rare)
            for name, image in read_ahead(
                lambda name: target.image(places[name]), [names[place] for place in own_share(len(names))]
            )
        }
        found = {name: one for part in of_all_ranks(own) for name, one in part.items()}
        scores = {name: found[name] for name in names}
        if not is_first_rank():
            return
        easy, hard = divided(scores, self.easy)
        write_text(split / RANKING, json.dumps(scores, indent=1) + "\n")
        write_text(split / EASY, "".join(f"{name}\n" for name in easy))
        write_text(split / HARD, "".join(f"{name}\n" for name in hard))

    def _label(self, stages: Stages, model: Model, easy: Sequence[str], split: Path) -> None:
        places = pictures_by_name(stages.target)
        pictures = {name: places[name] for name in easy}
        label_together(stages, model, stages.target, split / "labels", pictures=pictures)


def score(probability: Tensor, rare: Sequence[int] = ()) -> float:
    """How hard a picture of predicted probabilities (K,H,W) is.

    Source: IntraDA's code (Pan et al., CVPR 2020), with its option by rare classes: the more of them are predicted
    anywhere, the easier a picture counts, by a factor from 1.5 down to 0.5.
    """
    uncertain = float(mean_information(probability[None])[0])
    if not rare:
        return uncertain
    predicted = set(torch.unique(probability.argmax(0)).tolist())
    return uncertain * ((len(rare) - len(predicted.intersection(rare))) / len(rare) + 0.5)


def divided(scores: Mapping[str, float], easy: float) -> tuple[list[str], list[str]]:
    """The names of a share of the pictures, those of the lowest scores, and of the others, both the easiest first."""
    ranked = sorted(scores, key=lambda name: scores[name])
    count = int(len(ranked) * easy)
    return ranked[:count], ranked[count:]


def _within(stages: Stages, split: Path) -> Tree:
    """The data of the last stage: the target's easy pictures in the source's place, with labels made beforehand."""
    target = stages.domain("target")
    return {
        "source": {**target, "names": str(split / EASY), "offline_labels": str(split / "labels")},
        "target": {"names": str(split / HARD)},
    }
