"""How long delivery takes, step by step, against a scripted server."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import inlineCallbacks

from tests.delivery.agent_case import AgentCase
from tests.delivery.peers import Lane, Server, job


class MeasureTests(AgentCase):
    """Each step is measured once."""

    @inlineCallbacks
    def test_a_connection_and_its_transactions(self) -> Any:
        lane = Lane(self.serve(Server()), job("one@b"), job("two@b"))
        again = job("three@b")
        again.recipients[0].attempts = 1
        lane.jobs.append(again)
        yield self.agent.run(lane)
        measures = self.agent.measures
        assert measures.connects.count == 1
        assert measures.setups.count == 1
        assert measures.handshakes.count == 0
        assert measures.transactions.count == 3
        assert measures.waits.count == 2
        assert dict(measures.tls) == {("connector", "may", "clear-text"): 1}
        assert self.agent.connections == 1
