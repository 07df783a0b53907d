"""Fusing members' predictions: one label PNG for each picture, and a record of which member was believed."""

import json
import os
from collections.abc import Generator, Iterator, Mapping, Sequence
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
from segue.ops.fusion import Fused, average, channel_wise, distinct, majority
from segue.progress import counting
from segue.types import IGNORE


@dataclass
class Fusion:
    """Members, the rules by which their predictions become one, and the folder that the labels go to.

    Attributes:
        members: At least one.
        made: What the labels depend on besides the rules; see :func:`segue.evaluation.labelling.describe`.
        counts: Those of all pictures fused so far.
    """

    members: Sequence[Member]
    classes: ClassList
    rules: FusionRules
    out: Path
    made: Mapping[str, Any] | None = None
    counts: FusionCounts = field(init=False)

    def __post_init__(self) -> None:
        self.counts = FusionCounts.empty(len(self.members), len(self.classes))

    def run(self, pictures: Sequence[str], *, share: tuple[int, int] = (0, 1)) -> int:
        """Fuse the pictures that have no label yet; afterwards the counts are those of all that have one.

        Args:
            pictures: Names that every member has.
            share: (i, n) fuses only part i of n, for several processes.

        Returns:
            How many this call fused.

        Raises:
            ValueError: If a prediction is missing, damaged or of another size than the others', or the folder holds
                labels that were fused otherwise.
        """
        check_members(self.members, self.rules)
        describe(self.out, self.classes, None if self.made is None else {**self.made, **self.rules.to_json()})
        number, shares = share
        # Every process writes a log of its own.
        log_name = "pictures.jsonl" if shares == 1 else f"pictures-{number}.jsonl"
        done = self._counts_of_fused(log_name)
        waiting = [name for name in pictures[number::shares] if name not in done]
        with (
            (self.out / log_name).open("a", encoding="utf-8") as log,
            counting("fusing", len(waiting)) as advance,
        ):
            for name, counts in self._fused_now(waiting):
                log.write(json.dumps({"name": name, **counts.to_json()}) + "\n")
                log.flush()
                done[name] = counts
                advance(name)
        self.counts = FusionCounts.empty(len(self.members), len(self.classes))
        for name in pictures:
            if name in done:
                self.counts.add(done[name])
        return len(waiting)

    def _fused_now(self, names: Sequence[str]) -> Iterator[tuple[str, FusionCounts]]:
        # Files are read several at a time; a model already uses the whole device for one picture.
        are_files = all(isinstance(member, FolderMember) for member in self.members)
        workers = min(4, os.cpu_count() or 1) if are_files else 1
        with _one_thread_each(workers), ThreadPoolExecutor(workers) as pool:
            try:
                yield from zip(names, pool.map(self._fuse_and_write, names), strict=True)
            finally:
                pool.shutdown(cancel_futures=True)

    def _fuse_and_write(self, name: str) -> FusionCounts:
        labels = self._labels(name)
        fused = self.fuse(name, labels)
        write_pictures(self.out, name, {"index": fused.label[0].numpy()})
        return FusionCounts.of(labels, fused, len(self.classes))

    def fuse(self, name: str, labels: Tensor) -> Fused:
        """Fuse one picture's labels (T,1,H,W)."""
        rules = self.rules
        if rules.kind == "pixel":
            return Fused(majority(labels), distinct(labels))
        if rules.kind == "average":
            size = (labels.shape[-2], labels.shape[-1])
            own = [_probability(member, name, size)[None] for member in self.members]
            label, sure = average(torch.stack(own))
            return Fused(label.masked_fill(sure < rules.threshold, IGNORE), distinct(labels))
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
        """Write ``fusion.json``: which member was believed for which class, and with what result."""
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
        """The probability (K,1,H,W) that the member believed for each class gives that class."""
        assert self.rules.policy is not None
        size = (labels.shape[-2], labels.shape[-1])
        own = {place: _probability(self.members[place], name, size) for place in set(self.rules.policy)}
        return torch.stack([own[member][place] for place, member in enumerate(self.rules.policy)])[:, None]

    def _counts_of_fused(self, log_name: str) -> dict[str, FusionCounts]:
        """The logged counts of pictures whose label exists; a line that an interruption cut short is skipped."""
        counts: dict[str, FusionCounts] = {}
        for path in sorted(self.out.glob("pictures*.jsonl")):
            text = path.read_text(encoding="utf-8")
            for line in text.splitlines():
                try:
                    content: dict[str, Any] = json.loads(line)
                except ValueError:
                    continue
                name = content.pop("name")
                if index_file(self.out, name).is_file():
                    counts[name] = FusionCounts.from_json(content)
            if path.name == log_name and text and not text.endswith("\n"):
                # Otherwise the next line would continue the one that was cut short.
                write_text(path, text + "\n")
        return counts


def check_members(members: Sequence[Member], rules: FusionRules) -> None:
    """Raise a ValueError if the rules need probabilities and a member has none."""
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


@contextmanager
def _one_thread_each(workers: int) -> Generator[None]:
    """Keep torch to one thread, so that several workers do not compete for the same cores."""
    threads = torch.get_num_threads()
    if workers > 1:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
