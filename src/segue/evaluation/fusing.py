"""Fusing members' predictions over a set of pictures: one label PNG each, and a record of who was believed."""

import json
import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from segue.classes import ClassList
from segue.evaluation.fusion_counts import FusionCounts
from segue.evaluation.labelling import describe
from segue.evaluation.members import FolderMember, Member
from segue.evaluation.prediction_files import index_file, write_pictures
from segue.files import write_text
from segue.fusion_rules import FusionRules
from segue.ops.fusion import Fused, average, channel_wise, majority
from segue.types import IGNORE


@dataclass
class Fusion:
    """Members, rules, and where the result goes.

    Attributes:
        members: At least one.
        classes: The fused classes.
        rules: How they become one.
        out: The folder of labels.
        made: What decides beside the rules what the labels are; see :func:`segue.evaluation.labelling.describe`.
        counts: What happened so far.
    """

    members: Sequence[Member]
    classes: ClassList
    rules: FusionRules
    out: Path
    made: Mapping[str, Any] | None = None
    counts: FusionCounts = field(init=False)

    def __post_init__(self) -> None:
        self.counts = FusionCounts.empty(len(self.members), len(self.classes))

    def run(
        self,
        pictures: Sequence[str],
        *,
        share: tuple[int, int] = (0, 1),
        watch: Callable[[object], None] | None = None,
    ) -> int:
        """Fuse pictures that are not fused yet; the counts are then of all that are.

        Args:
            pictures: Names that every member has.
            share: Which part of how many is to be fused: one of several processes.
            watch: Called after every picture.

        Returns:
            How many were fused now.

        Raises:
            ValueError: If a prediction is missing, damaged or of another size than the others', or the folder holds
                labels that were fused otherwise.
        """
        check_members(self.members, self.rules)
        describe(self.out, self.classes, None if self.made is None else {**self.made, **self.rules.to_json()})
        done, (number, shares) = self._kept(_log(share)), share
        waiting = [name for name in pictures[number::shares] if name not in done]
        with (self.out / _log(share)).open("a", encoding="utf-8") as log:
            for name, one in self._counted(waiting):
                log.write(json.dumps({"name": name, **one.to_json()}) + "\n")
                log.flush()
                done[name] = one
                if watch is not None:
                    watch(name)
        self.counts = FusionCounts.empty(len(self.members), len(self.classes))
        for name in pictures:
            if name in done:
                self.counts.add(done[name])
        return len(waiting)

    def _counted(self, names: Sequence[str]) -> Iterator[tuple[str, FusionCounts]]:
        """Several pictures at a time where members are files; models are asked one picture at a time."""
        are_files = all(isinstance(member, FolderMember) for member in self.members)
        workers = min(4, os.cpu_count() or 1) if are_files else 1
        with _one_thread_each(workers), ThreadPoolExecutor(workers) as pool:
            try:
                yield from zip(names, pool.map(self._one, names), strict=True)
            finally:
                pool.shutdown(cancel_futures=True)

    def _one(self, name: str) -> FusionCounts:
        labels = self._labels(name)
        fused = self.fuse(name, labels)
        write_pictures(self.out, name, {"index": fused.label[0].numpy()})
        return FusionCounts.of(labels, fused, len(self.classes))

    def fuse(self, name: str, labels: Tensor) -> Fused:
        """Fuse one picture's labels (T,1,H,W)."""
        rules = self.rules
        if rules.kind == "pixel":
            label = majority(labels, len(self.classes))
            return Fused(label, (label != IGNORE).to(torch.uint8))
        if rules.kind == "average":
            size = (labels.shape[-2], labels.shape[-1])
            own = [_probability(member, name, size)[None] for member in self.members]
            label, sure = average(torch.stack(own))
            label = label.masked_fill(sure < rules.threshold, IGNORE)
            return Fused(label, (label != IGNORE).to(torch.uint8))
        assert rules.policy is not None, "channel-wise fusion has a policy"
        certainty = self._planes(name, labels) if rules.needs_probabilities else None
        return channel_wise(
            labels,
            rules.policy,
            conflict=rules.conflict,
            unclaimed=rules.unclaimed,
            window=rules.window,
            order=rules.order,
            certainty=certainty,
            threshold=rules.threshold,
        )

    def write_record(self, extra: dict[str, Any]) -> Path:
        """Write ``fusion.json``: who was believed for what, and what came of it."""
        content = {
            "members": [member.name for member in self.members],
            "names": list(self.classes.names),
            "rules": self.rules.to_json(),
            **self.counts.to_json(),
            **extra,
        }
        path = self.out / "fusion.json"
        write_text(path, json.dumps(content, indent=1) + "\n")
        return path

    def _labels(self, name: str) -> Tensor:
        labels = [member.label(name) for member in self.members]
        sizes = {tuple(label.shape) for label in labels}
        if len(sizes) > 1:
            listed = ", ".join(
                f"{member.name} {label.shape[1]}x{label.shape[0]}"
                for member, label in zip(self.members, labels, strict=True)
            )
            raise ValueError(
                f"{name}: the members' predictions have different sizes: {listed} (width x height)"
            )
        return torch.stack(labels)[:, None]

    def _planes(self, name: str, labels: Tensor) -> Tensor:
        """For each class the probability that the believed member gives it (K,1,H,W)."""
        assert self.rules.policy is not None
        size = (labels.shape[-2], labels.shape[-1])
        own = {place: _probability(self.members[place], name, size) for place in set(self.rules.policy)}
        return torch.stack([own[member][place] for place, member in enumerate(self.rules.policy)])[:, None]

    def _kept(self, log: str) -> dict[str, FusionCounts]:
        """Pictures of an interrupted fusion whose label is there; a torn last line is left out."""
        kept: dict[str, FusionCounts] = {}
        for path in sorted(self.out.glob("pictures*.jsonl")):
            text = path.read_text(encoding="utf-8")
            for line in text.splitlines():
                try:
                    content: dict[str, Any] = json.loads(line)
                except ValueError:
                    continue
                name = content.pop("name")
                if index_file(self.out, name).is_file():
                    kept[name] = FusionCounts.from_json(content)
            if path.name == log and text and not text.endswith("\n"):
                # The next line must not be glued to a torn one.
                write_text(path, text + "\n")
        return kept


def check_members(members: Sequence[Member], rules: FusionRules) -> None:
    """See that the rules do not ask for probabilities of a member that has none.

    Raises:
        ValueError: If they do.
    """
    silent = [member.name for member in members if not member.has_probabilities]
    if rules.needs_probabilities and silent:
        wish = "an average" if rules.kind == "average" else "a threshold or conflict certainty"
        raise ValueError(
            f"member {silent[0]} has no probabilities, which {wish} needs: use a model, or label with"
            " `segue label --soft`"
        )


def _probability(member: Member, picture: str, size: tuple[int, int]) -> Tensor:
    probability = member.probability(picture)
    height, width = probability.shape[-2:]
    if (height, width) != size:
        raise ValueError(
            f"member {member.name}: picture {picture!r} has probabilities of {width}x{height} and a"
            f" label of {size[1]}x{size[0]} pixels (width x height)"
        )
    return probability


def _log(share: tuple[int, int]) -> str:
    """Every process writes a log of its own."""
    number, shares = share
    return "pictures.jsonl" if shares == 1 else f"pictures-{number}.jsonl"


@contextmanager
def _one_thread_each(workers: int) -> Generator[None]:
    """Within, tensor arithmetic of several workers does not fight for the same cores."""
    threads = torch.get_num_threads()
    if workers > 1:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
