"""The rows of a study on a pair: their settings, what differs from the paper, and the command of each."""

import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from segue import machine
from segue.engine.experiment import differences, load, parse_assignments
from segue.engine.model_card import versions
from segue.engine.settings import Experiment
from segue.recipes import pairs
from segue.recipes.catalogue import experiment
from segue.recipes.deviations import as_in_paper, overridden
from segue.recipes.study import Study, StudyRow
from segue.study.record import Fused, Record, Score, Variant, fused_of, score_of
from segue.study.runs import run_folder
from segue.trees import Tree, flatten

SEED = "SEED"
"""Stands for the seed in a command."""


@dataclass(frozen=True)
class Bed:
    """What all rows of a study have in common: the pair, the study's folder, and the user's changes."""

    pair: str
    folder: Path
    steps: int | None = None
    assignments: Sequence[str] = ()

    def experiment(self, row: StudyRow, seed: int) -> Experiment:
        """The settings of a row's run with a seed."""
        needs = [f"{key}={run_folder(self.folder, label, seed)}" for key, label in row.needs.items()]
        budget = {"seed": seed} | ({"steps": self.steps} if self.steps else {})
        wishes = (parse_assignments(given) for given in (needs, self.assignments))
        try:
            return experiment(row.recipe, self._tree, row.changes, budget, *wishes, size=row.size)
        except ValueError as error:
            raise ValueError(f"row {row.label!r}: {error}") from error

    def record(
        self,
        name: str,
        study: Study,
        seeds: Sequence[int],
        failures: Mapping[Path, str],
        *,
        also: Collection[str],
    ) -> Record:
        """The record of every run of the study with these settings, whenever it was trained.

        Args:
            name: The study's name, or its file.
            seeds: The seeds asked for; those in the study's folder are added.
            failures: Errors, by run folder.
            also: Labels of rows that are listed even without a score.
        """
        trained = [int(path.name[4:]) for path in self.folder.glob("*/seed*") if path.name[4:].isdigit()]
        seeds = sorted({*seeds, *trained})
        variants = {label: self._described(row, seeds, failures) for label, row in study.rows.items()}
        return Record(
            study=Path(name).stem,
            question=study.question,
            paper=study.paper,
            pair=self.pair,
            baseline=study.baseline,
            note=study.note,
            seeds=seeds,
            command=self._study_command(name, seeds),
            tables={title: [row.label for row in rows] for title, rows in study.tables.items()},
            variants={label: one for label, one in variants.items() if one.scores or label in also},
            versions=versions(),
            machine=machine.describe(),
        )

    def _described(self, row: StudyRow, seeds: Sequence[int], failures: Mapping[Path, str]) -> Variant:
        scores: dict[int, Score] = {}
        fused: dict[int, Fused] = {}
        failed: dict[int, str] = {}
        for seed in seeds:
            folder = run_folder(self.folder, row.label, seed)
            if folder in failures:
                failed[seed] = failures[folder]
            elif (score := score_of(folder)) and not differences(
                load(folder / "experiment.yaml"), self.experiment(row, seed)
            ):
                scores[seed] = score
                fused |= {seed: compared} if (compared := fused_of(folder)) else {}
        found = {"scores": scores, "fused": fused, "failed": failed}
        return self.variant(row).model_copy(update=found)

    def variant(self, row: StudyRow) -> Variant:
        """The record of a row before it is run."""
        effective, own = (
            self.experiment(row, 0),
            as_in_paper(row.recipe, self._tree, row.changes, size=row.size),
        )
        otherwise = overridden(own, effective, but=row.needs)
        return Variant(
            recipe=row.recipe,
            changes=dict(row.changes),
            command=self.command(row),
            set_otherwise=otherwise,
            base=row.base,
            published=None if otherwise else row.published,
            steps=effective.steps,
        )

    def command(self, row: StudyRow) -> str:
        """The command that trains a row alone, in the folder of the study."""
        plain = experiment(row.recipe, self._tree)
        effective = flatten(self.experiment(row, 0).model_dump(mode="json"))
        needs = {key: self._shown(label) for key, label in row.needs.items()}
        different = (key for key in differences(plain, self.experiment(row, 0)) if key != "seed")
        changed = [there for key in different if (there := _there(key, effective))]
        wishes = {key: needs.get(key, effective[key]) for key in changed}
        parts = ["segue", "train", row.recipe, "--pair", self.pair, "--seed", SEED]
        if "steps" in wishes:
            parts += ["--steps", str(wishes.pop("steps"))]
        for key, value in wishes.items():
            parts += ["--set", f"{key}={_as_yaml(value)}"]
        parts += ["--out", self._shown(row.label)]
        return shlex.join(parts)

    def _study_command(self, name: str, seeds: Sequence[int]) -> str:
        parts = ["segue", "study", name, "--pair", self.pair, "--seeds", ",".join(map(str, seeds))]
        if self.steps:
            parts += ["--steps", str(self.steps)]
        for assignment in self.assignments:
            parts += ["--set", assignment]
        return shlex.join(parts)

    def _shown(self, label: str) -> str:
        """A row's run folder, relative to the current folder if it lies inside."""
        folder, here = run_folder(self.folder, label, 0).parent / f"seed{SEED}", Path.cwd()
        return str(folder.relative_to(here) if folder.is_relative_to(here) else folder)

    @property
    def _tree(self) -> Tree:
        return pairs.pair(self.pair)


def _as_yaml(value: object) -> str:
    return (
        yaml.safe_dump(value, default_flow_style=True, width=10**6).removesuffix("\n").removesuffix("\n...")
    )


def _there(key: str, settings: Tree) -> str | None:
    """A dotted key, or the group above it that is left out as a whole; None if settings have neither."""
    parts = key.split(".")
    above = (".".join(parts[:end]) for end in range(len(parts), 0, -1))
    return next((one for one in above if one in settings), None)
