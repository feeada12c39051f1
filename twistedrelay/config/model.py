"""What all models of the configuration share."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict

from twistedrelay.config.units import Duration, lasting

MAX = 2147483647
Delay = Annotated[Duration, lasting("0s", "1h")]
Interval = Annotated[Duration, lasting("1s", "1d")]


class Model(BaseModel):
    """What all models share: unknown keys are errors, objects do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)
