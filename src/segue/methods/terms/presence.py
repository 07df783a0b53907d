"""Which classes a picture shows at all: told from its features as a whole, alike in both domains."""

from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from safetensors.torch import load_file, save
from torch import Tensor, nn

from segue.files import write_bytes
from segue.methods.adversary import SOURCE, TARGET, JudgeSettings, domain_loss, still
from segue.methods.context import Context, Preparation
from segue.methods.method import Optimisation, Term, TermSettings
from segue.ranks import is_first_rank
from segue.settings import Count, NotNegative, Share
from segue.types import IGNORE, Batch, Output, View

PRESENCE_FILE = "presence.safetensors"
"""The file in a run folder that holds the classifier of whole pictures, once it is trained."""


class PresenceSettings(TermSettings):
    """PIT: a classifier of whole pictures, and a discriminator of what it says. All numbers are ours."""

    share: NotNegative = 0.1  # lambda_img of the classifier, and of the pixels' agreement with it
    adversarial_share: NotNegative = 0.001  # of the student's side of the game
    pooled: Share = 0.01  # share of the pixels, the most probable ones, that speak for a class
    hidden: Count = 64  # width of the discriminator's two layers
    discriminator: JudgeSettings = JudgeSettings()

    def build(self, context: Context) -> "Presence":
        """The term, on the encoder's coarsest map."""
        return Presence(
            self,
            in_channels=context.student.encoder.out_channels[-1],
            num_classes=len(context.classes),
            steps=context.steps,
        )


class Presence(Term):
    """The mean of a picture's features tells its classes, and what it tells is alike in both domains.

    On the source, and on the target where labels made beforehand are learnt, the classes are those of the label. On the
    target the pixels are to agree with the picture: the most probable pixels of each class pool to what it says.

    Source: the image level of PIT (Lv et al., CVPR 2020) in outline; no code was published.

    Args:
        steps: The length of the run, after which the classifier is written to the run's folder.
    """

    view_names = ("source", "target")

    def __init__(
        self, settings: PresenceSettings, *, in_channels: int, num_classes: int, steps: int = 1
    ) -> None:
        super().__init__()
        self.settings = settings
        self.steps = steps
        self.folder: Path | None = None
        self.classifier = nn.Linear(in_channels, num_classes)
        wide = settings.hidden
        self.judge = nn.Sequential(
            nn.Linear(num_classes, wide),
            nn.LeakyReLU(0.2),
            nn.Linear(wide, wide),
            nn.LeakyReLU(0.2),
            nn.Linear(wide, 1),
        )

    def prepare(self, preparation: Preparation) -> None:
        """Remember where the classifier is to be written."""
        self.folder = preparation.folder

    def forward(self, network: nn.Module, view: View, output: Output) -> dict[str, Tensor]:
        """The classifier's loss and the discriminator's; on the target the student's and the pixels' agreement."""
        said = self.classifier(output.features[-1].mean((2, 3)).float())
        shown, is_source = said.sigmoid(), view.name == "source"
        told = domain_loss(self.judge(shown.detach()), SOURCE if is_source else TARGET)
        found = {"presence_discriminator": 0.5 * told}
        if view.label is not None:
            there = shows(view.label, said.shape[1])
            found["presence"] = self.settings.share * F.binary_cross_entropy_with_logits(said, there)
        if not is_source:
            pooled = most_probable_mean(output.logits, self.settings.pooled)
            # By logits: under CUDA's autocast torch takes no probabilities here.
            agreement = F.binary_cross_entropy_with_logits(pooled.logit(1e-6), shown.detach())
            found["presence_agreement"] = self.settings.share * agreement
            share = self.settings.adversarial_share
            found["presence_adversarial"] = share * domain_loss(still(self.judge, shown), SOURCE)
        return found

    def after_step(self, batch: Batch, step: int) -> None:
        """Write the classifier after the last step."""
        if step + 1 == self.steps and self.folder is not None and is_first_rank():
            state = {
                name: value.detach().cpu().contiguous()
                for name, value in self.classifier.state_dict().items()
            }
            write_bytes(self.folder / PRESENCE_FILE, save(state))

    def optimisations(self) -> dict[str, Optimisation]:
        """The discriminator's; the classifier learns with the student."""
        return self.settings.discriminator.optimisation(self.judge)


def load_classifier(run: Path, device: torch.device) -> nn.Linear:
    """The classifier of a run that was trained with this term; a FileNotFoundError if there is none."""
    path = run / PRESENCE_FILE
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no classifier of whole pictures; train the run with terms.presence")
    state = load_file(path)
    classes, channels = state["weight"].shape
    classifier = nn.Linear(channels, classes)
    classifier.load_state_dict(state)
    return classifier.to(device).requires_grad_(False)


def shows(label: Tensor, num_classes: int) -> Float[Tensor, "b k"]:
    """1 for each class that a label (B,H,W) has anywhere."""
    flat = label.flatten(1)
    counts = torch.zeros(len(flat), IGNORE + 1, device=label.device)
    counts.scatter_add_(1, flat, torch.ones_like(flat, dtype=counts.dtype))
    return (counts[:, :num_classes] > 0).float()


def most_probable_mean(logits: Tensor, share: float) -> Float[Tensor, "b k"]:
    """The mean probability of each class over the share of the cells where it is most probable, at least one."""
    flat = logits.float().softmax(1).flatten(2)
    return flat.topk(max(1, round(share * flat.shape[2])), dim=2).values.mean(2)
