"""Several models that predict as one: those of runs, or those that the run trains, one for each set of terms."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from segue.methods.aligned import AlignedSettings
from segue.methods.context import Context
from segue.methods.method import Method, MethodSettings, Term
from segue.methods.stages import Stages
from segue.models.averaged import MEMBERS, Averaged
from segue.models.weights import load_model, model_folder, save_model
from segue.ranks import is_first_rank, wait_for_all
from segue.trees import Tree

Name = Annotated[str, Field(pattern=r"^[^./\\][^/\\]*$")]


class ModelAverageSettings(MethodSettings):
    """The mean of the probabilities of models that align the domains otherwise."""

    name: Literal["average"] = "average"
    # Run or model folders by name; without any, one model is trained for each entry of ``trained``.
    models: dict[Name, Path] = Field(default={})
    trained: dict[Name, list[str]] = Field(default={})  # by name, which of the run's terms train a model
    aligned: AlignedSettings = AlignedSettings()  # what a model is trained by

    @model_validator(mode="after")
    def _several(self) -> "ModelAverageSettings":
        found = self.models or self.trained
        if len(found) < 2:
            raise ValueError(
                f"an average needs two models, found {len(found)}: set method.models={{a: RUN, b: RUN}}"
            )
        return self

    def build(self, context: Context, terms: Mapping[str, Term]) -> Method:
        """What each stage trains."""
        return self.aligned.build(context, terms)

    def carry_out(self, stages: Stages) -> dict[str, Any] | None:
        """Train what is missing, put the networks into one model, and score it.

        Source: the row "ADVENT" of many tables (Vu et al., CVPR 2019): the mean of AdvEnt's and MinEnt's predictions,
        with equal weights.
        """
        stages.begin()
        models = dict(self.models)
        if not models:
            for name in self.trained:
                stages.say(f"training {name}")
                models[name] = stages.folder / name
                stages.train_stage(models[name], start=stages.start, changes=self._alone(name))
            stages.keep(stages.folder / next(reversed(self.trained)))
        join_models(stages, models, stages.folder)
        return stages.score()

    def _alone(self, name: str) -> Tree:
        others = {term for terms in self.trained.values() for term in terms}.difference(self.trained[name])
        return {"method": self.aligned.model_dump(mode="json"), "terms": dict.fromkeys(sorted(others))}


def join_models(stages: Stages, models: Mapping[str, Path], folder: Path) -> None:
    """Write the average of run or model folders, by name, as one model into a run folder; the first process does it.

    Raises:
        ValueError: If the models have other classes than the run's, or take pictures otherwise than one another.
    """
    if is_first_rank():
        _write_average(stages, models, folder / "model")
    wait_for_all()


def _write_average(stages: Stages, models: Mapping[str, Path], folder: Path) -> None:
    opened = {path: load_model(model_folder(path)) for path in models.values()}
    first = next(iter(opened.values()))[1]
    for path, (_, card) in opened.items():
        if list(card.classes) != list(stages.classes.names):
            raise ValueError(f"{path}: its classes ({', '.join(card.classes)}) are not those of the pair")
        if (list(card.mean), list(card.std)) != (list(first.mean), list(first.std)):
            raise ValueError(
                f"{path}: takes other colours than {next(iter(opened))}: average models of one family"
            )
    network = {MEMBERS: [dict(card.network) for _, card in opened.values()]}
    card = replace(first, network=network, recipe=stages.recipe)
    save_model(folder, Averaged([one for one, _ in opened.values()]), card)
