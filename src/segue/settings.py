"""The base class of every group of settings, and the types of their numbers."""

import functools
import operator
from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
NotNegative = Annotated[float, Field(ge=0.0)]
Count = Annotated[int, Field(ge=1, le=10**9)]
Stage: TypeAlias = Annotated[int, Field(ge=1, le=4)]
"""A stage of an encoder."""


class Settings(BaseModel):
    """A group of settings: unknown keys are errors, and nothing can be changed once it is read."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Margins(Settings):
    """Borders without content, as shares of the picture's sides: the car's own bonnet, the rim of rectification."""

    top: Share = 0.0
    bottom: Share = 0.0
    left: Share = 0.0
    right: Share = 0.0

    @model_validator(mode="after")
    def _leave_something(self) -> "Margins":
        if self.top + self.bottom >= 1 or self.left + self.right >= 1:
            raise ValueError("opposite margins must sum to less than 1")
        return self


def one_of(table: Mapping[str, type[Settings]]) -> Any:
    """The type of settings that are any one entry of a table, chosen by their ``name``."""
    return Annotated[functools.reduce(operator.or_, table.values()), Field(discriminator="name")]
