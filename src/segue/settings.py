"""The base class of every group of settings, and the types of their numbers."""

from typing import Annotated, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
NotNegative = Annotated[float, Field(ge=0.0)]
Count = Annotated[int, Field(ge=1)]
Stage: TypeAlias = Annotated[int, Field(ge=1, le=4)]
"""A stage of an encoder."""

Colour = tuple[int, int, int]


class Settings(BaseModel):
    """A group of settings: unknown keys are errors, and nothing changes after reading."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class MarginSettings(Settings):
    """Borders as fractions of a picture's sides."""

    top: Share = 0.0
    bottom: Share = 0.0
    left: Share = 0.0
    right: Share = 0.0
