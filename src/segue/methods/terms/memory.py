"""Two predictions of one network are to agree on the target with what they say together."""

import torch
from torch import Tensor, nn

from segue.methods.context import Context
from segue.methods.method import Term, TermSettings
from segue.ops.disagreement import disagreement
from segue.ops.resize import resize
from segue.settings import NotNegative, Share
from segue.types import Output, Supervised, View


class MemorySettings(TermSettings):
    """MRNet: memory regularisation between the network's own and its auxiliary prediction."""

    share: NotNegative = 0.1  # lambda_mr
    after: Share = 0.0  # share of the run in which the student does not feel it yet

    def build(self, context: Context) -> "Memory":
        """The term.

        Raises:
            ValueError: If the network makes a single prediction.
        """
        if context.network.auxiliary is None:
            raise ValueError(
                "terms.memory compares two predictions of the network: set network.head=deeplab_v2_se and"
                " network.auxiliary=0.5"
            )
        return Memory(self, steps=context.steps)


class Memory(Term):
    """The divergence of each prediction from both together, which is taken as it is.

    Source: MRNet (Zheng and Yang, IJCAI 2020); as in its code, together means the softmax of the sum of
    logits times their shares of the loss.

    Args:
        steps: The length of the run.
    """

    view_names = ("target",)

    def __init__(self, settings: MemorySettings, *, steps: int = 1) -> None:
        super().__init__()
        self.settings = settings
        self.steps = steps

    def forward(self, network: nn.Module, view: View, output: Output) -> dict[str, Tensor]:
        """The mean over the picture's pixels."""
        size = (view.image.shape[-2], view.image.shape[-1])
        both = together(output.supervised, size).detach()
        apart = torch.stack([disagreement(resize(one.logits, size), both) for one in output.supervised])
        total = apart.sum(0) if view.weight is None else apart.sum(0) * view.weight
        share = self.settings.share if self.step >= self.settings.after * self.steps else 0.0
        return {"memory": share * total.mean()}


def together(predictions: list[Supervised], size: tuple[int, int]) -> Tensor:
    """The logits (B,K,H,W) of several predictions as one: their sum, each times its share of the loss."""
    return torch.stack([one.share * resize(one.logits.float(), size) for one in predictions]).sum(0)
