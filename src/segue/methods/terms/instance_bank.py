"""Two views of a pixel must agree on which labelled instances it is similar to."""

from typing import Literal, cast

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from segue.methods.method import Term
from segue.ops import instances
from segue.ops.resize import enlarge, enlarge_nearest
from segue.ranks import from_first_rank
from segue.types import Batch, Output, View

Update = Literal["ema", "ema_boundary", "ema_boundary_center", "fifo", "frozen"]

PIXELS_AT_ONCE = 8192

SOFT = 0.1
"""The student's temperature where the teacher's is 0, of which a loss has no gradient: the recipe's own."""

INSERTS = 5
"""The most rows that "fifo" replaces in one update."""

FROM_ONE_PICTURE = 4
"""The most rows of a class that are filled from one picture: a quota is to be more than one thing seen once."""


class InstanceBank(Term):
    """A bank of labelled source features; teacher and student must see target pixels alike in its light.

    The bank is filled from source pictures once the warm-up is over, a quota for each class that was seen by then.
    The loss begins when it is full, or when it was waited for long enough; rows of classes that did not come again
    are left out until they do. The classes that the teacher believes in weigh its similarities (scatter), and with
    ``beta`` below 1 its similarities correct the pseudo-label (gather, see :meth:`calibrated`).

    Source: DIDA (supplement and abstract; equations rebuilt from the released code and from SimMatch).

    Note:
        The released code has no norm, temperature or softmax, weighs by raw student logits, lets rows of absent
        classes decay, and mixes up positions of two pictures; ``similarity="linear"`` with
        ``scatter="student_logits"`` reproduces the first two, the others are not reproduced.

    Args:
        classes: How many there are.
        channels: Of the embedding.
        size: K, the number of instances in all.
        temperature: tau; 0 leaves of the teacher's similarities the highest one alone, as the supplement has it.
        share: lambda, the loss's part of the whole.
        beta: How far the pseudo-label stays the class prediction; 1 turns gathering off.
        similarity: As in ``ops.instances.log_similarity``.
        scatter: What weighs similarities: the teacher's probabilities, the student's raw logits, or nothing.
        update: How the bank follows: by class means of a picture, by boundary pixels, by both, or oldest out.
        interval: Steps from one update to the next.
        momentum: mu, of moving averages.
        region: Where the loss counts: on target pixels that were not pasted over; on these as far as the teacher is
            "trusted", like the target's own loss; on "all" pixels, as released; or on "confident" target pixels.
        warmup: Steps before the bank is filled; classes are counted until then, and in the first picture after it.
        patience: Steps after the warm-up from which the loss does not wait for a full bank any longer.
        seed: Of the bank's own draws; nobody else's random numbers depend on them.
    """

    view_names: tuple[str, ...] = ("source", "target")
    features: Tensor
    labels: Tensor
    filled: Tensor
    ages: Tensor
    counts: Tensor
    steps: Tensor

    def __init__(
        self,
        *,
        classes: int,
        channels: int,
        size: int = 250,
        temperature: float = 0.1,
        share: float = 1.0,
        beta: float = 1.0,
        similarity: instances.Similarity = "cosine",
        scatter: Literal["teacher", "student_logits", "off"] = "teacher",
        update: Update = "ema",
        interval: int = 50,
        momentum: float = 0.999,
        region: Literal["target", "trusted", "all", "confident"] = "target",
        warmup: int = 1500,
        patience: int = 1500,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if size < classes:
            raise ValueError(
                f"a bank of {size} instances cannot hold {classes} classes: take at least as many"
            )
        self.classes, self.size = classes, size
        self.temperature, self.share, self.beta = temperature, share, beta
        self.similarity: instances.Similarity = similarity
        self.scatter = scatter
        self.update: Update = update
        self.interval, self.momentum, self.region = interval, momentum, region
        self.warmup, self.patience = warmup, patience
        self.seed = seed
        self.register_buffer("features", torch.zeros(size, channels))
        self.register_buffer("labels", torch.zeros(size, dtype=torch.int64))
        self.register_buffer("filled", torch.zeros(size, dtype=torch.bool))
        self.register_buffer("ages", torch.zeros(size, dtype=torch.int64))
        self.register_buffer("counts", torch.zeros(classes, dtype=torch.float64))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self._clock: tuple[int, bool] | None = None

    def forward(self, network: nn.Module, view: View, output: Output) -> dict[str, Tensor]:
        """Remember the source; compare the two views of the target once the bank is ready."""
        if view.name == "source":
            self._remember(output.embedding.detach(), cast(Tensor, view.label))
            return {}
        if not self._is_ready() or self.share == 0:
            return {}
        return {"instance": self.share * self._loss(view, output)}

    @torch.no_grad()
    def after_step(self, batch: Batch, step: int) -> None:
        """Count the steps; whether the bank is full is looked up when it may have changed."""
        ready, (_, full) = self._is_ready(), self._now()
        self.steps.fill_(step + 1)
        may_have_filled = not full and step + 1 > self.warmup
        # The host asks in every step while the loss waits for the answer, and seldom afterwards.
        is_asked = may_have_filled and (not ready or step % self.interval == 0)
        self._clock = (step + 1, bool(self.filled.all()) if is_asked else full)

    @torch.no_grad()
    def calibrated(self, taught: Output, label: Int64[Tensor, "b h w"]) -> Int64[Tensor, "b h w"]:
        """The pseudo-label after instances have had their say; unchanged with beta 1 or before the bank is ready."""
        if self.beta == 1 or not self._is_ready():
            return label
        grid = (taught.embedding.shape[-2], taught.embedding.shape[-1])
        probability = _pixels(enlarge(taught.logits.float(), grid)).softmax(dim=1)
        parts: list[Tensor] = []
        for embedding, own in zip(
            _pixels(taught.embedding).split(PIXELS_AT_ONCE), probability.split(PIXELS_AT_ONCE), strict=True
        ):
            said = instances.gathered(self._taught_similarity(embedding), self.labels, self.classes)
            parts.append(self.beta * own + (1 - self.beta) * said)
        mixed = torch.cat(parts).view(len(label), *grid, self.classes).permute(0, 3, 1, 2)
        return enlarge(mixed, (label.shape[-2], label.shape[-1])).max(dim=1).indices

    def _log_similarity(self, embedding: Float[Tensor, "n d"]) -> Float[Tensor, "n k"]:
        return instances.log_similarity(
            embedding,
            self.features,
            kind=self.similarity,
            temperature=self.temperature or SOFT,
            there=None if self._now()[1] else self.filled,
        )

    def _taught_similarity(self, embedding: Float[Tensor, "n d"]) -> Float[Tensor, "n k"]:
        """What the teacher says of instances."""
        similarity = self._log_similarity(embedding).exp()
        return similarity if self.temperature else instances.nearest(similarity)

    def _loss(self, view: View, output: Output) -> Tensor:
        assert view.teacher is not None
        grid = (output.embedding.shape[-2], output.embedding.shape[-1])
        strong = _pixels(output.embedding)
        weak = _pixels(enlarge(view.teacher.embedding, grid))
        with torch.no_grad():
            probability = _pixels(enlarge(view.teacher.logits.float(), grid)).softmax(dim=1)
            score = probability
            if self.scatter == "student_logits":
                score = _pixels(enlarge(output.logits.detach().float(), grid))
            counted = self._counted(view, probability, grid)
            weight = counted.float()
            if self.region == "trusted" and view.weight is not None:
                weight = weight * enlarge_nearest(view.weight[:, None], grid).flatten()
        total = strong.new_zeros((), dtype=torch.float32)
        for at in range(0, len(strong), PIXELS_AT_ONCE):
            part = slice(at, at + PIXELS_AT_ONCE)
            # Computed again for the gradient: nothing of pixels times instances is kept.
            total = total + cast(
                Tensor,
                checkpoint(
                    self._part, strong[part], weak[part], score[part], weight[part], use_reentrant=False
                ),
            )
        return total / counted.sum().clamp(min=1)

    def _part(self, strong: Tensor, weak: Tensor, score: Tensor, weight: Tensor) -> Tensor:
        """The loss of some pixels: the student's distribution against the teacher's, weighed by classes."""
        with torch.no_grad():
            target = self._taught_similarity(weak)
            if self.scatter != "off":
                target = instances.scattered(target, score, self.labels)
        return instances.instance_loss(target, self._log_similarity(strong), weight)

    def _counted(self, view: View, probability: Tensor, grid: tuple[int, int]) -> Bool[Tensor, " n"]:
        counted = torch.ones(len(probability), dtype=torch.bool, device=probability.device)
        if self.region == "all":
            return counted
        if view.mix_mask is not None:
            pasted = enlarge_nearest(view.mix_mask[:, None].float(), grid)[:, 0].flatten() > 0
            counted &= ~pasted
        return counted & (probability.max(dim=1).values >= 0.968) if self.region == "confident" else counted

    @torch.no_grad()
    def _remember(self, embedding: Float[Tensor, "b d h w"], label: Int64[Tensor, "b h w"]) -> None:
        """Fill or update the bank from the first picture of the first process, so that all processes agree."""
        step, full = self._now()
        grid = (embedding.shape[-2], embedding.shape[-1])
        seen = enlarge_nearest(label[:1, None].float(), grid)[0, 0].long()
        if step < self.warmup:
            self._count(seen)
            return
        if self._is_ready() and self.update != "frozen" and step % self.interval == 0:
            self._follow(_pixels(embedding[:1]), seen)
        if not full:
            self._fill(_pixels(embedding[:1]), seen.flatten())

    def _count(self, label: Tensor) -> None:
        known = label.flatten().clamp(max=self.classes)
        seen = torch.bincount(known, minlength=self.classes + 1)[: self.classes]
        self.counts += from_first_rank(seen.double())

    def _fill(self, pixels: Tensor, label: Tensor) -> None:
        if not bool(self.ages.any()):
            self._count(label)  # without a warm-up nothing was counted before
            if not bool(self.counts.any()):
                return
            self.labels.copy_(quotas(self.counts, self.size))
            self.ages.copy_(torch.arange(1, self.size + 1))
        place, found = instances.distinct_pixels(
            label, self.labels, ~self.filled, self.classes, most=FROM_ONE_PICTURE, generator=self._dice(label)
        )
        rows, new = from_first_rank(pixels[place].float()), from_first_rank(found.float()) > 0
        self.features.copy_(torch.where(new[:, None], rows, self.features))
        self.filled |= new

    def _follow(self, pixels: Tensor, label: Int64[Tensor, "h w"]) -> None:
        flat = label.flatten()
        if self.update == "fifo":
            self._replace_oldest(pixels, flat)
            return
        means, present = instances.class_means(pixels, flat, self.classes)
        if self.update != "ema":
            every = torch.arange(self.classes, device=flat.device)
            edge = torch.where(instances.boundary(label).flatten(), flat, torch.full_like(flat, self.classes))
            place, found = instances.draw_pixels(edge, every, self.classes, self._dice(edge))
            on_edge = pixels[place].float()
            if self.update == "ema_boundary_center":
                on_edge = (on_edge + means) / 2
            means = torch.where(found[:, None], on_edge, means)
        means, present = from_first_rank(means), from_first_rank(present.float()) > 0
        moved = torch.lerp(means[self.labels], self.features, self.momentum)
        moves = present[self.labels] & self.filled
        self.features.copy_(torch.where(moves[:, None], moved, self.features))

    def _replace_oldest(self, pixels: Tensor, label: Tensor) -> None:
        """A new instance for a few of the classes that are there, in the place of their oldest."""
        every = torch.arange(self.classes, device=label.device)
        dice = self._dice(label)
        place, found = instances.draw_pixels(label, every, self.classes, dice)
        rows, found = from_first_rank(pixels[place].float()), from_first_rank(found.float()) > 0
        keys = torch.where(found, torch.rand(self.classes, device=label.device, generator=dice), 2.0)
        chosen = found & (from_first_rank(keys).argsort().argsort() < INSERTS)
        oldest = torch.full((self.classes,), torch.iinfo(torch.int64).max, device=label.device)
        oldest.scatter_reduce_(0, self.labels, self.ages, "amin")
        replaced = chosen[self.labels] & (self.ages == oldest[self.labels]) & self.filled
        self.features.copy_(torch.where(replaced[:, None], rows[self.labels], self.features))
        self.ages.copy_(torch.where(replaced, self.ages.max() + 1 + self.labels, self.ages))

    def _dice(self, like: Tensor) -> torch.Generator:
        """Random numbers of this step's own: with a weight of 0 a run is the run without a bank."""
        step, _ = self._now()
        return torch.Generator(like.device).manual_seed(1_000_003 * self.seed + step)

    def _now(self) -> tuple[int, bool]:
        """Steps so far, and whether the bank is full; read from the buffers after a resume."""
        if self._clock is None:
            self._clock = (int(self.steps), bool(self.filled.all()))
        return self._clock

    def _is_ready(self) -> bool:
        step, full = self._now()
        return full or step >= self.warmup + self.patience


def quotas(counts: Float[Tensor, " c"], size: int) -> Int64[Tensor, " k"]:
    """A class for every row of a bank: as many rows for each class that was seen, what is left for the rarest.

    Args:
        counts: Pixels of each class, of one at least.
        size: Rows in all.

    Returns:
        Classes, the rarest first.
    """
    order = torch.where(counts > 0, counts, torch.inf).argsort()
    present = int((counts > 0).sum())
    each, spare = divmod(size, present)
    rows = torch.tensor([each + (place < spare) for place in range(present)], device=counts.device)
    return order[:present].repeat_interleave(rows)


def _pixels(maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "n c"]:
    return maps.permute(0, 2, 3, 1).flatten(0, 2)
