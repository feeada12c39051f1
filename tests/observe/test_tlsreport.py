"""Tests for L{twistedrelay.observe.tlsreport}."""

from __future__ import annotations

import json
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.network import PATIENCE
from twistedrelay.observe.tlsreport import LONGEST, TLSReports, datagram
from twistedrelay.values.events import Event, ServiceEvent, TLSResult
from twistedrelay.values.route import TLSAssessment

RECORD = "v=TLSRPTv1; rua=mailto:tls@example.test"
STS = TLSAssessment("example.test", RECORD, "sts", "example.test", ("version: STSv1", "mode: enforce"), ("*.example.test",))
TLSA = TLSAssessment("example.test", RECORD, "tlsa", "mx.example.test", ("3 1 1 abcd",))


@pytest.fixture
def path() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as directory:
        yield str(Path(directory, "collector"))


def collector(path: str) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listening.bind(path)
    listening.settimeout(PATIENCE)
    return listening


@pytest.mark.parametrize(
    ("result", "policy"),
    [
        (
            TLSResult(STS, "mx.example.test", "192.0.2.1"),
            {
                "policy-type": 2,
                "policy-domain": "example.test",
                "policy-string": ["version: STSv1", "mode: enforce"],
                "mx-host": ["*.example.test"],
                "t": 0,
                "f": 0,
            },
        ),
        (
            TLSResult(TLSA, "mx.example.test", "192.0.2.1", "certificate-expired", "it has expired"),
            {
                "policy-type": 1,
                "policy-domain": "mx.example.test",
                "policy-string": ["3 1 1 abcd"],
                "failure-details": [{"c": 204, "n": "mx.example.test", "r": "192.0.2.1", "f": "it has expired"}],
                "t": 1,
                "f": 1,
            },
        ),
        (
            TLSResult(TLSAssessment("example.test", RECORD), "", "", "sts-webpki-invalid"),
            {"policy-type": 9, "policy-domain": "example.test", "failure-details": [{"c": 303}], "t": 1, "f": 1},
        ),
    ],
)
def test_what_the_collector_gets(path: str, result: TLSResult, policy: dict[str, object]) -> None:
    """The names and numbers of libtlsrpt's datagrams."""
    with collector(path) as listening:
        reports = TLSReports(path, lambda _: None)
        reports.emit(ServiceEvent("info", "something else"))
        reports.emit(result)
        assert json.loads(listening.recv(65536)) == {"dpv": "1", "d": "example.test", "pr": RECORD, "policies": [policy]}


def test_a_collector_that_is_away(path: str) -> None:
    """Said once when results begin to be lost, and when they no longer are."""
    told: list[Event] = []
    reports = TLSReports(path, told.append)
    result = TLSResult(STS, "mx.example.test", "192.0.2.1")
    for _ in range(3):
        reports.emit(result)
    assert told == [ServiceEvent("warn", f"results of TLS are lost: {path}: No such file or directory")]
    with collector(path) as listening:
        reports.emit(result)
        reports.emit(result)
        assert listening.recv(65536) == listening.recv(65536) == datagram(result)
    assert told[1:] == [ServiceEvent("info", "results of TLS are taken again; 3 were lost")]


def test_a_collector_that_does_not_read_blocks_nobody(path: str) -> None:
    told: list[Event] = []
    with collector(path):
        reports = TLSReports(path, told.append)
        for _ in range(5000):
            reports.emit(TLSResult(STS, "mx.example.test", "192.0.2.1"))
        assert len(told) == 1


def test_datagrams_are_bounded() -> None:
    much = TLSAssessment("example.test", RECORD, "sts", "example.test", ("x" * 1000,) * 64, ("y" * 200,) * 64)
    octets = datagram(TLSResult(much, "mx.example.test", "192.0.2.1", "validation-failure", "é\n" * 1000))
    assert len(octets) < LONGEST
    assert json.loads(octets)["policies"][0]["failure-details"][0]["c"] == 205
