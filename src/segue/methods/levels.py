"""Which of a network's predictions a term looks at, how much each counts, and at what resolution."""

from collections.abc import Iterator
from typing import Literal

from torch import Tensor

from segue.methods.method import TermSettings
from segue.ops.resize import resize
from segue.settings import NotNegative, Share
from segue.types import Output, View


class LevelSettings(TermSettings):
    """Terms on the network's prediction and, where ``network.auxiliary`` asks for one, on the auxiliary one."""

    share: NotNegative = 0.001  # lambda of the network's own prediction
    auxiliary_share: NotNegative = 0.0002  # lambda of the auxiliary one
    resolution: Literal["picture", "head"] = "picture"  # at which probabilities are looked at

    after: Share = (
        0.0  # share of the run in which the student does not feel it yet; a discriminator learns meanwhile
    )

    def levels(
        self, output: Output, view: View, *, auxiliary: bool, done: float = 1.0
    ) -> Iterator[tuple[str, float, Tensor]]:
        """What is added to a loss's name, the share, and the probabilities (B,K,H,W), of every level in turn.

        ``done`` is the share of the run that is over.
        """
        size = (view.image.shape[-2], view.image.shape[-1])
        every = [one.logits for one in output.supervised] if auxiliary else [output.logits]
        names, shares = ("", "_auxiliary"), (self.share, self.auxiliary_share)
        shares = shares if done >= self.after else (0.0, 0.0)
        for name, share, logits in zip(names[: len(every)], shares, every, strict=False):
            logits = logits.float()
            yield name, share, (resize(logits, size) if self.resolution == "picture" else logits).softmax(1)
