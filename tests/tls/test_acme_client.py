"""Tests for L{twistedrelay.tls.acme.client} and L{twistedrelay.tls.acme.responder}.  Against a real server: tests/end_to_end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import requests
import trustme
from acme import errors, messages
from twisted.internet.testing import MemoryReactorClock, StringTransport

from twistedrelay.config.schema import Acme
from twistedrelay.config.units import Binding
from twistedrelay.tls.acme.client import AcmeClient, AcmeError
from twistedrelay.tls.acme.responder import MAX_CONNECTIONS, Challenges, challenge_site
from twistedrelay.tls.pem import CertificateError
from twistedrelay.tls.selfsigned import new_key

URL = "https://acme.example/directory"
SETTINGS = Acme(directory_url=URL, terms_of_service_agreed=True, http_listen=Binding("127.0.0.1", 80))


@pytest.mark.parametrize(
    ("error", "text", "refused"),
    [
        (requests.exceptions.ConnectionError("refused"), "it cannot be asked: refused", False),
        (requests.exceptions.ReadTimeout("late"), "it cannot be asked: late", False),
        (messages.Error(typ="urn:ietf:params:acme:error:rateLimited", detail="too many"), "the authority refused: too many", True),
        (messages.Error(detail="no\n2026 [relay] all is well"), "the authority refused: no\\n2026 [relay] all is well", True),
        (errors.IssuanceError(messages.Error(detail="CAA")), "the authority refused: CAA", True),
        (errors.ValidationError([]), "the authority could not see the challenge: it does not say why", True),
        (errors.TimeoutError(), "the authority was not done within 120 seconds", False),
        (errors.ClientError("?"), "the authority's answer cannot be understood: ?", False),
        (CertificateError("no PEM"), "the authority's answer cannot be understood: no PEM", False),
        (PermissionError(13, "Permission denied", "/state/acme"), "/state/acme: Permission denied", False),
        (AcmeError("x" * 600), "x" * 500 + "…", False),
    ],
)
def test_what_can_go_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, text: str, refused: bool) -> None:
    client = AcmeClient(SETTINGS, str(tmp_path), Challenges())

    def fail(name: str, key: object) -> None:
        raise error

    monkeypatch.setattr(client, "_obtain", fail)
    with pytest.raises(AcmeError) as caught:
        client.obtain("relay.example")
    assert (str(caught.value), caught.value.refused) == (text, refused)


def test_only_what_was_asked_for_is_kept(tmp_path: Path) -> None:
    client = AcmeClient(SETTINGS, str(tmp_path), Challenges())
    other = trustme.CA().issue_cert("relay.example").cert_chain_pems[0].bytes()
    with pytest.raises(CertificateError, match="the new key: is not the private key of the certificate in the answer"):
        client._keep("relay.example", other, new_key())
    with pytest.raises(CertificateError, match="holds no certificate"):
        client._keep("relay.example", b"<html>", new_key())
    assert list(tmp_path.iterdir()) == []


def test_the_account_is_kept(tmp_path: Path) -> None:
    client = AcmeClient(SETTINGS, str(tmp_path / "acme"), Challenges())
    first = client._account_key()
    assert client._account_key().thumbprint() == first.thumbprint()
    file = tmp_path / "acme/account.json"
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def asked(challenges: Challenges, request: bytes) -> bytes:
    """What the site answers."""
    reactor = MemoryReactorClock()
    protocol: Any = challenge_site(challenges, reactor).buildProtocol(None)
    transport = StringTransport()
    protocol.makeConnection(transport)
    protocol.dataReceived(request)
    return transport.value()


def test_open_challenges_are_answered() -> None:
    challenges = Challenges()
    challenges.open("token", "token.thumbprint")
    request = b"GET /.well-known/acme-challenge/token HTTP/1.0\r\n\r\n"
    assert asked(challenges, request).endswith(b"\r\n\r\ntoken.thumbprint")
    challenges.close("token")
    assert asked(challenges, request).startswith(b"HTTP/1.0 404 ")


@pytest.mark.parametrize("path", [b"/", b"/token", b"/.well-known/acme-challenge/", b"/.well-known/acme-challenge/x/token", b"http://a/"])
def test_everything_else_is_not_found(path: bytes) -> None:
    challenges = Challenges()
    challenges.open("token", "token.thumbprint")
    said = asked(challenges, b"GET " + path + b" HTTP/1.0\r\n\r\n")
    assert said.startswith(b"HTTP/1.0 404 ")
    assert b"thumbprint" not in said


def test_bodies_and_crowds_are_turned_away() -> None:
    assert asked(Challenges(), b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n123456789") == b""
    assert b" 405 " in asked(Challenges(), b"DELETE / HTTP/1.1\r\nHost: a\r\n\r\n").partition(b"\r\n")[0]
    site: Any = challenge_site(Challenges(), MemoryReactorClock())
    for _ in range(MAX_CONNECTIONS):
        assert site.buildProtocol(None) is not None
    assert site.buildProtocol(None) is None
