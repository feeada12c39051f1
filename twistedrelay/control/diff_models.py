"""What a comparison is asked with."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

#: Octets of all files together are bounded by the body of a request.
MAX_FILES = 1000

#: A year, and a leap day.
MAX_DAYS = 366


FilePath = Annotated[str, Field(min_length=1, max_length=4096, pattern=r"^/[^\x00]*$")]


class Proposal(BaseModel):
    """A configuration that the daemon is to compare with its own."""

    model_config = ConfigDict(extra="forbid")

    path: FilePath = Field(description="its first file")
    files: dict[FilePath, str] = Field(max_length=MAX_FILES, description="what its files hold, by their absolute paths")
    days: int = Field(default=30, ge=0, le=MAX_DAYS, description="recorded clients of the last so many days are looked at; 0: none")
