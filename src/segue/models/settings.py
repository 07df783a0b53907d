"""The settings of a network."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from segue.settings import Positive, Settings, Share


class MultiResolutionSettings(Settings):
    """HRDA: the whole crop at low resolution and a window of it in detail (``MultiResolution``)."""

    detail: Share = 0.5  # the detail window's sides as a share of the crop's
    context_scale: Share = 0.5  # 1/s: the context's sides as a share of the crop's
    detail_share: Share = 0.1  # lambda_d: the detail's share of the loss
    overlap: Annotated[float, Field(ge=0.0, lt=1.0)] = (
        0.5  # of detail windows in evaluation and for a teacher
    )
    attention: Literal["class", "single", "none"] = "class"


class NetworkSettings(Settings):
    """The student: an encoder and a head by their names, and the weights that it starts from."""

    encoder: str = "mit_b5"
    head: str = "daformer"
    context: str | None = None  # None is the head's own default
    channels: Annotated[int, Field(ge=1, le=65536)] = 256
    dropout: Share = 0.1
    drop_path: Share = 0.1
    auxiliary: Positive | None = None  # DeepLabV2: share of the loss of a second prediction, from stage 3
    aligned_corners: bool = False  # enlarge predictions corner on corner, as AdaptSegNet's and ADVENT's codes
    multi_resolution: MultiResolutionSettings | None = None
    weights: Path | None = None  # the encoder's; None starts from random numbers
    start: Path | None = None  # a run or model folder: training starts from its whole network
    # Stages of a mit_ or vit_ encoder that are computed again for the gradient, to save memory.
    checkpoint_stages: list[Annotated[int, Field(ge=1, le=4)]] = []
    # Whose batch statistics the saved and the scored network keep: as the training steps left them ("trained"),
    # estimated again on the target's training pictures ("target"), or the target's own from the start ("domain").
    statistics: Literal["trained", "target", "domain"] = "trained"

    def arguments(self, *, classes: int, crop: tuple[int, int]) -> dict[str, Any]:
        """The arguments of ``build_segmenter`` for crops of that size; a model's card keeps them."""
        chosen = self.model_dump(exclude={"weights", "start", "checkpoint_stages", "statistics"})
        if chosen["multi_resolution"] is not None:
            share = chosen["multi_resolution"]["detail"]
            chosen["multi_resolution"]["detail"] = [round(share * side) for side in crop]
        return {**chosen, "num_classes": classes}
