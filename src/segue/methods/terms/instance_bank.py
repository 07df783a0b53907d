"""DIDA's instance bank: two views of a pixel must agree on which labelled instances it is similar to."""

from dataclasses import dataclass
from typing import Literal, cast

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from segue.methods.context import PAPER_STEPS, Context
from segue.methods.method import MethodSettings, Term, TermSettings
from segue.ops import instances
from segue.ops.counting import counted
from segue.ops.losses import LEAST
from segue.ops.resize import resize, resize_nearest
from segue.ranks import from_first_rank, mean_over_ranks
from segue.settings import Count, NotNegative, Share
from segue.types import Batch, Output, View

PIXELS_AT_ONCE = 8192
"""How many pixels are compared with the bank at once, which bounds memory."""

SOFT = 0.1
"""The student's temperature where the teacher's is 0: a student's argmax would have no gradient."""

INSERTS = 5
"""The most rows that "fifo" replaces in one update."""

FROM_ONE_PICTURE = 4
"""The most rows of a class that one picture fills, so that a class is not a single object seen once."""

BANK_UPDATES = 769
"""How often DIDA's bank is updated in a run of 40 000 steps: every 50 steps after a warm-up of 1500."""

WARMUP = 1500 / PAPER_STEPS
"""The share of a run in which the papers' learning rate warms up."""


class InstanceBankSettings(TermSettings):
    """DIDA: teacher and student agree on which labelled instances a pixel is similar to."""

    size: Count = 250  # K: how many instances the bank holds
    temperature: NotNegative = 0.1  # tau; 0: the teacher's nearest instance only, as in the supplement
    share: NotNegative = 1.0  # lambda
    beta: Share = 1.0  # share of the class prediction in the pseudo-label, the rest comes from instances
    similarity: instances.Similarity = "cosine"
    # What weighs similarities: the teacher's probabilities, the student's raw logits, or nothing.
    scatter: Literal["teacher", "student_logits", "off"] = "teacher"
    # What rows follow: a picture's class means, its boundary pixels, or the mean of both; "fifo" replaces the oldest
    # rows, "frozen" leaves all as they are.
    update: Literal["ema", "ema_boundary", "ema_boundary_center", "fifo", "frozen"] = "ema"
    interval: Count = 50  # steps between updates in a run of 40 000, scaled to the length of other runs
    # mu in a run of 40 000 steps, which has 769 updates; scaled so that other runs leave as much of a row unchanged.
    momentum: Share = 0.999
    # Where the loss counts: on target pixels that were not pasted over; on those, weighed by trust in the teacher; on
    # all pixels, as released; on confident target pixels.
    region: Literal["target", "trusted", "all", "confident"] = "target"
    # Share of the steps before the bank is filled; None: 1500 / 40 000 from pretrained weights, otherwise a half.
    warmup: Share | None = None

    def check(self, method: MethodSettings) -> None:
        """Raise ``ValueError`` if the method has no teacher to compare with, or no hard labels to correct."""
        if not method.has_teacher:
            raise ValueError(
                f"terms.instance_bank compares a student with its teacher, and method {method.name} has none"
            )
        if getattr(method, "soft", False) and self.beta < 1:
            raise ValueError(
                "terms.instance_bank.beta below 1 corrects hard pseudo-labels, and method.soft has none of them"
            )

    def build(self, context: Context) -> "InstanceBank":
        """Build an empty bank that is filled and updated at the pace of the run."""
        pace = self.pace(context.steps, is_pretrained=context.is_pretrained)
        channels = context.student.embedding_channels
        return InstanceBank(self, pace, classes=len(context.classes), channels=channels, seed=context.seed)

    def pace(self, steps: int, *, is_pretrained: bool) -> "Pace":
        """When the bank is filled and updated in a run of so many steps, and how fast its rows move.

        DIDA starts with a bank that a trained network has filled. Here training fills it, after a warm-up: from
        pretrained weights the optimiser's own warm-up is enough, from random weights it is half of the run. Unlike the
        target's segmentation loss this one is not weighed by quality, so that it would otherwise act at full strength
        long before the features mean anything.

        In the papers' run a row whose class is in every picture is updated 769 times with a momentum of 0.999, which
        leaves 46 % of what it was filled with. For runs of other lengths the interval scales with the steps, and the
        momentum is chosen so that the same 46 % are left, however many updates there are.

        Source: DIDA's released code for interval and momentum; the scaling is ours.
        """
        share = (WARMUP if is_pretrained else 0.5) if self.warmup is None else self.warmup
        warmup = round(share * steps)
        interval = max(1, round(self.interval * steps / PAPER_STEPS))
        updates = (steps - 1) // interval - warmup // interval
        return Pace(
            warmup, interval, self.momentum ** (BANK_UPDATES / max(1, updates)), round(WARMUP * steps)
        )


@dataclass(frozen=True)
class Pace:
    """When a bank is filled and updated, and how fast its rows move.

    Attributes:
        warmup: Steps before it is filled; classes are counted until then, and in the first picture after it.
        interval: Steps from one update to the next.
        momentum: The share of a row that an update leaves.
        patience: Steps after the warm-up during which the loss waits for the bank to be full.
    """

    warmup: int
    interval: int
    momentum: float
    patience: int


class InstanceBank(Term):
    """A bank of labelled source features, to which teacher and student must find target pixels equally similar.

    The bank is filled from source pictures once the warm-up is over, with a quota for each class seen by then. The
    loss begins when the bank is full, or when it has waited long enough; rows of classes that did not appear again
    are left out until they do. The teacher's class probabilities weigh its similarities (scatter), and with ``beta``
    below 1 its similarities correct the pseudo-label (gather, see :meth:`calibrated`).

    Source: DIDA (supplement and abstract; equations rebuilt from the released code and from SimMatch). The released
    code has no norm, temperature or softmax, weighs by raw student logits, lets rows of absent classes decay, and
    confuses positions of two pictures; ``similarity="linear"`` with ``scatter="student_logits"`` reproduces the first
    two, the others are not reproduced.

    Raises:
        ValueError: If there are more classes than instances.
    """

    view_names: tuple[str, ...] = ("source", "target")
    compares_embeddings = True
    calibrates = True
    features: Tensor
    labels: Tensor
    filled: Tensor
    ages: Tensor
    counts: Tensor

    def __init__(
        self, settings: InstanceBankSettings, pace: Pace, *, classes: int, channels: int, seed: int = 0
    ) -> None:
        super().__init__()
        size = settings.size
        if size < classes:
            raise ValueError(
                f"a bank of {size} instances cannot hold {classes} classes: take at least as many"
            )
        self.settings, self.pace, self.classes, self.seed = settings, pace, classes, seed
        self.register_buffer("features", torch.zeros(size, channels))
        self.register_buffer("labels", torch.zeros(size, dtype=torch.int64))
        self.register_buffer("filled", torch.zeros(size, dtype=torch.bool))
        self.register_buffer("ages", torch.zeros(size, dtype=torch.int64))
        self.register_buffer("counts", torch.zeros(classes, dtype=torch.float64))
        self._full: bool | None = None

    def forward(self, network: nn.Module, view: View, output: Output) -> dict[str, Tensor]:
        """Update the bank by a source view; compare the two views of the target once the bank is ready."""
        if view.name == "source":
            self._remember(output.embedding.detach(), cast(Tensor, view.label))
            return {}
        if not self._is_ready() or self.settings.share == 0:
            return {}
        return {"instance": self.settings.share * self._loss(view, output)}

    @torch.no_grad()
    def after_step(self, batch: Batch, step: int) -> None:
        """Forget whether the bank is full, if that may have changed."""
        may_have_filled = not self._is_full() and step >= self.pace.warmup
        # Asking waits for the device: in every step only while the loss waits for a full bank, and seldom afterwards.
        if may_have_filled and (not self._is_ready() or step % self.pace.interval == 0):
            self._full = None

    @torch.no_grad()
    def calibrated(self, taught: Output, label: Int64[Tensor, "b h w"]) -> Int64[Tensor, "b h w"]:
        """The pseudo-label, corrected by instances; unchanged if beta is 1 or the bank is not ready yet."""
        if self.settings.beta == 1 or not self._is_ready():
            return label
        grid = (taught.embedding.shape[-2], taught.embedding.shape[-1])
        probability = _pixels(resize(taught.logits.float(), grid)).softmax(dim=1)
        parts: list[Tensor] = []
        for embedding, own in zip(
            _pixels(taught.embedding).split(PIXELS_AT_ONCE), probability.split(PIXELS_AT_ONCE), strict=True
        ):
            gathered = instances.gathered(self._taught_similarity(embedding), self.labels, self.classes)
            parts.append(self.settings.beta * own + (1 - self.settings.beta) * gathered)
        mixed = torch.cat(parts).view(len(label), *grid, self.classes).permute(0, 3, 1, 2)
        return resize(mixed, (label.shape[-2], label.shape[-1])).max(dim=1).indices

    def _log_similarity(self, embedding: Float[Tensor, "n d"]) -> Float[Tensor, "n k"]:
        return instances.log_similarity(
            embedding,
            self.features,
            kind=self.settings.similarity,
            temperature=self.settings.temperature or SOFT,
            there=None if self._is_full() else self.filled,
        )

    def _taught_similarity(self, embedding: Float[Tensor, "n d"]) -> Float[Tensor, "n k"]:
        """The teacher's distribution over instances."""
        similarity = self._log_similarity(embedding).exp()
        return similarity if self.settings.temperature else instances.nearest_only(similarity)

    def _loss(self, view: View, output: Output) -> Tensor:
        assert view.teacher is not None
        grid = (output.embedding.shape[-2], output.embedding.shape[-1])
        strong = _pixels(output.embedding)
        weak = _pixels(resize(view.teacher.embedding, grid))
        with torch.no_grad():
            probability = _pixels(resize(view.teacher.logits.float(), grid)).softmax(dim=1)
            score = probability
            if self.settings.scatter == "student_logits":
                score = _pixels(resize(output.logits.detach().float(), grid))
            counted = self._counted(view, probability, grid)
            weight = counted.float()
            if self.settings.region == "trusted" and view.weight is not None:
                weight = weight * resize_nearest(view.weight[:, None], grid).flatten()
        total = strong.new_zeros((), dtype=torch.float32)
        for at in range(0, len(strong), PIXELS_AT_ONCE):
            part = slice(at, at + PIXELS_AT_ONCE)
            # Recomputed in the backward pass, so that no tensor of pixels times instances is kept.
            total = total + cast(
                Tensor,
                checkpoint(
                    self._part, strong[part], weak[part], score[part], weight[part], use_reentrant=False
                ),
            )
        return total / mean_over_ranks(counted.sum().float()).clamp(min=LEAST)

    def _part(self, strong: Tensor, weak: Tensor, score: Tensor, weight: Tensor) -> Tensor:
        """The loss of some pixels: the student's distribution over instances against the teacher's."""
        with torch.no_grad():
            target = self._taught_similarity(weak)
            if self.settings.scatter != "off":
                target = instances.scattered(target, score, self.labels)
        return instances.instance_loss(target, self._log_similarity(strong), weight)

    def _counted(self, view: View, probability: Tensor, grid: tuple[int, int]) -> Bool[Tensor, " n"]:
        counted = torch.ones(len(probability), dtype=torch.bool, device=probability.device)
        if self.settings.region == "all":
            return counted
        if view.mix_mask is not None:
            pasted = resize_nearest(view.mix_mask[:, None].float(), grid)[:, 0].flatten() > 0
            counted &= ~pasted
        if self.settings.region == "confident":
            counted &= probability.max(dim=1).values >= 0.968
        return counted

    @torch.no_grad()
    def _remember(self, embedding: Float[Tensor, "b d h w"], label: Int64[Tensor, "b h w"]) -> None:
        """Fill or update the bank from the first process's first picture, so that all processes have the same bank."""
        step, full = self.step, self._is_full()
        grid = (embedding.shape[-2], embedding.shape[-1])
        seen = resize_nearest(label[:1, None].float(), grid)[0, 0].long()
        if step < self.pace.warmup:
            self._count(seen)
            return
        if self._is_ready() and self.settings.update != "frozen" and step % self.pace.interval == 0:
            self._follow(_pixels(embedding[:1]), seen)
        if not full:
            self._fill(_pixels(embedding[:1]), seen.flatten())

    def _count(self, label: Tensor) -> None:
        seen = counted(label.clamp(max=self.classes), self.classes + 1)[: self.classes]
        self.counts += from_first_rank(seen.double())

    def _fill(self, pixels: Tensor, label: Tensor) -> None:
        has_rows = self.ages.any()
        before = self.counts.clone()
        self._count(label)  # without a warm-up nothing was counted before
        self.counts.copy_(torch.where(has_rows, before, self.counts))
        begins = ~has_rows & self.counts.any()
        ages = torch.arange(1, self.settings.size + 1, device=label.device)
        self.labels.copy_(torch.where(begins, quotas(self.counts, self.settings.size), self.labels))
        self.ages.copy_(torch.where(begins, ages, self.ages))
        place, is_drawn = instances.distinct_pixels(
            label,
            self.labels,
            ~self.filled & (has_rows | begins),
            self.classes,
            most=FROM_ONE_PICTURE,
            generator=self._dice(label),
        )
        rows, new = from_first_rank(pixels[place].float()), from_first_rank(is_drawn.float()) > 0
        self.features.copy_(torch.where(new[:, None], rows, self.features))
        self.filled |= new

    def _follow(self, pixels: Tensor, label: Int64[Tensor, "h w"]) -> None:
        flat = label.flatten()
        if self.settings.update == "fifo":
            self._replace_oldest(pixels, flat)
            return
        means, present = instances.class_means(pixels, flat, self.classes)
        if self.settings.update != "ema":
            every = torch.arange(self.classes, device=flat.device)
            edge = torch.where(instances.boundary(label).flatten(), flat, torch.full_like(flat, self.classes))
            place, has_edge = instances.draw_pixels(edge, every, self.classes, self._dice(edge))
            on_edge = pixels[place].float()
            if self.settings.update == "ema_boundary_center":
                on_edge = (on_edge + means) / 2
            means = torch.where(has_edge[:, None], on_edge, means)
        means, present = from_first_rank(means), from_first_rank(present.float()) > 0
        moved = torch.lerp(means[self.labels], self.features, self.pace.momentum)
        moves = present[self.labels] & self.filled
        self.features.copy_(torch.where(moves[:, None], moved, self.features))

    def _replace_oldest(self, pixels: Tensor, label: Tensor) -> None:
        """Replace the oldest instance of a few of the classes that are present."""
        every = torch.arange(self.classes, device=label.device)
        dice = self._dice(label)
        place, present = instances.draw_pixels(label, every, self.classes, dice)
        rows, present = from_first_rank(pixels[place].float()), from_first_rank(present.float()) > 0
        # Absent classes sort last, as random keys are below 1; the double argsort gives each class its rank.
        keys = torch.where(present, torch.rand(self.classes, device=label.device, generator=dice), 2.0)
        chosen = present & (from_first_rank(keys).argsort().argsort() < INSERTS)
        oldest = torch.full((self.classes,), torch.iinfo(torch.int64).max, device=label.device)
        oldest.scatter_reduce_(0, self.labels, self.ages, "amin")
        replaced = chosen[self.labels] & (self.ages == oldest[self.labels]) & self.filled
        self.features.copy_(torch.where(replaced[:, None], rows[self.labels], self.features))
        self.ages.copy_(torch.where(replaced, self.ages.max() + 1 + self.labels, self.ages))

    def _dice(self, like: Tensor) -> torch.Generator:
        """Random numbers of this step's own, so that a bank draws none from torch and changes nobody else's."""
        return torch.Generator(like.device).manual_seed(1_000_003 * self.seed + self.step)

    def _is_full(self) -> bool:
        """Whether the bank is full; the answer is kept, as asking the device means waiting for it."""
        if self._full is None:
            self._full = bool(self.filled.all())
        return self._full

    def _is_ready(self) -> bool:
        return self._is_full() or self.step >= self.pace.warmup + self.pace.patience


def quotas(counts: Float[Tensor, " c"], size: int) -> Int64[Tensor, " k"]:
    """The class of each row, rarest first: as many rows for each class seen, and the remainder for the rarest ones.

    ``counts`` holds the pixels of each class; where no class has any, the rows mean nothing.
    """
    order = torch.where(counts > 0, counts, torch.inf).argsort()
    present = (counts > 0).sum().clamp(min=1)
    each = size // present
    place = torch.arange(len(counts), device=counts.device)
    rows = (each + (place < size - each * present)) * (place < present)
    return order[torch.searchsorted(rows.cumsum(0), torch.arange(size, device=counts.device), right=True)]


def _pixels(maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "n c"]:
    return maps.permute(0, 2, 3, 1).flatten(0, 2)
