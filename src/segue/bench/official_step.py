"""The training step of DAFormer, HRDA and MIC in the official order of operations: what ours is timed against.

Two backward passes for the source, a full softmax for the pseudo-label, pictures mixed and changed one by one, a
one-hot label for the feature distance, an average and an optimiser that go from parameter to parameter, accuracies and
numbers for the log in every pass. Random numbers are drawn as ours are, so that both see the same pictures; the average
follows at the step's end instead of the next one's beginning.
"""

from typing import cast

import kornia
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segue.bench.official_networks import plain
from segue.bench.stopwatch import Stopwatch
from segue.methods.masking import MaskedConsistency
from segue.methods.mixing import StrongAugment
from segue.methods.self_training import SelfTraining
from segue.methods.teachers.average import EmaTeacher
from segue.methods.terms.feature_distance import FeatureDistance
from segue.models.segmenter import Segmenter
from segue.ops import augment, mixing
from segue.ops.masking import keep_mask
from segue.ops.resize import resize
from segue.types import IGNORE, Batch


class OfficialStep:
    """One update after the other, of copies of a method's networks.

    Args:
        method: DAFormer, HRDA or MIC before its first update, whose settings are followed; its student is also the
            reference.
        lr: AdamW's; heads learn ten times as fast. None leaves the parameters as they are.
    """

    def __init__(self, method: SelfTraining, *, lr: float | None = 6e-5) -> None:
        self.method = method
        self.student = plain(cast(Segmenter, method.student))
        teacher = cast(EmaTeacher, method.teacher)
        self.momentum = teacher.settings.momentum
        self.teacher = plain(cast(Segmenter, teacher.network))
        self.distance = cast(FeatureDistance, method.terms["distance"])
        self.reference = plain(cast(Segmenter, method.student)).eval()
        self.optimizer = None if lr is None else _adamw(self.student.network, lr)

    def __call__(self, batch: Batch, step: int, watch: Stopwatch) -> dict[str, float]:
        """The losses of one update, by our names; the time of each phase is added to the watch."""
        assert batch.target is not None
        image, label = batch.source.image, batch.source.label
        losses = self._source(image, label, watch)
        with watch.measure("teacher"):
            pseudo, weight = self._labelled(batch.target.image)
        with watch.measure("mixing"):
            mixed = self._mixed(image, label, batch.target.image, pseudo, weight)
        losses["target/segmentation"] = self._pass(*mixed, watch)[0]
        if self.method.mask is not None:
            with watch.measure("mixing"):
                hidden = self._partly_hidden(batch.target.image)
            losses["masked/segmentation"] = self._pass(hidden, pseudo, weight, watch)[0]
        with watch.measure("update"):
            self._update(step)
        return losses

    def _source(self, image: Tensor, label: Tensor, watch: Stopwatch) -> dict[str, float]:
        """The supervised pass, and a second backward through the encoder for the feature distance."""
        loss, features = self._pass(image, label, None, watch, keep=True)
        with watch.measure("distance"):
            with torch.no_grad():
                reference = self.reference.compared(image)
            coarsest = features[3]
            small = _shrunk_by_one_hot(label, self.distance, coarsest.shape[-1])
            counted = (small[..., None] == self.distance.wanted.nonzero().flatten()).any(-1)
            apart = torch.linalg.vector_norm(coarsest - reference, dim=1)[counted]
            distance = self.distance.settings.share * apart.mean()
            distance.backward()
        return {"source/segmentation": loss, "source/feature_distance": distance.item()}

    def _pass(
        self, image: Tensor, label: Tensor, weight: Tensor | None, watch: Stopwatch, *, keep: bool = False
    ) -> tuple[float, list[Tensor]]:
        supervised, features = self.student.trained(image, watch)
        terms: list[Tensor] = []
        accuracies: list[Tensor] = []
        for one in supervised:
            wanted, trusted = label, weight
            if one.window is not None:
                wanted = label[(..., *one.window)]
                trusted = None if weight is None else weight[(..., *one.window)]
            logits = resize(one.logits, (wanted.shape[-2], wanted.shape[-1]))
            loss = F.cross_entropy(logits, wanted, ignore_index=IGNORE, reduction="none")
            terms.append(one.share * (loss.mean() if trusted is None else (loss * trusted).mean()))
            accuracies.append((logits.topk(1, dim=1).indices[:, 0] == wanted).float().mean())
        total = torch.stack(terms).sum()
        watch.backward(total, features, keep=keep)
        for accuracy in accuracies:
            accuracy.item()
        return total.item(), features

    @torch.no_grad()
    def _labelled(self, image: Tensor) -> tuple[Tensor, Tensor]:
        logits = resize(self.teacher(image), (image.shape[-2], image.shape[-1]))
        confidence, label = logits.softmax(dim=1).max(dim=1)
        threshold = self.method.settings.threshold
        assert threshold is not None
        share = ((confidence >= threshold).long() == 1).sum().item() / label.numel()
        return label, share * torch.ones_like(confidence)

    @torch.no_grad()
    def _mixed(
        self, image: Tensor, label: Tensor, target: Tensor, pseudo: Tensor, weight: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Classes pasted and colours changed, one picture after the other."""
        chosen = mixing.draw_classes(label, "batch")
        change = _Change(cast(StrongAugment, self.method.augment), image)
        pictures: list[Tensor] = []
        labels: list[Tensor] = []
        weights: list[Tensor] = []
        for number in range(len(image)):
            mask = _mask(label, number, chosen[number])
            pictures.append(change(_pasted(mask, image[number], target[number])[None], number))
            labels.append(_pasted(mask, label[number], pseudo[number]))
            weights.append(_pasted(mask, torch.ones_like(weight[number]), weight[number]))
        return torch.cat(pictures), torch.stack(labels), torch.stack(weights)

    @torch.no_grad()
    def _partly_hidden(self, target: Tensor) -> Tensor:
        """MIC's view: colours changed once more, and blocks hidden."""
        settings = cast(MaskedConsistency, self.method.mask).settings
        change = _Change(cast(StrongAugment, self.method.augment), target)
        image = torch.cat([change(target[number, None], number) for number in range(len(target))])
        count, _, height, width = image.shape
        visible = keep_mask(
            (count, height, width), settings.block * height, settings.ratio, device=image.device
        )
        return image * visible[:, None]

    @torch.no_grad()
    def _update(self, step: int) -> None:
        if self.optimizer is None:
            return
        self.optimizer.step()
        self.optimizer.zero_grad()
        momentum = min(1 - 1 / (step + 2), self.momentum)
        for own, other in zip(
            self.teacher.network.parameters(), self.student.network.parameters(), strict=True
        ):
            own[...] = momentum * own + (1 - momentum) * other


class _Change:
    """The strong augmentation of one picture at a time, with random numbers drawn for the batch."""

    def __init__(self, ours: StrongAugment, images: Tensor) -> None:
        torch.rand(
            2
        )  # here ours draws whether to change colours; in the benchmark both changes always happen
        self.ours = ours
        self.factors = augment.draw_jitter(len(images), ours.settings.strength, device=images.device)
        self.order = tuple(torch.randperm(4).tolist())
        low, high = ours.settings.sigma
        self.sigma = low + (high - low) * torch.rand(len(images), device=images.device)
        self.kernel = cast(
            tuple[int, int], tuple(augment.blur_kernel_side(side) for side in images.shape[-2:])
        )

    def __call__(self, image: Tensor, number: int) -> Tensor:
        mean, std = self.ours.mean.to(image.device), self.ours.std.to(image.device)
        picture = augment.denormalise(image, mean, std).clamp(0.0, 1.0)
        picture = augment.jitter(picture, self.factors[number, None], self.order)
        sigma = self.sigma[number, None, None].expand(1, 2)
        return augment.normalise(kornia.filters.gaussian_blur2d(picture, self.kernel, sigma), mean, std)


def _mask(labels: Tensor, number: int, chosen: Tensor) -> Tensor:
    """Where a picture shows one of the chosen classes; classes are listed anew from the whole batch each time."""
    present = labels.unique()
    classes = present[chosen[present]]
    return (labels[number] == classes[:, None, None]).sum(0)


def _pasted(mask: Tensor, source: Tensor, target: Tensor) -> Tensor:
    return mask * source + (1 - mask) * target


def _shrunk_by_one_hot(label: Tensor, distance: FeatureDistance, width: int) -> Tensor:
    side, classes = label.shape[-1] // width, distance.num_classes
    one_hot = F.one_hot(label.clamp(max=classes), classes + 1).permute(0, 3, 1, 2).float()
    share, winner = F.avg_pool2d(one_hot, side).max(dim=1)
    return winner.masked_fill((winner == classes) | (share < distance.settings.min_share), IGNORE)


def _adamw(network: nn.Module, lr: float) -> torch.optim.AdamW:
    """One group per parameter, as in the official code; rates and decay are those of our groups."""
    norms = {id(p) for m in network.modules() if isinstance(m, nn.LayerNorm) for p in m.parameters()}
    groups = [
        {
            "params": [parameter],
            "lr": lr * (10.0 if "head" in name else 1.0),
            "weight_decay": 0.0 if id(parameter) in norms else 0.01,
        }
        for name, parameter in network.named_parameters()
    ]
    return torch.optim.AdamW(groups, betas=(0.9, 0.999), foreach=False)
