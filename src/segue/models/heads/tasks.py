"""CorDA's heads: classes and two depths, each predicted, and again once they have told one another what they know."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from segue.models.encoders.resnet import EXPANSION, Bottleneck
from segue.models.heads.context import PointwiseFusion
from segue.models.heads.deeplab import BRANCHES, dilated_classifiers, summed
from segue.models.heads.head import Head
from segue.models.layers import LevelEmbedding
from segue.models.settings import NetworkSettings
from segue.types import Depths

Task = Literal["classes", "target_depth", "source_depth"]

DEPTHS: tuple[Task, ...] = ("target_depth", "source_depth")
TASKS: tuple[Task, ...] = ("classes", *DEPTHS)


@dataclass
class Tasks:
    """What the tasks predict.

    Attributes:
        embedding: The features of the classes, before the last prediction.
        depths: None in evaluation mode, in which nobody asks for them.
    """

    logits: Float[Tensor, "b k h w"]
    first_logits: Float[Tensor, "b k h w"]
    embedding: Float[Tensor, "b d h w"]
    depths: Depths | None


class TaskHead(Head):
    """Classes, how near things are as the target's depths have it, and as the source's do; each at two stages.

    Every task has two bottleneck blocks on a shared map, and a first prediction. Then it adds to its features those of
    the other two, through a gate: convolved, times the sigmoid of another convolution. The last predictions are sums of
    dilated convolutions, as DeepLabV2's. In evaluation mode the depths are left out.

    ``context`` says how classes are first predicted: "pyramid" by dilated convolutions on the shared map (CorDA on
    GTA5), "pointwise" by a 1x1 convolution on the task's own features (CorDA on SYNTHIA), as both depths always are.

    Source: CorDA (Wang et al., ICCV 2021) and its code; the exchange is PAD-Net's (Xu et al., CVPR 2018).
    """

    predicts_depth: ClassVar[bool] = True
    contexts = ("pyramid", "pointwise")

    def __init__(self, in_channels: Sequence[int], num_classes: int, settings: NetworkSettings) -> None:
        super().__init__(in_channels, num_classes, settings)
        if settings.channels % EXPANSION:
            raise ValueError(
                f"network.channels={settings.channels}: this head's are a multiple of {EXPANSION}"
            )
        shared, channels = self._share(in_channels, settings), settings.channels
        outputs = {task: num_classes if task == "classes" else 1 for task in TASKS}
        self.blocks = nn.ModuleDict({task: _blocks(shared, channels) for task in TASKS})
        self.first = nn.ModuleDict({task: nn.Conv2d(channels, count, 1) for task, count in outputs.items()})
        if self.context == "pyramid":
            self.first["classes"] = dilated_classifiers(shared, num_classes, BRANCHES["two"])
        self.gates = nn.ModuleDict(
            {f"{one}_to_{task}": Gate(channels) for task in TASKS for one in TASKS if one != task}
        )
        self.last = nn.ModuleDict(
            {task: dilated_classifiers(channels, count, BRANCHES["two"]) for task, count in outputs.items()}
        )

    def forward(self, features: list[Tensor]) -> tuple[Float[Tensor, "b k h w"], Float[Tensor, "b d h w"]]:
        """The last logits, and the features that they are made of."""
        tasks = self.tasks(features)
        return tasks.logits, tasks.embedding

    def tasks(self, features: list[Tensor]) -> Tasks:
        """What all tasks predict, on the shared map's grid."""
        shared = self._shared(features)
        own = {task: block(shared) for task, block in self.blocks.items()}
        embedding = self._told("classes", own)
        pyramid = self.first["classes"]
        first = summed(pyramid, shared) if isinstance(pyramid, nn.ModuleList) else pyramid(own["classes"])
        depths = None
        if self.training:
            last = [summed(self._last(task), self._told(task, own)) for task in DEPTHS]
            depths = Depths(*last, *(self.first[task](own[task]) for task in DEPTHS))
        return Tasks(summed(self._last("classes"), embedding), first, embedding, depths)

    def _told(self, task: Task, own: dict[str, Tensor]) -> Tensor:
        """A task's features, with what the others tell it."""
        told = [self.gates[f"{one}_to_{task}"](own[one]) for one in TASKS if one != task]
        return own[task] + torch.stack(told).sum(0)

    def _last(self, task: Task) -> nn.ModuleList:
        layers = self.last[task]
        assert isinstance(layers, nn.ModuleList)
        return layers

    def _share(self, in_channels: Sequence[int], settings: NetworkSettings) -> int:
        """Build what makes the shared map, and return its channels."""
        raise NotImplementedError

    def _shared(self, features: list[Tensor]) -> Tensor:
        """The map that all tasks start from."""
        raise NotImplementedError


class DeepLabTaskHead(TaskHead):
    """The tasks on the coarsest map, as CorDA has them on a dilated ResNet-101, with a width of 256."""

    stride = 8

    def _share(self, in_channels: Sequence[int], settings: NetworkSettings) -> int:
        return in_channels[-1]

    def _shared(self, features: list[Tensor]) -> Tensor:
        return features[-1]


class SegformerTaskHead(TaskHead):
    """The tasks on SegFormer's fusion of all maps, for encoders whose coarsest map is too coarse to predict from."""

    def _share(self, in_channels: Sequence[int], settings: NetworkSettings) -> int:
        channels = settings.channels
        self.linear_c = nn.ModuleList(LevelEmbedding(width, channels) for width in in_channels)
        self.linear_fuse = PointwiseFusion(len(in_channels) * channels, channels)
        return channels

    def _shared(self, features: list[Tensor]) -> Tensor:
        return self.linear_fuse(*(embed(level) for embed, level in zip(self.linear_c, features, strict=True)))


class Gate(nn.Module):
    """What a task tells another one: its features convolved, as far as another convolution lets them through."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.features = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.attention = nn.Conv2d(channels, channels, 3, padding=1, bias=False)

    def forward(self, maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """What is added to the features of the task that is told."""
        return self.features(maps) * self.attention(maps).sigmoid()


def _blocks(in_channels: int, channels: int) -> nn.Sequential:
    narrow = channels // EXPANSION
    return nn.Sequential(
        *(Bottleneck(width, narrow, stride=1, dilation=1, caffe=False) for width in (in_channels, channels))
    )
