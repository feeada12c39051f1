"""Tests for L{twistedrelay.routing.stskeeper}."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.routing.names import FakeNames
from twistedrelay.config.schema import Config, SendConnector, Server
from twistedrelay.routing.mtasts import Policy
from twistedrelay.routing.stskeeper import REFRESH_INTERVAL, SAVE_INTERVAL, PolicyKeeper, SecurityService
from twistedrelay.routing.stspolicies import Policies
from twistedrelay.tls.outbound import ClientContexts
from twistedrelay.values.events import Event, ServiceEvent

ENFORCED = Policy("enforce", ("mx.example",), 604800)


class Reactor(Clock):
    """A clock with a thread pool that works at once."""

    def getThreadPool(self) -> Reactor:
        return self

    def callInThreadWithCallback(self, done: Any, work: Any, *args: Any, **kwargs: Any) -> None:
        try:
            result = work(*args, **kwargs)
        except OSError as error:
            from twisted.python.failure import Failure

            done(False, Failure(error))
        else:
            done(True, result)

    def callFromThread(self, work: Any, *args: Any) -> None:
        work(*args)


class KeeperTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = Reactor()
        self.reactor.advance(1_000_000)
        self.names = FakeNames()
        self.names.records["_mta-sts.example", "TXT"] = ['"v=STSv1; id=1;"']
        self.path = Path(self.mktemp())
        self.told: list[Event] = []
        self.fetched = 0
        self.keeper = self.made()

    def made(self) -> PolicyKeeper:
        def fetch(domain: str) -> Any:
            self.fetched += 1
            return succeed(ENFORCED)

        self.policies = Policies(self.reactor, self.names, fetch)
        keeper = PolicyKeeper(self.reactor, self.policies, str(self.path), self.told.append)
        keeper.startService()
        return keeper

    def test_kept_and_found_again(self) -> None:
        self.successResultOf(self.policies.find("example"))
        self.reactor.advance(SAVE_INTERVAL)
        assert "mx.example" in self.path.read_text()
        self.successResultOf(self.keeper.stopService())
        self.keeper = self.made()
        assert self.successResultOf(self.policies.find("example")).policy == ENFORCED
        assert self.fetched == 1
        self.successResultOf(self.keeper.stopService())

    def test_the_end_writes_too(self) -> None:
        self.successResultOf(self.policies.find("example"))
        self.successResultOf(self.keeper.stopService())
        assert "mx.example" in self.path.read_text()
        assert self.reactor.getDelayedCalls() == []
        assert self.told == []

    def test_nothing_new_is_not_written(self) -> None:
        self.reactor.advance(SAVE_INTERVAL)
        self.successResultOf(self.keeper.stopService())
        assert not self.path.exists()

    def test_refreshed(self) -> None:
        self.successResultOf(self.policies.find("example"))
        self.reactor.pump([REFRESH_INTERVAL] * 26)
        assert self.fetched == 2
        self.successResultOf(self.keeper.stopService())

    def test_a_file_that_cannot_be_read_or_written(self) -> None:
        self.successResultOf(self.keeper.stopService())
        self.path.write_text("{broken")
        self.keeper = self.made()
        [event] = self.told
        assert isinstance(event, ServiceEvent)
        assert event.text.startswith("the kept MTA-STS policies cannot be read, and are fetched again")
        self.path.unlink()
        self.path.mkdir()
        self.successResultOf(self.policies.find("example"))
        self.successResultOf(self.keeper.stopService())
        assert len(self.told) == 2
        assert "cannot be kept" in str(self.told[1])


@pytest.mark.parametrize(
    ("local", "connectors", "said"),
    [
        (False, {"A": {}}, 1),
        (True, {"A": {}}, 0),
        (False, {"A": {"smtp_dane": "None"}, "B": {"smart_hosts": ["smtp.example"]}, "C": {"enabled": False}}, 0),
        (False, {}, 0),
    ],
)
def test_it_is_said_where_there_is_no_dane(local: bool, connectors: dict[str, dict[str, Any]], said: int) -> None:
    told: list[Event] = []
    sending = {name: SendConnector(**{"address_spaces": ["*"], **keys}) for name, keys in connectors.items()}
    config = Config(server=Server(name="E", fqdn="relay.example", state_directory="/state"), send_connectors=sending)
    SecurityService(Reactor(), config, FakeNames(local), ClientContexts(), told.append)
    assert len(told) == said
