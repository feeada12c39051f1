"""C{transport.back_pressure}: when resources run short, by Exchange's resources and thresholds.

Defaults are those of Exchange Server 2019.  Ours are C{queue_length}, which is off, and C{sufficient_free_disk_space}: on a large file
system the last per cent are more than a relay ever needs.

Source: Exchange Server, "Understanding back pressure" (resource thresholds, EdgeTransport.exe.config).
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, model_validator

from twistedrelay.config.model import MAX, Model
from twistedrelay.config.units import Duration, Integer, Size, Switch, between, lasting, measuring


class Thresholds(Model):
    """Where the level of one resource changes: above the first two it rises, below the other two it falls."""

    low_to_medium: Annotated[Integer, between(0, MAX)]
    medium_to_high: Annotated[Integer, between(0, MAX)]
    high_to_medium: Annotated[Integer, between(0, MAX)]
    medium_to_low: Annotated[Integer, between(0, MAX)]

    @model_validator(mode="after")
    def _in_order(self) -> Thresholds:
        low, medium, high, last = self.medium_to_low, self.low_to_medium, self.medium_to_high, self.high_to_medium
        if not (low <= medium <= high and low <= last <= high):
            raise ValueError("allowed: medium_to_low <= low_to_medium <= medium_to_high, and high_to_medium between the outer two")
        return self


def _defaults(*numbers: int) -> BeforeValidator:
    """What is not given of a mapping is as in Exchange; C{unlimited} switches a resource off."""
    defaults = dict(zip(Thresholds.model_fields, numbers, strict=True))

    def fill(value: Any) -> Any:
        if isinstance(value, str) and value.strip().lower() == "unlimited":
            return None
        if value is None or isinstance(value, Thresholds):
            return value
        if not isinstance(value, dict):
            raise ValueError(f"allowed: unlimited, or a mapping with {', '.join(defaults)}")
        return {**defaults, **value}

    return BeforeValidator(fill)


def _thresholds(*numbers: int) -> Thresholds:
    return Thresholds(**dict(zip(Thresholds.model_fields, numbers, strict=True)))


_DATABASE, _DISK, _PRIVATE, _SYSTEM = (96, 99, 97, 94), (89, 99, 90, 80), (72, 75, 73, 71), (88, 94, 89, 84)
_SUBMISSION = (9999, 15000, 10000, 2000)


class BackPressure(Model):
    """C{back_pressure} of C{transport}.  Percentages, but for the lengths of queues."""

    enable_resource_monitoring: Switch = True
    resource_monitoring_interval: Annotated[Duration, lasting("100ms", "1m")] = 2.0
    database_used_space: Annotated[Thresholds | None, _defaults(*_DATABASE)] = _thresholds(*_DATABASE)
    used_disk_space: Annotated[Thresholds | None, _defaults(*_DISK)] = _thresholds(*_DISK)
    sufficient_free_disk_space: Annotated[Size, measuring("0", "1024TB")] = 10 * 1024**3  # with so much free the disk is never short
    private_bytes: Annotated[Thresholds | None, _defaults(*_PRIVATE)] = _thresholds(*_PRIVATE)
    system_memory: Annotated[Thresholds | None, _defaults(*_SYSTEM)] = _thresholds(*_SYSTEM)
    submission_queue_length: Annotated[Thresholds | None, _defaults(*_SUBMISSION)] = _thresholds(*_SUBMISSION)
    queue_length: Annotated[Thresholds | None, _defaults(*_SUBMISSION)] = None  # all messages in the spool
    smtp_start_throttling_delay_interval: Annotated[Duration, lasting("0s", "10m")] = 10.0
    smtp_step_throttling_delay_interval: Annotated[Duration, lasting("0s", "10m")] = 5.0
    smtp_max_throttling_delay_interval: Annotated[Duration, lasting("0s", "10m")] = 55.0
    submission_queue_history_depth: Annotated[Integer, between(0, 100_000)] = 300  # samples until those who wait are refused
