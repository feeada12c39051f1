"""Names and values."""

from __future__ import annotations

import pytest

from twistedrelay.answers.connectors import time_span
from twistedrelay.relayctl.names import pascal, shown, size


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
