"""The keys of a provider."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.policy.oauth.issuer import EC, ED, RSA, jwk, jwks
from twistedrelay.policy.oauth.keys import FetchedKeys, FileKeys, Key, KeysError, KeySet

ALL = jwks(jwk(RSA, "rsa"), jwk(EC, "ec"), jwk(ED, "ed"))


def test_keys_and_what_they_are_good_for() -> None:
    keys = KeySet(ALL)

    def algorithms(kid: str) -> list[str]:
        found = keys.find(kid)
        assert found is not None
        return sorted(found.algorithms)

    assert algorithms("rsa") == ["RS256", "RS384", "RS512"]
    assert algorithms("ec") == ["ES256"]
    assert algorithms("ed") == ["EdDSA"]
    assert keys.find("other") is None
    assert keys.find(None) is None, "with several keys a token must say which"
    only = KeySet(jwks(jwk(RSA, None, alg="RS256"))).find(None)
    assert only is not None
    assert only.algorithms == {"RS256"}


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"[]",
        b'{"keys": 1}',
        b'{"keys": []}',
        b'{"keys": [1, {"kty": "oct", "k": "c2VjcmV0", "kid": "a"}]}',
        jwks(jwk(RSA, "a", use="enc")),
        jwks(jwk(RSA, "a", alg="HS256")),
        jwks(jwk(RSA, "a", alg="none")),
        jwks(jwk(RSA, "a", alg=["RS256"])),
        jwks(jwk(RSA, "a", d="AQAB")),
        jwks(jwk(EC, "a", crv="P-384")),
        jwks(jwk(rsa.generate_private_key(65537, 1024), "a")),
        jwks({"kty": "RSA", "kid": "a", "n": "!", "e": "AQAB"}),
        b"[" * 100_000,
    ],
)
def test_what_cannot_be_used(octets: bytes) -> None:
    with pytest.raises(KeysError):
        KeySet(octets)


def test_a_set_is_bounded() -> None:
    keys = KeySet(jwks(*(jwk(EC, str(number)) for number in range(150))))
    assert keys.find("99") is not None
    assert keys.find("120") is None


def at_once(function: Any, *arguments: Any) -> Deferred[Any]:
    return maybeDeferred(function, *arguments)


class FileTests(SynchronousTestCase):
    """Keys in a file."""

    def test_a_changed_file_is_read_again_and_a_broken_one_is_not_used(self) -> None:
        path = Path(self.enterContext(tempfile.TemporaryDirectory())) / "keys.json"
        keys = FileKeys(str(path), at_once)
        self.failureResultOf(keys.find("rsa"), KeysError)
        path.write_bytes(jwks(jwk(RSA, "rsa")))
        assert self.successResultOf(keys.find("rsa")) is not None
        path.write_bytes(jwks(jwk(EC, "ec"), jwk(ED, "ed")))
        os.utime(path, ns=(1, 1))
        assert self.successResultOf(keys.find("rsa")) is None
        assert self.successResultOf(keys.find("ec")) is not None
        path.write_text("broken")
        assert self.successResultOf(keys.find("ec")) is not None
        path.unlink()
        assert self.successResultOf(keys.find("ec")) is not None
        path.write_bytes(jwks(jwk(RSA, "rsa")))
        assert self.successResultOf(keys.find("rsa")) is not None


class FetchedTests(SynchronousTestCase):
    """Keys from the provider."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1e9)
        self.fetches: list[Deferred[bytes]] = []
        self.keys = FetchedKeys("https://login.example/keys", self.fetch, self.clock)

    def fetch(self, url: str) -> Deferred[bytes]:
        assert url == "https://login.example/keys"
        self.fetches.append(Deferred())
        return self.fetches[-1]

    def ask(self, kid: str) -> Deferred[Key | None]:
        found: Deferred[Key | None] = self.keys.find(kid)
        return found

    def test_fetched_once_for_all_that_wait(self) -> None:
        waiting = [self.ask("rsa") for _ in range(5)]
        assert len(self.fetches) == 1
        self.fetches[0].callback(ALL)
        assert all(self.successResultOf(answer) is not None for answer in waiting)
        assert self.successResultOf(self.ask("ec")) is not None
        assert len(self.fetches) == 1

    def test_unknown_keys_are_asked_for_once_a_minute(self) -> None:
        first = self.ask("rsa")
        self.fetches[0].callback(jwks(jwk(EC, "ec")))
        assert self.successResultOf(first) is None
        for number in range(100):
            assert self.successResultOf(self.ask(f"made up {number}")) is None
        assert len(self.fetches) == 1
        self.clock.advance(61)
        rotated = self.ask("rsa")
        assert len(self.fetches) == 2
        self.fetches[1].callback(ALL)
        assert self.successResultOf(rotated) is not None

    def test_a_provider_that_is_down(self) -> None:
        first = self.ask("rsa")
        self.fetches[0].errback(Failure(KeysError("HTTP status 500")))
        assert "HTTP status 500" in self.failureResultOf(first, KeysError).getErrorMessage()
        self.failureResultOf(self.ask("rsa"), KeysError)
        assert len(self.fetches) == 1
        self.clock.advance(61)
        again = self.ask("rsa")
        self.fetches[1].callback(ALL)
        assert self.successResultOf(again) is not None

    def test_old_keys_serve_for_a_day(self) -> None:
        first = self.ask("rsa")
        self.fetches[0].callback(ALL)
        self.successResultOf(first)
        self.clock.advance(3601)
        later = self.ask("rsa")
        self.fetches[1].callback(b"not json")
        assert self.successResultOf(later) is not None
        self.clock.advance(86400)
        expired = self.ask("rsa")
        self.fetches[2].errback(Failure(OSError("no route")))
        self.failureResultOf(expired, KeysError)

    def test_who_gives_up_waiting_does_not_end_the_fetch(self) -> None:
        first, second = self.ask("rsa"), self.ask("rsa")
        first.addErrback(lambda failure: None)
        first.cancel()
        self.fetches[0].callback(ALL)
        assert self.successResultOf(second) is not None
        assert json.loads(ALL)["keys"]
