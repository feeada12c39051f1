"""Webhooks as the API answers them."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class WebhookState(BaseModel):
    """A webhook, and what became of its events since the start."""

    name: str
    url: str
    events: list[str]
    connectors: list[str]
    enabled: bool
    status: Literal["ready", "failing", "gone", "broken", "disabled"]
    last_error: str
    waiting: int
    delivered: int
    failures: int = Field(description="requests that were not answered by 2xx")
    dropped: int = Field(description="events that were lost since too many waited")
    given_up: int = Field(description="events that were not taken in a day")


class TestResult(BaseModel):
    """What a webhook answered to a test."""

    name: str
    taken: bool
    status: int | None = Field(description="nothing: no answer")
    seconds: float
    answer: str = Field(description="its beginning, or why there is none")
