"""Tables: whole off a terminal, fitted on one."""

from __future__ import annotations

import os
import sys

import pytest

from twistedrelay.answers.connectors import time_span
from twistedrelay.relayctl.names import pascal, shown, size
from twistedrelay.relayctl.output import table

ROW = ["EXCSERVER\\Default Frontend", "{" + ", ".join(f"10.0.0.{n}:25" for n in range(40)) + "}", "x [red]y[/red]"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("remote_ip_ranges", "RemoteIPRanges"),
        ("require_tls", "RequireTLS"),
        ("requiretls_enabled", "RequiretlsEnabled"),
        ("require_ehlo_domain", "RequireEHLODomain"),
        ("max_inbound_connection_percentage_per_source", "MaxInboundConnectionPercentagePerSource"),
        ("internet_message_id", "InternetMessageId"),
        ("tls_certificate_name", "TlsCertificateName"),
    ],
)
def test_property_names_are_exchanges(name: str, expected: str) -> None:
    assert pascal(name) == expected


def test_values() -> None:
    assert shown("enabled", True) == "True"
    assert shown("next_retry_time", None) == ""
    assert shown("text", "a\nb") == "a\\nb"
    assert size(37748736) == "36 MB (37,748,736 bytes)"
    assert size(1536) == "1.5 KB (1,536 bytes)"
    assert size(0) == "0 B (0 bytes)"


def test_time_spans() -> None:
    assert [time_span(s) for s in (0, 5, 600, 172800, 90061, 0.5)] == [
        "00:00:00",
        "00:00:05",
        "00:10:00",
        "2.00:00:00",
        "1.01:01:01",
        "00:00:00.5000000",
    ]


def test_off_a_terminal_nothing_is_cut_or_wrapped() -> None:
    lines = table(["Identity", "Bindings", "Note"], [ROW]).splitlines()
    assert len(lines) == 3
    assert all(cell in lines[2] for cell in ROW)


def test_on_a_terminal_it_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((60, 24)))
    lines = table(["Identity", "Bindings", "Note"], [ROW]).splitlines()
    assert len(lines) > 3
    assert max(map(len, lines)) <= 60
    assert "[red]" in "".join(lines).replace("\n", "")


def test_no_rows_no_table() -> None:
    assert table(["Identity"], []) == ""
