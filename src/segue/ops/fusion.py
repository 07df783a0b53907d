"""Several label maps fused into one: by majority, by average, or for each class from the member believed for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from segue.fusion_rules import Conflict, Unclaimed
from segue.ops.bytes import look_up
from segue.types import IGNORE


@dataclass(frozen=True)
class Fused:
    """What a fusion made.

    Attributes:
        label: Class ids, IGNORE where nobody is believed.
        claims: How many classes claim each pixel.
    """

    label: UInt8[Tensor, "b h w"]
    claims: UInt8[Tensor, "b h w"]


def majority(labels: UInt8[Tensor, "t b h w"]) -> UInt8[Tensor, "b h w"]:
    """The class that most members name, the lowest of several; IGNORE where all members abstain with IGNORE.

    Source: ensemble distillation, pixel-wise fusion of unified outputs.
    """
    # There are few members: comparing them with one another is cheaper than counting every class.
    votes = torch.stack([(labels == one).sum(0, dtype=torch.uint8) for one in labels])
    votes.masked_fill_(labels == IGNORE, 0)
    most = votes.amax(0)
    winners = labels.masked_fill(votes < most, IGNORE).amin(0)
    return winners.masked_fill(most == 0, IGNORE)


def distinct(labels: UInt8[Tensor, "t b h w"]) -> UInt8[Tensor, "b h w"]:
    """How many different classes the members name at each pixel; a pixel with more than one is disputed."""
    named = labels != IGNORE
    for place in range(1, len(labels)):
        named[place] &= (labels[:place] != labels[place]).all(0)
    return named.sum(0, dtype=torch.uint8)


def average(probability: Float[Tensor, "t b k h w"]) -> tuple[UInt8[Tensor, "b h w"], Float[Tensor, "b h w"]]:
    """The class whose mean probability is highest, and that mean: the ensemble that needs no unification."""
    certainty, label = probability.float().mean(0).max(1)
    return label.to(torch.uint8), certainty


def claims_of(labels: UInt8[Tensor, "t b h w"], policy: Sequence[int]) -> UInt8[Tensor, "t b h w"]:
    """Each member's label where the policy (a member for each class) believes it, IGNORE elsewhere."""
    tables = torch.full((len(labels), 256), IGNORE, dtype=torch.uint8)
    for name, member in enumerate(policy):
        tables[member, name] = name
    return torch.stack([look_up(one, table) for table, one in zip(tables, labels, strict=True)])


def channel_wise(
    labels: UInt8[Tensor, "t b h w"],
    policy: Sequence[int],
    *,
    conflict: Conflict = "neighbourhood",
    unclaimed: Unclaimed = "neighbourhood",
    window: int = 5,
    order: Sequence[int] | None = None,
    certainty: Float[Tensor, "k b h w"] | None = None,
    threshold: float = 0.0,
) -> Fused:
    """Fuse labels class by class from the member that the policy believes.

    A pixel is claimed for a class by the member that is believed for it. A single claim is accepted; ``conflict``
    says how competing claims are resolved, ``unclaimed`` what becomes of a pixel without a claim.

    Source: ensemble distillation, section 3.2, with kappa = 5.

    Note:
        The official code gives an unclaimed pixel without a claim in its window class 0, and counts the zeros
        around a picture in the certainty of disputed pixels; here such a pixel is ignored, and means are over
        the picture alone. By "order" a claim below the threshold does not count, so that the next one wins, as in
        the pre-release of that code.

    Args:
        labels: Each member's, unified: only the winning class counts. IGNORE abstains.
        policy: For every class, the member that is believed.
        conflict: How to resolve competing claims: the class claimed most often in the "neighbourhood", the one of
            highest "certainty", the first one in an "order", or none ("ignore").
        unclaimed: The class of a pixel without a claim: the class claimed most often in the "neighbourhood", the
            "majority" of all members, or none ("ignore").
        window: Side of the neighbourhood in pixels, odd.
        order: Classes by precedence, the first one wins; None for the order of their numbers.
        certainty: For each class, the probability that the believed member gives it, in [0, 1].
        threshold: Certainty below which a label is dropped; 0 keeps all. It is the class's mean in the window
            where the neighbourhood decided, and that at the pixel itself elsewhere.

    Raises:
        ValueError: If the window is even, or certainty is needed and not given.
    """
    _check(conflict, window, certainty, threshold)
    votes = "neighbourhood" in (conflict, unclaimed)
    tally = count_claims(labels, policy, window=window if votes else None)
    label, count = tally.label, tally.count
    disputed, nobody = (count >> 1).clamp_(max=1), _equal(count, 0)
    match conflict:
        case "neighbourhood":
            label = _choose(disputed, cast(Tensor, tally.voted), label)
        case "ignore":
            label = label | disputed * IGNORE
        case "certainty":
            at = disputed.bool()
            label[at] = _most_certain(claims_of(labels, policy)[:, at], cast(Tensor, certainty)[:, at])
        case "order":
            at = disputed.bool()
            claims = claims_of(labels, policy)[:, at]
            if threshold > 0:
                claims[_certainty_of(claims, cast(Tensor, certainty)[:, at]) < threshold] = IGNORE
            label[at] = _first(claims, order or range(len(policy)))
    match unclaimed:
        case "neighbourhood":
            label = _choose(nobody, cast(Tensor, tally.voted), label)
        case "majority":
            label = _choose(nobody, majority(labels), label)
        case "ignore":
            pass
    if threshold > 0:
        voted = disputed * (conflict == "neighbourhood") + nobody * (unclaimed == "neighbourhood")
        label[_sureness(label, cast(Tensor, certainty), voted.bool(), window) < threshold] = IGNORE
    return Fused(label, count)


@dataclass(frozen=True)
class Tally:
    """The claims on every pixel, counted.

    Attributes:
        label: The class of a pixel that is claimed once, IGNORE where there is no claim.
        count: The number of claims.
        voted: The class claimed most often around every pixel, the lowest of several, IGNORE without any claim; None
            if no window was given.
    """

    label: UInt8[Tensor, "b h w"]
    count: UInt8[Tensor, "b h w"]
    voted: UInt8[Tensor, "b h w"] | None


def count_claims(labels: UInt8[Tensor, "t b h w"], policy: Sequence[int], *, window: int | None) -> Tally:
    """Count who claims what, in one pass over the classes.

    Claims are bytes in one long row with a margin of abstentions around every picture, so that a window's sum is
    a few additions of shifted rows: for small windows several times faster than gathering or pooling.

    Args:
        policy: For every class, the member that is believed.
        window: Side of the neighbourhood, odd; None for no vote.
    """
    side = window or 1
    reach = side // 2
    wide = F.pad(labels, (reach, reach, reach, reach), value=IGNORE)
    rows, (height, width) = wide.flatten(1), wide.shape[-2:]
    sums = torch.uint8 if side**2 < 256 else torch.int32  # a window's votes have to fit
    label, count = (torch.zeros_like(rows[0]) for _ in range(2))
    corners = len(label) - (side - 1) * (width + 1)  # a window is indexed by its first cell
    most, voted = (torch.zeros(corners, dtype=kind, device=labels.device) for kind in (sums, torch.uint8))
    for name, member in enumerate(policy):
        claimed = _equal(rows[member], name)
        count += claimed
        label.add_(claimed, alpha=name)  # the sum of a single claim is that claim
        if window is not None:
            votes = _run_sum(_run_sum(claimed.to(sums), side, width), side, 1)
            # Class numbers rise, so a class with more votes than all before it also wins the maximum.
            torch.maximum(voted, (votes > most).view(torch.uint8) * name, out=voted)
            torch.maximum(most, votes, out=most)
    label |= _equal(count, 0) * IGNORE
    inner = (..., slice(reach, height - reach), slice(reach, width - reach))
    label, count = (one.view(-1, height, width)[inner].contiguous() for one in (label, count))
    if window is None:
        return Tally(label, count, None)
    voted |= (most == 0).view(torch.uint8) * IGNORE
    whole = F.pad(voted, (0, rows.shape[1] - corners)).view(-1, height, width)
    return Tally(label, count, whole[..., : label.shape[-2], : label.shape[-1]].contiguous())


def _equal(values: Tensor, byte: int) -> Tensor:
    """1 where a byte has a value, 0 elsewhere; as byte arithmetic, several times faster on a CPU than comparing."""
    return (values ^ byte).clamp_(max=1).bitwise_xor_(1)


def _choose(where: Tensor, one: Tensor, other: Tensor) -> Tensor:
    """``one`` where the bytes are 1, ``other`` where they are 0; wraps around in bytes, which still adds up."""
    return other + (one - other) * where


def _run_sum(row: Tensor, length: int, step: int) -> Tensor:
    """The sums of ``length`` cells that lie ``step`` apart, by their first cell, each from two sums half as long."""
    if length == 1:
        return row
    reach = length // 2 * step
    half = _run_sum(row, length // 2, step)
    total = half[:-reach] + half[reach:]
    last = row[(length - 1) * step :]
    return total[: len(last)] + last if length % 2 else total


def choose_members(certainty: Float[Tensor, "t k"]) -> list[int]:
    """The certainty-aware policy: for every class the member whose student is most certain of it.

    Source: ensemble distillation, section 3.3.

    Note:
        The follow-up's script takes the last of equally certain members, and the first one for a class that no
        student predicts; here it is the first, and the member with the highest mean certainty.

    Args:
        certainty: Of each member's student for each class; NaN for a class that it never predicts.
    """
    known = certainty.nan_to_num(nan=-1.0)
    best = int(certainty.nanmean(1).nan_to_num(nan=-1.0).max(0).indices)
    highest = known.max(0).values
    # The first of equal members; argmax does not guarantee that.
    first = (known == highest).int().cumsum(0).eq(0).sum(0)
    return [best if value < 0 else int(place) for value, place in zip(highest, first, strict=True)]


def _check(conflict: Conflict, window: int, certainty: Tensor | None, threshold: float) -> None:
    if window < 1 or window % 2 == 0:
        raise ValueError(f"window {window}: an odd number of pixels")
    if certainty is None and (threshold > 0 or conflict == "certainty"):
        raise ValueError(
            "a threshold and conflict 'certainty' need the members' probabilities: use checkpoints as members, or"
            " label with `segue label --soft`"
        )


def _most_certain(claims: Tensor, certainty: Tensor) -> Tensor:
    sure = _certainty_of(claims, certainty).masked_fill(claims == IGNORE, -1.0)
    return claims.gather(0, sure.max(0, keepdim=True).indices)[0]


def _first(claims: Tensor, order: Sequence[int]) -> Tensor:
    ranks = torch.full((256,), 256, dtype=torch.int64, device=claims.device)
    ranks[IGNORE] = 257  # no claim at all
    ranks[torch.tensor(list(order), device=claims.device)] = torch.arange(len(order), device=claims.device)
    return claims.gather(0, ranks[claims.long()].min(0, keepdim=True).indices)[0]


def _sureness(label: Tensor, certainty: Tensor, voted: Tensor, window: int) -> Tensor:
    """The certainty of each pixel's class: the window's mean where the neighbourhood voted, its own elsewhere."""
    own = _certainty_of(label[None], certainty)[0]
    if not bool(voted.any()):
        return own
    around = F.avg_pool2d(certainty.float(), window, stride=1, padding=window // 2, count_include_pad=False)
    return torch.where(voted, _certainty_of(label[None], around)[0], own)


def _certainty_of(labels: Tensor, certainty: Tensor) -> Tensor:
    """The certainty, given by class (K,...), of the class that each label (T,...) names; arbitrary for IGNORE."""
    return certainty.gather(0, labels.clamp(max=len(certainty) - 1).long())
