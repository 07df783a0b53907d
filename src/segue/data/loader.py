"""Endless batches of both domains, each a pure function of seed, step, rank and slot."""

import atexit
import os
import signal
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.utils.data import DataLoader, default_collate
from torch.utils.data import Dataset as TorchDataset

from segue.data.dataset import Dataset
from segue.data.deck import Deck
from segue.data.sampler import Sampler, UniformSampler, seeded
from segue.machine import cores
from segue.types import Batch, Sample, Source, Target

OfflineLabel = Callable[[str], Tensor]
"""``name -> label (h, w) uint8``: the pseudo-label that an earlier stage made for a target picture; for soft ones
these are probabilities (h, w, k) as bytes, 255 for 1."""


@runtime_checkable
class Transform(Protocol):
    """Cuts a random piece, always of the same size, from a picture; RandomCrop is one."""

    def __call__(self, sample: Sample, generator: torch.Generator, *, wanted: int | None = None) -> Sample:
        """A piece of the picture, if possible with the wanted class, and with its valid area."""
        ...


class Half(NamedTuple):
    """One domain's part of a batch on its way from a worker: 0 to 255, channels last, on the CPU."""

    image: UInt8[Tensor, "b h w 3"]
    label: UInt8[Tensor, "b h w"] | None
    valid: Bool[Tensor, "b h w"] | None
    soft: UInt8[Tensor, "b h w k"] | None
    names: list[str]
    depth: Float[Tensor, "b h w"] | None = None


@dataclass
class Domain:
    """One domain: its pictures, which of them come, and how they are cut.

    Attributes:
        label: The label of a picture by its index; None for an unlabelled domain.
        name: The domain's random numbers follow from it, so that they are independent of the other domain's.
        soft: The probabilities of a picture's classes by its index.
        least: A box that pictures still fit when they are decoded at less than their size; None for their own size.
        depth: How near things are in a picture, by its index.
    """

    dataset: Dataset
    transform: Transform
    sampler: Sampler
    label: Callable[[int], Tensor] | None
    name: str
    soft: Callable[[int], Tensor] | None = None
    least: tuple[int, int] | None = None
    depth: Callable[[int], Tensor] | None = None

    def image(self, index: int) -> tuple[Tensor, tuple[int, int] | None]:
        """A picture, and its full rows and columns if it may be smaller."""
        if self.least is None:
            return self.dataset.image(index), None
        return self.dataset.reduced(index, self.least)


@dataclass
class Failure:
    """What went wrong while a batch was read; a value, as a worker process would wrap an exception in its own text."""

    is_system: bool
    message: str


class Steps(TorchDataset["tuple[Half, Half | None] | Failure"]):
    """The batches of all steps, by step.

    Args:
        slots: The slots of this rank's share, numbered over all ranks.
        deck: Deals the slots to the domains; None gives every domain all of them.
        together: Slots of a step over all ranks.
    """

    def __init__(
        self, domains: list[Domain], *, seed: int, slots: range, deck: Deck | None, together: int
    ) -> None:
        self.domains = domains
        self.seed = seed
        self.slots = slots
        self.deck = deck
        self.together = together

    def __getitem__(self, step: int) -> "tuple[Half, Half | None] | Failure":
        """Read one step's batch; a bad file becomes a Failure."""
        try:
            samples = self._samples(step)
        except (ValueError, OSError) as error:
            return Failure(not isinstance(error, ValueError), " ".join(str(error).split()))
        some = next(sample for half in samples for sample in half)
        halves = [_half(half, some.image, masked=place > 0) for place, half in enumerate(samples)]
        return halves[0], halves[1] if len(halves) > 1 else None

    def _samples(self, step: int) -> list[list[Sample]]:
        if self.deck is None:
            return [[self._sample(domain, step, slot) for slot in self.slots] for domain in self.domains]
        samples: list[list[Sample]] = [[] for _ in self.domains]
        first = step * self.together
        dealt = self.deck.deal(range(first + self.slots.start, first + self.slots.stop))
        for slot, (domain, picture) in zip(self.slots, dealt, strict=True):
            samples[domain].append(self._sample(self.domains[domain], step, slot, picture))
        return samples

    def _sample(self, domain: Domain, step: int, slot: int, picture: int | None = None) -> Sample:
        generator = slot_generator(self.seed, domain.name, step, slot)
        index, wanted = domain.sampler.draw(generator) if picture is None else (picture, None)
        label = None if domain.label is None else domain.label(index)
        soft = None if domain.soft is None else domain.soft(index)
        image, size = domain.image(index)
        depth = None if domain.depth is None else domain.depth(index)
        whole = Sample(image, label, None, domain.dataset.name(index), soft, size, depth)
        return domain.transform(whole, generator, wanted=wanted)


def _half(samples: list[Sample], like: Tensor, *, masked: bool) -> Half:
    """The samples of one domain; one that was dealt none of the slots has tensors of zero pictures.

    Args:
        masked: Whether the valid area is wanted.
    """
    if not samples:
        empty = torch.empty(0, *like.shape[1:], dtype=torch.uint8)
        return Half(empty[..., None].expand(-1, -1, -1, 3), empty, empty.bool(), None, [])
    image = _stacked([sample.image.permute(1, 2, 0) for sample in samples])
    assert image is not None
    return Half(
        image,
        _stacked([sample.label for sample in samples]),
        _stacked([sample.valid for sample in samples]) if masked else None,
        _stacked([sample.soft for sample in samples]),
        [sample.name for sample in samples],
        _stacked([sample.depth for sample in samples]),
    )


def _stacked(parts: Sequence[Tensor | None]) -> Tensor | None:
    """One tensor, which a worker makes where the main process will read it; None if nothing is there."""
    given = [part for part in parts if part is not None]
    return default_collate(given) if given else None


class Loader:
    """Batches of a labelled source and an unlabelled target, endless and stateless.

    The batch of a step depends only on the seed, the step and this rank's slots. So resuming means to start
    at a later step, the number of worker processes changes nothing, and two ranks with a batch of two see
    together what one with a batch of four sees. A target label is never read.

    Args:
        source_sampler: Uniform if None. Target pictures are always drawn uniformly.
        batch: Pictures of each domain per step and rank.
        mean: What normalisation subtracts from red, green, blue, in 0 to 255.
        std: What normalisation divides by.
        workers: Processes that read ahead; 0 reads in this one.
        rank: This process among those that train together.
        world: How many train together.
        offline: Pseudo-labels of target pictures by name, from an earlier stage.
        soft: Their probabilities, if these are to be learnt.
        deck: Deals ``batch`` pictures a step and rank to the two domains, in place of the samplers; None reads as
            many of each.
        least: For source and target, see :class:`Domain`.
        depth: Whether how near things are is read, too.

    Raises:
        ValueError: If the batch is empty, the rank is outside the world, or a data set is empty.
    """

    def __init__(
        self,
        source: Dataset,
        target: Dataset | None,
        *,
        source_transform: Transform,
        target_transform: Transform | None = None,
        source_sampler: Sampler | None = None,
        batch: int,
        seed: int,
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
        device: torch.device | str = "cpu",
        workers: int = 0,
        rank: int = 0,
        world: int = 1,
        offline: OfflineLabel | None = None,
        soft: OfflineLabel | None = None,
        deck: Deck | None = None,
        least: tuple[tuple[int, int] | None, tuple[int, int] | None] = (None, None),
        depth: bool = False,
    ) -> None:
        if batch < 1 or workers < 0 or not 0 <= rank < world:
            raise ValueError(
                f"batch {batch}, workers {workers}, rank {rank} of {world}: a batch holds at least one"
                " picture, workers are not negative, ranks count from 0"
            )
        sampler = source_sampler or UniformSampler(len(source))
        domains = [Domain(source, source_transform, sampler, source.label, "source", least=least[0])]
        if target is not None:
            label, probability = (by and OfflineByIndex(target, by) for by in (offline, soft))
            transform = target_transform or source_transform
            domains.append(
                Domain(target, transform, UniformSampler(len(target)), label, "target", probability, least[1])
            )
        for domain in domains:
            domain.depth = domain.dataset.depth if depth else None
        slots = range(rank * batch, (rank + 1) * batch)
        self.batches = Steps(domains, seed=seed, slots=slots, deck=deck, together=batch * world)
        self.device = torch.device(device)
        self.workers = workers
        self.mean = torch.tensor(mean, device=self.device)
        self.std = torch.tensor(std, device=self.device)

    def steps(self, start: int, stop: int) -> Generator[Batch]:
        """The batches of steps ``start`` to ``stop - 1``, normalised, on the device; workers end with the iterator.

        Raises:
            ValueError: If a file holds what it must not; the message of whoever read it.
            OSError: If a file cannot be read, or a worker process died.
        """
        with closing(self._read(range(start, stop))) as items:
            for item in items:
                if isinstance(item, Failure) and item.is_system:
                    raise OSError(item.message)
                if isinstance(item, Failure):
                    raise ValueError(item.message)
                yield self._batch(*item)

    def _read(self, steps: range) -> "Generator[tuple[Half, Half | None] | Failure]":
        read = iter(self._reader(steps))
        try:
            yield from read
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            raise OSError(
                "a process that reads pictures died, most often for want of (shared) memory:"
                " set workers to 0, or give the machine or container more of it"
            ) from error
        finally:
            # There is no public way to end it, and its destructor would wait for whoever holds an error's frames.
            stop: Callable[[], None] = getattr(read, "_shutdown_workers", lambda: None)
            stop()

    def _reader(self, steps: range) -> DataLoader:
        workers = min(self.workers, len(steps), cores())  # more would slow one another down
        return DataLoader(
            self.batches,
            sampler=steps,
            batch_size=None,
            num_workers=workers,
            prefetch_factor=2 if workers else None,
            worker_init_fn=_prepare_worker,
            generator=torch.Generator(),
            pin_memory=self.device.type == "cuda",
        )

    def _batch(self, source: Half, target: Half | None) -> Batch:
        assert source.label is not None, "source pictures are read with their labels"
        image, label, depth = self._normalised(source.image), self._label(source.label), self._depth(source)
        labelled = Source(image, label, source.names, depth)
        if target is None:
            return Batch(labelled, None)
        offline = None if target.label is None else self._label(target.label)
        assert target.valid is not None, "target pictures are read with their valid area"
        valid = target.valid.to(self.device, non_blocking=True)
        soft = None if target.soft is None else self._probability(target.soft)
        image, depth = self._normalised(target.image), self._depth(target)
        return Batch(labelled, Target(image, valid, offline, target.names, soft, depth))

    def _label(self, label: UInt8[Tensor, "b h w"]) -> Tensor:
        return label.to(self.device, non_blocking=True).long()

    def _depth(self, half: Half) -> Tensor | None:
        return None if half.depth is None else half.depth.to(self.device, non_blocking=True)

    def _probability(self, soft: UInt8[Tensor, "b h w k"]) -> Float[Tensor, "b k h w"]:
        """Bytes as probabilities that sum to one again; zero in the padding, which has no label."""
        levels = soft.to(self.device, non_blocking=True).permute(0, 3, 1, 2).float()
        return levels / levels.sum(1, keepdim=True).clamp(min=1)

    def _normalised(self, image: UInt8[Tensor, "b h w 3"]) -> Float[Tensor, "b 3 h w"]:
        """Normalise on the device, so that bytes travel; channels stay last in memory, which convolutions prefer."""
        width = image.shape[2]
        # Row by row, as three channels alone are too few to be subtracted and divided fast.
        rows = image.to(self.device, non_blocking=True).flatten(2).float()
        rows = rows.sub_(self.mean.repeat(width)).div_(self.std.repeat(width))
        return rows.unflatten(2, (width, 3)).permute(0, 3, 1, 2)


@dataclass
class OfflineByIndex:
    """Pseudo-labels kept by name, looked up by a picture's index."""

    dataset: Dataset
    by_name: OfflineLabel

    def __call__(self, index: int) -> Tensor:
        """The pseudo-label of a picture."""
        return self.by_name(self.dataset.name(index))


def slot_generator(seed: int, domain: str, step: int, slot: int) -> torch.Generator:
    """The random numbers of one picture of one step, independent of any other's."""
    return seeded(f"{seed}/{domain}/{step}/{slot}")


def _prepare_worker(_: int) -> None:
    torch.set_num_threads(1)
    # Ctrl-C reaches every process of a terminal: only the main one is to react, and it stops its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Schedulers send SIGTERM to every process, too; the main one needs its workers until its step is done.
    signal.signal(signal.SIGTERM, _end_later)
    sys.excepthook = _unless_left
    # A worker that was spawned would tear its interpreter down while the thread that sends batches may still be inside
    # of torch, which aborts the process ("terminate called without an active exception"), and the run with it.
    atexit.register(os._exit, 0)


def _end_later(number: int, frame: FrameType | None) -> None:
    if hasattr(signal, "alarm"):
        signal.alarm(25)  # unless the main process has ended this one by then
    else:
        sys.exit(128 + number)


def _unless_left(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Report an uncaught error, unless it says that the main process went away while a batch was on its way."""
    if not issubclass(kind, ConnectionError | EOFError):
        sys.__excepthook__(kind, error, trace)
