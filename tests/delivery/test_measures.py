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
        self.assertEqual(measures.connects.count, 1)
        self.assertEqual(measures.setups.count, 1)
        self.assertEqual(measures.handshakes.count, 0)
        self.assertEqual(measures.transactions.count, 3)
        self.assertEqual(measures.waits.count, 2)
        self.assertEqual(dict(measures.tls), {("connector", "may", "clear-text"): 1})
        self.assertEqual(self.agent.connections, 1)
