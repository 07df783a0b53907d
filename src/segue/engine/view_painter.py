"""Pictures of what the student sees, drawn by the engine so that methods need not draw."""

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import nn

from segue.classes import ClassList
from segue.evaluation.predictors import in_evaluation_mode
from segue.ops.draw import draw_view
from segue.ops.resize import resize
from segue.types import Joint, View


class ViewPainter:
    """Collects the views of a step and writes them to ``pictures/views/STEP.png`` in the run folder.

    ``mean`` and ``std`` are those of normalisation, in grey levels.
    """

    def __init__(
        self, folder: Path, *, classes: ClassList, mean: Sequence[float], std: Sequence[float]
    ) -> None:
        self.folder = folder / "pictures" / "views"
        self.classes = classes
        self.mean = mean
        self.std = std
        self.sheets: list[Image.Image] = []

    @torch.no_grad()
    def add(self, seen: View | Joint, student: nn.Module) -> None:
        """Draw a view with a prediction of the student in evaluation mode; draws no random numbers."""
        for view in seen.views if isinstance(seen, Joint) else [seen]:
            size = (view.image.shape[-2], view.image.shape[-1])
            with in_evaluation_mode(student):
                prediction = resize(student(view.image).logits.float(), size).argmax(1)
            sheet = draw_view(view, prediction, palette=self.classes.colours, mean=self.mean, std=self.std)
            self.sheets.append(Image.fromarray(sheet))

    def save(self, step: int) -> None:
        """Write the collected sheets, one below the other, and start anew."""
        width = max(sheet.width for sheet in self.sheets)
        page = Image.new("RGB", (width, sum(sheet.height for sheet in self.sheets)), "white")
        top = 0
        for sheet in self.sheets:
            page.paste(sheet, (0, top))
            top += sheet.height
        self.folder.mkdir(parents=True, exist_ok=True)
        page.save(self.folder / f"{step:07d}.png")
        self.sheets.clear()
