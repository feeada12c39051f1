"""What the API answers about health and back pressure."""

from __future__ import annotations

from twistedrelay.control.documents import Document


class HealthCheck(Document):
    """One check, and why it failed (or what there is to know)."""

    name: str
    ok: bool
    reason: str


class Health(Document):
    """Whether the relay is fit for work."""

    ready: bool
    checks: list[HealthCheck]


class Resource(Document):
    """A resource that back pressure watches.

    C{value} is per cent, or a number of messages for queues; None before the first sample and where nobody can tell.
    """

    resource: str
    level: str
    value: float | None
    detail: str
    low_to_medium: int | None
    medium_to_high: int | None
    high_to_medium: int | None
    medium_to_low: int | None


class BackPressure(Document):
    """How short resources are.

    C{level} is the highest of those that refuse; C{delay} how many seconds sessions without trust wait for the answer to MAIL; C{paused}:
    pickup, replay and resubmission wait.
    """

    level: str
    delay: float
    paused: bool
    refused: int
    delayed: int
    resources: list[Resource]
