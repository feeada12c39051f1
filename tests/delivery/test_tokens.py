"""Access tokens: when they are fetched, kept, renewed and thrown away; refresh tokens that change."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import attrs
import pytest
from twisted.internet.defer import CancelledError, Deferred, execute
from twisted.internet.task import Clock

from twistedrelay.config import replace
from twistedrelay.delivery.secrets import SecretError, TokenError, read_secret
from twistedrelay.delivery.tokens import BACK_OFF, REFUSALS, TokenKeeper
from twistedrelay.values.oauth import OAuthError
from twistedrelay.values.route import TokenSource


class Endpoint:
    """Requests that wait for an answer."""

    def __init__(self) -> None:
        self.requests: list[dict[str, str]] = []
        self.waiting: list[Deferred[tuple[int, bytes]]] = []

    def post(self, url: str, body: bytes, pem: bytes = b"") -> Deferred[tuple[int, bytes]]:
        assert url == "https://a.example/token"
        self.requests.append({key: values[0] for key, values in parse_qs(body.decode()).items()})
        self.waiting.append(Deferred())
        return self.waiting[-1]

    def gives(self, token: str, lifetime: float = 3600, **more: Any) -> None:
        self.says(200, access_token=token, token_type="Bearer", expires_in=lifetime, **more)

    def says(self, status: int, **answer: Any) -> None:
        self.waiting.pop(0).callback((status, json.dumps(answer).encode()))


@attrs.define
class World:
    """A keeper with everything round it."""

    directory: Path
    clock: Clock = attrs.Factory(Clock)
    endpoint: Endpoint = attrs.Factory(Endpoint)
    reports: list[str] = attrs.Factory(list)
    keeper: Any = None

    def make(self, grant: str = "refresh_token") -> World:
        refresh, secret = self.directory / "refresh", self.directory / "secret"
        refresh.write_text("old refresh\n")
        secret.write_text("client secret\n")
        source = TokenSource(
            "https://a.example/token",
            "app",
            grant,  # type: ignore[arg-type]
            str(secret),
            str(refresh) if grant == "refresh_token" else "",
            "mail",
            connector="To Cloud",
        )
        self.keeper = TokenKeeper(source, self.clock, execute, self.endpoint, replace, self.reports.append)
        return self

    @property
    def refresh(self) -> Path:
        return self.directory / "refresh"

    def ask(self) -> list[Any]:
        """The token, or the error, in a list as soon as there is one."""
        found: list[Any] = []
        self.keeper.token().addBoth(lambda result: found.append(getattr(result, "value", result)))
        return found


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path).make()
    yield made
    told = " ".join(made.reports)
    assert not any(secret in told for secret in ("client secret\n", "bad client secret", "old refresh", "rotated2", "rotated3"))


def test_one_request_for_many_waiters(world: World) -> None:
    asked = [world.ask() for _ in range(5)]
    assert asked == [[]] * 5
    world.endpoint.gives("t1")
    assert asked == [["t1"]] * 5
    assert world.ask() == ["t1"]
    assert world.endpoint.requests == [
        {
            "grant_type": "refresh_token",
            "client_id": "app",
            "client_secret": "client secret",
            "scope": "mail",
            "refresh_token": "old refresh",
        }
    ]


def test_client_credentials(tmp_path: Path) -> None:
    world = World(tmp_path).make("client_credentials")
    asked = world.ask()
    world.endpoint.gives("t1", refresh_token="not asked for")
    assert asked == ["t1"]
    assert world.endpoint.requests == [
        {"grant_type": "client_credentials", "client_id": "app", "client_secret": "client secret", "scope": "mail"}
    ]
    assert world.refresh.read_text() == "old refresh\n"


def test_renewed_ahead_of_its_end_while_the_old_one_serves(world: World) -> None:
    world.ask()
    world.endpoint.gives("t1", 3600)
    world.clock.advance(3299)
    assert world.ask() == ["t1"]
    assert len(world.endpoint.requests) == 1
    world.clock.advance(2)
    assert [world.ask(), world.ask()] == [["t1"], ["t1"]]
    assert len(world.endpoint.requests) == 2
    world.endpoint.gives("t2", 3600)
    assert world.ask() == ["t2"]


def test_an_old_token_serves_until_its_end_where_renewal_fails(world: World) -> None:
    world.ask()
    world.endpoint.gives("t1", 100)
    world.clock.advance(81)
    assert world.ask() == ["t1"]
    world.endpoint.says(503)
    assert world.ask() == ["t1"]
    assert len(world.endpoint.requests) == 2  # it is too early to ask again
    world.clock.advance(20)
    asked = world.ask()
    world.endpoint.gives("t2")
    assert asked == ["t2"]


def test_failures_are_told_at_once_and_asked_again_ever_later(world: World) -> None:
    expected = BACK_OFF[0]
    for count in range(1, 10):
        asked = world.ask()
        world.endpoint.says(503)
        assert str(asked[0]) == "No access token for the smart host: HTTP status 503 (https://a.example/token)"
        assert isinstance(asked[0], TokenError)
        world.clock.advance(expected - 0.01)
        assert str(world.ask()[0]) == str(asked[0])
        assert len(world.endpoint.requests) == count
        world.clock.advance(0.02)
        expected = min(expected * 2, BACK_OFF[1])
    assert len(world.reports) == 1
    asked = world.ask()
    world.endpoint.gives("t1")
    assert asked == ["t1"]
    assert world.reports[1] == "the token endpoint https://a.example/token gives access tokens again"


def test_a_revoked_grant_says_what_to_run_and_a_new_one_counts_at_once(world: World) -> None:
    asked = world.ask()
    world.endpoint.says(400, error="invalid_grant", error_description="AADSTS70008: the token 'old refresh' has expired")
    assert str(asked[0]) == (
        "The grant for the smart host is not valid any more; run: relayctl send-connector authorize 'To Cloud' "
        "(invalid_grant: AADSTS70008: the token '***' has expired)"
    )
    world.ask()
    assert len(world.endpoint.requests) == 1
    replace.replace(str(world.refresh), "new refresh\n")
    asked = world.ask()
    assert world.endpoint.requests[-1]["refresh_token"] == "new refresh"
    world.endpoint.gives("t1")
    assert asked == ["t1"]


def test_no_grant_yet(world: World) -> None:
    world.refresh.unlink()
    (error,) = world.ask()
    assert "no grant for the smart host yet; run: relayctl send-connector authorize 'To Cloud'" in str(error)
    world.refresh.write_text("\n")
    assert "is empty" in str(world.ask()[0])
    world.refresh.write_text("there now\n")
    asked = world.ask()
    world.endpoint.gives("t1")
    assert asked == ["t1"]


@pytest.mark.parametrize("error", ["invalid_client", "unauthorized_client"])
def test_a_client_that_is_not_known(world: World, error: str) -> None:
    asked = world.ask()
    world.endpoint.says(401, error=error, error_description="bad client secret")
    assert "check client_id and the client secret" in str(asked[0])
    assert "bad ***" in str(asked[0])


def test_the_endpoint_does_not_answer(world: World) -> None:
    asked = world.ask()
    world.endpoint.waiting.pop().errback(OAuthError("no answer within 20 seconds"))
    assert str(asked[0]) == "No access token for the smart host: no answer within 20 seconds (https://a.example/token)"


def test_what_nobody_expected(world: World) -> None:
    asked = world.ask()
    world.endpoint.waiting.pop().errback(ZeroDivisionError("client secret"))
    assert str(asked[0]) == "No access token for the smart host: ZeroDivisionError"


def test_a_new_refresh_token_is_kept_before_the_token_is_used(world: World) -> None:
    world.refresh.chmod(0o640)
    asked = world.ask()
    world.endpoint.gives("t1", 100, refresh_token="rotated2")
    assert asked == ["t1"]
    assert world.refresh.read_text() == "rotated2\n"
    assert world.refresh.stat().st_mode & 0o777 == 0o640
    world.clock.advance(100)
    world.ask()
    assert world.endpoint.requests[-1]["refresh_token"] == "rotated2"


def test_a_refresh_token_behind_a_symbolic_link_stays_there(world: World) -> None:
    real = world.directory / "elsewhere"
    world.refresh.rename(real)
    world.refresh.symlink_to(real)
    world.ask()
    world.endpoint.gives("t1", refresh_token="rotated2")
    assert world.refresh.is_symlink()
    assert real.read_text() == "rotated2\n"


def test_a_person_was_faster(world: World) -> None:
    world.ask()
    replace.replace(str(world.refresh), "of a person\n")
    world.endpoint.gives("t1", refresh_token="rotated2")
    assert world.refresh.read_text() == "of a person\n"


def test_a_new_refresh_token_that_cannot_be_written_is_used_from_memory(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: str, text: str) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(replace, "replace", full)
        asked = world.ask()
        world.endpoint.gives("t1", 100, refresh_token="rotated2")
    assert asked == ["t1"]
    assert "cannot be written (No space left on device)" in world.reports[0]
    world.clock.advance(100)
    world.ask()
    assert world.endpoint.requests[-1]["refresh_token"] == "rotated2"
    world.endpoint.gives("t2", 100, refresh_token="rotated3")
    assert world.refresh.read_text() == "rotated3\n"


def test_a_refused_token_is_replaced_once(world: World) -> None:
    world.ask()
    world.endpoint.gives("t1")
    assert world.keeper.refused("t1")
    asked = world.ask()
    assert world.keeper.refused("t1")  # another connection, with the same old one
    world.endpoint.gives("t2")
    assert asked == ["t2"]
    assert not world.keeper.refused("t2")
    assert world.ask() == ["t2"]
    world.clock.advance(REFUSALS)
    assert world.keeper.refused("t2")
    assert len(world.endpoint.requests) == 2


def test_who_waits_no_more_does_not_end_the_request(world: World) -> None:
    waiting = world.keeper.token()
    asked = world.ask()
    errors: list[Any] = []
    waiting.addErrback(lambda failure: errors.append(failure.type))
    waiting.cancel()
    world.endpoint.gives("t1")
    assert (errors, asked) == ([CancelledError], ["t1"])


# Files.


def test_a_secret_is_the_first_line(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(b"p\xe4ss word \r\nsecond\n")
    assert read_secret(str(file)) == "p\udce4ss word "


def test_a_systemd_credential(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(SecretError, match="LoadCredential=relay:FILE"):
        read_secret("$CREDENTIALS_DIRECTORY/relay")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    with pytest.raises(SecretError, match="No such file"):
        read_secret("$CREDENTIALS_DIRECTORY/relay")
    (tmp_path / "relay").write_text("secret\n")
    assert read_secret("$CREDENTIALS_DIRECTORY/relay") == "secret"
    assert os.environ["CREDENTIALS_DIRECTORY"] == str(tmp_path)
