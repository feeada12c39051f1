"""Tests for L{twistedrelay.policy.pressure}: levels, hysteresis, and what follows from them."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistedrelay.config.pressure import BackPressure as Settings
from twistedrelay.config.pressure import Thresholds
from twistedrelay.config.principals import EXTERNALLY_SECURED
from twistedrelay.policy.pressure import RESOURCES, BackPressure, Level, Reading, Resource, is_trusted
from twistedrelay.values.reply import SYSTEM_RESOURCES

LOW, MEDIUM, HIGH = Level.LOW, Level.MEDIUM, Level.HIGH


@attrs.define
class Avatar:
    """As much of a session as counts here."""

    login: str = ""
    principal: str = "Anonymous Logon"


STRANGER, USER, SERVER = Avatar(), Avatar("cengiz@akkaya.local", "cengiz@akkaya.local"), Avatar("", EXTERNALLY_SECURED)


def levels(resource: Resource, *values: float) -> list[Level]:
    found = []
    for value in values:
        resource.sample(Reading(value))
        found.append(resource.level)
    return found


def pressed(**values: float) -> BackPressure:
    pressure = BackPressure(Settings())
    pressure.sample({name: Reading(value) for name, value in values.items()})
    return pressure


def judged(pressure: BackPressure, avatar: Any) -> tuple[Any, str, float]:
    return pressure.judge(avatar)


def test_exchanges_thresholds_are_the_defaults() -> None:
    found = {name: tuple(getattr(Settings(), name).model_dump().values()) for name in RESOURCES if getattr(Settings(), name)}
    assert found == {
        "used_disk_space": (89, 99, 90, 80),
        "database_used_space": (96, 99, 97, 94),
        "private_bytes": (72, 75, 73, 71),
        "system_memory": (88, 94, 89, 84),
        "submission_queue_length": (9999, 15000, 10000, 2000),
    }


def test_a_level_falls_later_than_it_rose() -> None:
    disk = Resource("used_disk_space", Settings().used_disk_space)
    rising = levels(disk, 50, 89, 89.1, 99, 99.1)
    assert rising == [LOW, LOW, MEDIUM, MEDIUM, HIGH]
    assert levels(disk, 95, 90, 89.9, 85, 80, 79.9) == [HIGH, HIGH, MEDIUM, MEDIUM, MEDIUM, LOW]


def test_from_low_to_high_and_back_in_one_sample() -> None:
    disk = Resource("used_disk_space", Settings().used_disk_space)
    assert levels(disk, 100, 10) == [HIGH, LOW]


def test_what_cannot_be_measured_stays_as_it_is() -> None:
    disk = Resource("used_disk_space", Settings().used_disk_space)
    assert levels(disk, 95) == [MEDIUM]
    assert disk.sample(None) is None
    assert (disk.level, disk.samples) == (MEDIUM, 2)


@given(st.lists(st.floats(0, 110), max_size=60))
def test_the_level_always_fits_the_last_value(values: list[float]) -> None:
    limits = Settings().used_disk_space
    assert limits is not None
    disk = Resource("used_disk_space", limits)
    for value in values:
        disk.sample(Reading(value))
        if value > limits.medium_to_high:
            assert disk.level is HIGH
        elif value < limits.medium_to_low:
            assert disk.level is LOW
        elif value > limits.low_to_medium:
            assert disk.level is not LOW
        elif value < limits.high_to_medium:
            assert disk.level is not HIGH


def test_nothing_happens_at_low() -> None:
    pressure = pressed(used_disk_space=50.0)
    assert not pressure.active
    assert not pressure.paused
    assert pressure.refusal(trusted=False) is None
    assert pressure.reason == ""


@pytest.mark.parametrize("resource", ["used_disk_space", "database_used_space", "private_bytes"])
def test_at_medium_strangers_are_refused_and_others_go_on(resource: str) -> None:
    settings = getattr(Settings(), resource)
    pressure = pressed(**{resource: settings.low_to_medium + 1.0})
    assert (pressure.active, pressure.paused, pressure.level) == (True, True, MEDIUM)
    assert judged(pressure, STRANGER) == (SYSTEM_RESOURCES, f"{resource} is Medium ({settings.low_to_medium + 1} %)", 0.0)
    assert judged(pressure, USER) == (None, "", 0.0)
    assert judged(pressure, SERVER) == (None, "", 0.0)
    assert (pressure.refused, pressure.delayed) == (1, 0)


@pytest.mark.parametrize("avatar", [STRANGER, USER, SERVER])
def test_at_high_everybody_is_refused(avatar: Avatar) -> None:
    pressure = pressed(used_disk_space=99.5)
    assert judged(pressure, avatar)[0] is SYSTEM_RESOURCES
    assert SYSTEM_RESOURCES.wire == b"452 4.3.1 Insufficient system resources\r\n"


def test_the_memory_of_others_refuses_nobody() -> None:
    pressure = pressed(system_memory=99.0)
    assert pressure.resources["system_memory"].level is HIGH
    assert (pressure.active, pressure.level) == (False, LOW)
    assert pressure.reason == "system_memory is High (99 %)"


def test_a_queue_slows_strangers_down_before_it_refuses_them() -> None:
    pressure = BackPressure(Settings(submission_queue_history_depth=12))
    delays = []
    for _ in range(12):
        pressure.sample({"submission_queue_length": Reading(12_000)})
        refusal, _, delay = judged(pressure, STRANGER)
        assert refusal is None
        assert judged(pressure, USER) == (None, "", 0.0)
        delays.append(delay)
    assert delays == [10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 55, 55]
    assert pressure.delayed == 12
    pressure.sample({"submission_queue_length": Reading(12_000)})
    assert judged(pressure, STRANGER)[0] is SYSTEM_RESOURCES
    assert judged(pressure, USER)[0] is None
    pressure.sample({"submission_queue_length": Reading(1_999)})
    assert judged(pressure, STRANGER) == (None, "", 0.0)
    pressure.sample({"submission_queue_length": Reading(12_000)})
    assert judged(pressure, STRANGER) == (None, "", 10.0)


def test_a_queue_that_is_far_too_long_refuses_at_once() -> None:
    assert judged(pressed(submission_queue_length=15_001), USER)[0] is SYSTEM_RESOURCES


def test_changes_are_told_with_numbers() -> None:
    pressure = BackPressure(Settings())
    [up] = pressure.sample({"used_disk_space": Reading(91.25, "/spool: 12 MB free")})
    assert str(up) == "back pressure: used_disk_space rises from Low to Medium: 91.25 %, above 89 % (/spool: 12 MB free)"
    assert pressure.sample({"used_disk_space": Reading(92.0)}) == []
    [down] = pressure.sample({"used_disk_space": Reading(70.0)})
    assert str(down) == "back pressure: used_disk_space falls from Medium to Low: 70 %, below 80 %"
    assert (up.rises, down.rises) == (True, False)


def test_other_settings_count_from_the_next_sample() -> None:
    pressure = pressed(used_disk_space=95.0)
    pressure.use(Settings(used_disk_space=Thresholds(low_to_medium=96, medium_to_high=99, high_to_medium=97, medium_to_low=96)))
    assert pressure.active
    pressure.sample({"used_disk_space": Reading(95.0)})
    assert not pressure.active


def test_switched_off_it_lets_go_at_once() -> None:
    pressure = pressed(used_disk_space=95.0)
    pressure.use(Settings(enable_resource_monitoring=False))
    assert (pressure.active, pressure.level) == (False, LOW)
    pressure.sample({"used_disk_space": Reading(100.0)})
    assert not pressure.active


def test_one_resource_switched_off() -> None:
    pressure = BackPressure(Settings.model_validate({"used_disk_space": "unlimited"}))
    pressure.sample({"used_disk_space": Reading(100.0)})
    assert not pressure.active


def test_who_is_trusted() -> None:
    assert [is_trusted(avatar) for avatar in (STRANGER, USER, SERVER)] == [False, True, True]  # type: ignore[arg-type]


def test_what_was_read_of_a_resource_that_is_switched_off_is_not_shown_for_ever() -> None:
    pressure = BackPressure(Settings.model_validate({"queue_length": {}}))
    pressure.sample({"queue_length": Reading(20_000.0)})
    pressure.use(Settings())
    pressure.sample({})
    assert (pressure.resources["queue_length"].level, pressure.resources["queue_length"].reading) == (LOW, None)
