"""Tests for L{twistedrelay.tls.acme.renewal}.  Against a real server: tests/end_to_end."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from twisted.internet.error import CannotListenError
from twisted.internet.testing import MemoryReactorClock

from tests.network import PATIENCE
from tests.tls.files import write
from tests.tls.handshakes import config_of, connector
from twistedrelay.config.schema import Acme, Certificate, Config
from twistedrelay.config.units import Binding
from twistedrelay.tls.acme import renewal
from twistedrelay.tls.acme.client import AcmeError, certificate_file
from twistedrelay.tls.acme.renewal import Renewal, in_thread
from twistedrelay.tls.store import CertificateStore
from twistedrelay.values.events import ServiceEvent

DAY = 86400.0
URL = "https://acme.example/directory"
SETTINGS = Acme(directory_url=URL, terms_of_service_agreed=True, http_listen=Binding("127.0.0.1", 80))
START = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC).timestamp()


class Reactor(MemoryReactorClock):
    """A clock that starts today, and a port that can be taken."""

    taken = False

    def __init__(self) -> None:
        super().__init__()
        self.advance(START)

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        if self.taken:
            raise CannotListenError(interface, port, OSError(98, "Address already in use"))
        return super().listenTCP(port, factory, backlog, interface)


class Authority:
    """Gives certificates, or does not; in place of the client."""

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor
        self._ca = trustme.CA()
        self.life = 90.0
        self.problem: Exception | None = None
        self.asked: list[tuple[float, str, bool]] = []

    def __call__(self, settings: Acme, directory: str, answers: object) -> Any:
        self.directory = directory
        return self

    def obtain(self, name: str, old_clients: bool = False) -> None:
        self.asked.append(((self._reactor.seconds() - START) / DAY, name, old_clients))
        if self.problem is not None:
            raise self.problem
        now = datetime.datetime.fromtimestamp(self._reactor.seconds(), datetime.UTC)
        end = now + datetime.timedelta(days=self.life)
        kind = trustme.KeyType.RSA if old_clients else trustme.KeyType.ECDSA
        made = self._ca.issue_cert(name, not_before=now, not_after=end, key_type=kind)
        Path(self.directory).mkdir(exist_ok=True, parents=True)
        content = made.private_key_pem.bytes() + made.cert_chain_pems[0].bytes()
        write(Path(certificate_file(self.directory, name)), content)


class Site:
    """A relay's renewal with a clock that the test turns."""

    def __init__(self, config: Config) -> None:
        self.reactor = Reactor()
        self.authority = Authority(self.reactor)
        self.events: list[ServiceEvent] = []
        now = lambda: datetime.datetime.fromtimestamp(self.reactor.seconds(), datetime.UTC)  # noqa: E731
        self.store = CertificateStore(config.certificates, config.server.state_directory, now=now)
        assert self.store.load() == []
        self.service = Renewal(self.reactor, config, self.store, self.store.refresh, self.events.append, self.authority, lambda: 0.5)

    def start(self) -> Site:
        self.service.privilegedStartService()
        self.service.startService()
        self.reactor.advance(0)
        return self

    def days(self, count: float) -> list[tuple[float, str]]:
        """Let days pass; when and for what the authority was asked then."""
        before = len(self.authority.asked)
        for _ in range(round(count * 24)):
            self.reactor.advance(DAY / 24)
        return [(round(day, 1), name) for day, name, _ in self.authority.asked[before:]]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No threads."""
    from twisted.internet.defer import maybeDeferred

    monkeypatch.setattr(renewal, "in_thread", lambda reactor, work: maybeDeferred(work))


def acme_config(tmp_path: Path, *certificates: Certificate, names: tuple[str, ...] = (), **connectors: Any) -> Config:
    config = config_of(tmp_path, connectors or {"A": connector()}, certificates)
    return config.model_copy(update={"acme": SETTINGS.model_copy(update={"names": list(names)})})


def issued(tmp_path: Path, name: str) -> Certificate:
    made = trustme.CA().issue_cert(name)
    made.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "own.pem"))
    return Certificate(certificate=str(tmp_path / "own.pem"), private_key=str(tmp_path / "own.pem"))


def test_the_names(tmp_path: Path) -> None:
    config = acme_config(
        tmp_path,
        issued(tmp_path, "own.example"),
        names=("MTA-STS.example", "own2.example"),
        A=connector(fqdn="Relay.example"),
        B=connector(fqdn="relay.example", tls_cipher_profile="Old"),
        Off=connector(fqdn="off.example", enabled=False),
        Clear=connector(fqdn="clear.example", auth_mechanism=["None"]),
        Named=connector(fqdn="named.example", tls_certificate_name="0" * 40),
        Own=connector(fqdn="own.example"),
    )
    site = Site(config)
    expected = {"mta-sts.example": False, "own2.example": False, "relay.example": True}
    assert site.service.names() == expected
    site.store.self_signed("relay.example")
    site.start()
    assert [(name, old) for _, name, old in site.authority.asked] == list(expected.items())
    assert site.service.names() == expected
    pair = site.store.for_fqdn("relay.example", old_clients=True)
    assert pair is not None
    assert site.store.from_acme(pair)
    assert isinstance(pair.key, RSAPrivateKey)


def test_renewed_when_a_third_is_left(tmp_path: Path) -> None:
    site = Site(acme_config(tmp_path)).start()
    assert [event.text for event in site.events] == [f"{URL} has given a certificate for relay.example"]
    # 90 days, less 30, less the half of 4.5 that chance says.
    assert site.days(130) == [(57.8, "relay.example"), (115.5, "relay.example")]
    assert site.store.load() == []
    again = Site(acme_config(tmp_path))
    again.reactor.advance(130 * DAY)
    again.start()
    assert again.authority.asked == []


@pytest.mark.parametrize(("refused", "waits"), [(False, [10, 20, 40, 80]), (True, [900, 1800, 3600, 7200])])
def test_ever_later_after_failures(tmp_path: Path, refused: bool, waits: list[float]) -> None:
    site = Site(acme_config(tmp_path))
    site.authority.problem = AcmeError("no", refused)
    site.start()
    for seconds in waits:
        asked = len(site.authority.asked)
        site.reactor.advance(seconds - 1)
        assert len(site.authority.asked) == asked
        site.reactor.advance(1)
        assert len(site.authority.asked) == asked + 1
    first = site.events[0]
    span = "0:15:00" if refused else "0:00:10"
    assert (first.level, first.text) == (
        "error",
        f"no certificate for relay.example could be had from {URL}: no; tried again in {span}",
    )
    most = DAY if refused else 3600
    site.days(20)
    before = len(site.authority.asked)
    assert len(site.days(10)) == pytest.approx(10 * DAY / most, abs=1)
    site.authority.problem = None
    site.days(1.1)
    assert site.events[-1].level == "info"
    asked = len(site.authority.asked)
    assert asked > before
    assert site.days(30) == []


def test_a_renewal_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    site = Site(acme_config(tmp_path)).start()
    site.authority.problem = AcmeError("no", refused=True)
    site.days(80)
    pair = site.store.for_fqdn("relay.example")
    assert pair is not None
    assert site.store.from_acme(pair)
    assert 20 < len(site.events) < 40


def test_a_defect_of_ours_is_a_failure_like_others(tmp_path: Path) -> None:
    site = Site(acme_config(tmp_path))
    site.authority.problem = ZeroDivisionError("oops")
    site.start()
    assert [event.level for event in site.events] == ["error"]
    site.authority.problem = None
    site.reactor.advance(11)
    assert len(site.authority.asked) == 2


def test_certificates_that_are_over_at_once_are_not_asked_for_without_end(tmp_path: Path) -> None:
    site = Site(acme_config(tmp_path))
    site.authority.life = 0.0001
    site.start()
    assert len(site.days(1)) == pytest.approx(24, abs=1)


def test_one_name_does_not_keep_another_waiting(tmp_path: Path) -> None:
    site = Site(acme_config(tmp_path, A=connector(fqdn="bad.example"), B=connector(fqdn="good.example")))
    give = site.authority.obtain

    def obtain(name: str, old_clients: bool = False) -> None:
        if name == "bad.example":
            raise AcmeError("no", refused=True)
        give(name, old_clients)

    site.authority.obtain = obtain  # type: ignore[method-assign]
    site.start()
    assert [event.level for event in site.events] == ["error", "info"]


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    site = Site(acme_config(tmp_path))
    site.reactor.taken = True
    site.start()
    assert "cannot listen on 127.0.0.1:80: Address already in use; tried again" in site.events[0].text
    assert site.authority.asked == []
    site.reactor.taken = False
    site.reactor.advance(11)
    assert len(site.authority.asked) == 1


def test_stop(tmp_path: Path) -> None:
    site = Site(acme_config(tmp_path)).start()
    site.service.stopService()
    assert site.reactor.getDelayedCalls() == []
    never = Site(acme_config(tmp_path))
    assert never.service.stopService() is None


def test_threads_that_nobody_waits_for() -> None:
    calls: list[tuple[Any, ...]] = []
    came = threading.Event()

    class Threads:
        def callFromThread(self, function: Callable[..., Any], *arguments: Any) -> None:
            calls.append((function, *arguments))
            came.set()

    def fail() -> None:
        assert threading.current_thread().daemon
        raise AcmeError("no")

    results: list[Any] = []
    for work in (fail, lambda: None):
        came.clear()
        done = in_thread(Threads(), work)
        done.addBoth(results.append)
        assert came.wait(PATIENCE)
        function, *arguments = calls.pop()
        function(*arguments)
    assert [type(getattr(result, "value", result)) for result in results] == [AcmeError, type(None)]
