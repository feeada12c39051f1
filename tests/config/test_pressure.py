"""Tests for L{twistedrelay.config.pressure} and the key C{metrics}: what may be written, and what is said of the rest."""

from __future__ import annotations

import pytest

from tests.config.conftest import Files

BELOW = "transport:\n  back_pressure:\n"


def test_what_is_not_given_of_a_mapping_is_as_in_exchange(files: Files) -> None:
    found = files.load(BELOW + "    used_disk_space: {medium_to_high: 95}\n").transport.back_pressure.used_disk_space
    assert found is not None
    assert tuple(found.model_dump().values()) == (89, 95, 90, 80)


def test_unlimited_switches_one_off(files: Files) -> None:
    found = files.load(BELOW + "    private_bytes: unlimited\n    queue_length: {}\n").transport.back_pressure
    assert found.private_bytes is None
    assert found.queue_length is not None
    assert found.queue_length.medium_to_high == 15000


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("used_disk_space: {low_to_medium: 99, medium_to_high: 90}", "allowed: medium_to_low <= low_to_medium <= medium_to_high"),
        ("used_disk_space: 90", "allowed: unlimited, or a mapping with low_to_medium, medium_to_high"),
        ("used_disk_space: {medium: 90}", "unknown key 'medium'"),
        ("used_version_buckets: {}", "has no place here: SQLite keeps no versions in memory"),
        ("resource_monitoring_interval: 2h", "allowed: 0.1s to 1m"),
        ("EnableResourceMonitoring: true", "did you mean 'enable_resource_monitoring'"),
    ],
)
def test_what_is_wrong_is_said_at_its_place(files: Files, line: str, text: str) -> None:
    (problem,) = files.problems(f"{BELOW}    {line}\n")
    assert problem.startswith(f"relay.yaml:4: transport.back_pressure.{line.partition(':')[0]}")
    assert text in problem


def test_exchanges_names_right_below_transport(files: Files) -> None:
    (problem,) = files.problems("transport:\n  used_disk_space: {}\n")
    assert problem.endswith("the key 'used_disk_space' has no place here: write it below back_pressure")


def test_where_monitoring_asks(files: Files) -> None:
    assert files.load("").metrics is None
    metrics = files.load("metrics: {listen: '[::1]:9345'}\n").metrics
    assert metrics is not None
    assert metrics.listen == "[::1]:9345"
    metrics = files.load("metrics: {listen: 'unix:run/metrics.sock'}\n").metrics
    assert metrics is not None
    assert metrics.listen.startswith("unix:/")
    assert metrics.listen.endswith("/run/metrics.sock")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("metrics: {listen: 'localhost:9345'}\n", "no binding"),
        ("metrics: {listen: 'unix:'}\n", "names no socket"),
        ("metrics: {}\n", "listen"),
        ("metrics: {port: 9345, listen: '127.0.0.1:9345'}\n", "unknown key 'port'"),
    ],
)
def test_addresses_that_are_none(files: Files, text: str, said: str) -> None:
    assert any(said in problem for problem in files.problems(text))
