"""Tests for L{twistedrelay.tls.sendchecks}."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.tls.handshakes import config_of
from twistedrelay.config.schema import Certificate, Config, SendConnector, Transport
from twistedrelay.tls import sendchecks
from twistedrelay.tls.sendchecks import sending_problems, sending_warnings
from twistedrelay.tls.store import CertificateStore

if TYPE_CHECKING:
    from conftest import Authority


def sending(tmp_path: Path, certificates: tuple[Certificate, ...] = (), **values: Any) -> Config:
    connector = SendConnector(**{"address_spaces": ["*"], **values})
    return config_of(tmp_path, {}, certificates).model_copy(update={"send_connectors": {"Internet": connector}})


def thumbprint(tmp_path: Path, certificate: Certificate) -> str:
    store = CertificateStore([certificate], str(tmp_path))
    store.load()
    return store.list()[0].thumbprint


def test_a_certificate_that_is_shown(authority: Authority, tmp_path: Path) -> None:
    files = authority.issue("relay.example")
    name = thumbprint(tmp_path, files)
    assert sending_problems(sending(tmp_path, (files,), tls_certificate_name=name)) == []
    [problem] = sending_problems(sending(tmp_path, (files,), tls_certificate_name="0" * 40))
    assert problem.path == ("send_connectors", "Internet", "tls_certificate_name")
    assert "is not in the store; there are: " in problem.text
    assert name in problem.text
    assert sending_problems(sending(tmp_path, (files,), tls_certificate_name="0" * 40, enabled=False)) == []


def test_a_certificate_that_ends_soon(authority: Authority, tmp_path: Path) -> None:
    now, days = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    files = authority.issue("relay.example", not_before=now - 90 * days, not_after=now + 5 * days)
    [problem] = sending_warnings(sending(tmp_path, (files,), tls_certificate_name=thumbprint(tmp_path, files)))
    assert problem.path == ("send_connectors", "Internet", "tls_certificate_name")
    assert " ends on " in problem.text
    assert list(sending_warnings(sending(tmp_path, (files,)))) == []


def test_required_dane_needs_a_validating_server_here(tmp_path: Path) -> None:
    for servers, count in ((["127.0.0.1", "[::1]:5353"], 0), (["127.0.0.1", "192.0.2.53"], 1), ([], 0)):
        config = sending(tmp_path, smtp_dane="Required")
        config.server.external_dns_servers.extend(servers)
        found = sending_problems(config)
        assert [problem.path for problem in found] == [("send_connectors", "Internet", "smtp_dane")] * count
    config = sending(tmp_path)
    config.server.external_dns_servers.append("192.0.2.53")
    assert sending_problems(config) == []


def test_the_systems_servers_are_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sendchecks, "system_servers", lambda: ["127.0.0.53", "192.0.2.53"])
    [problem] = sending_warnings(sending(tmp_path, smtp_dane="Required"))
    assert problem.path == ("send_connectors", "Internet", "smtp_dane")
    assert problem.text.endswith("the system asks 192.0.2.53")
    assert list(sending_warnings(sending(tmp_path))) == []
    monkeypatch.setattr(sendchecks, "system_servers", lambda: ["::1"])
    assert list(sending_warnings(sending(tmp_path, smtp_dane="Required"))) == []
    assert all(isinstance(server, str) for server in sendchecks.system_servers())


def test_the_socket_for_reports(tmp_path: Path) -> None:
    for length, count in ((107, 0), (108, 1)):
        config = sending(tmp_path).model_copy(update={"transport": Transport(tls_report_socket="/" + "x" * (length - 1))})
        assert len(sending_problems(config)) == count
