"""Any order of stores, results and restarts gives what a dictionary would."""

from __future__ import annotations

import shutil
import tempfile

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.spool.world import World, defer, deliver
from twistedrelay.values.envelope import Message


class SpoolModel(RuleBasedStateMachine):
    """The spool beside a dictionary of what should be in it: for each id the content and when each waiting recipient is due."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.mkdtemp()
        self.world = World(f"{self.directory}/spool")
        self.world.options.update(inline_limit=100)
        self.held: dict[int, Message] = {}
        self.expected: dict[int, tuple[bytes, dict[int, float]]] = {}

    @rule(size=st.sampled_from([0, 1, 100, 101, 5000]), recipients=st.integers(1, 3))
    def store(self, size: int, recipients: int) -> None:
        content = b"m" * size
        message = self.world.store(content, recipients)
        assert message.id not in self.expected
        self.held[message.id] = message
        self.expected[message.id] = (content, dict.fromkeys(range(recipients), 0.0))

    @precondition(lambda self: self.held)
    @rule(data=st.data(), delivered=st.booleans(), at=st.integers(1, 100))
    def record(self, data: st.DataObject, delivered: bool, at: int) -> None:
        message = self.held[data.draw(st.sampled_from(sorted(self.held)))]
        waiting = self.expected[message.id][1]
        index = data.draw(st.sampled_from(sorted(waiting)))
        (recipient,) = [recipient for recipient in message.recipients if recipient.index == index]
        self.world.wait(self.world.spool.record(message, deliver(recipient) if delivered else defer(float(at), recipient)))
        if not delivered:
            waiting[index] = float(at)
            return
        del waiting[index]
        if not waiting:
            del self.expected[message.id], self.held[message.id]

    @rule()
    def restart(self) -> None:
        self.world.close()
        self.held = {message.id: message for message in self.world.load(*self.expected)}

    @invariant()
    def agrees(self) -> None:
        due = sorted((min(waiting.values()), number) for number, (_, waiting) in self.expected.items())
        assert self.world.wait(self.world.spool.due(1000.0, 1000)) == due
        for message in self.world.load(*self.expected):
            content, waiting = self.expected[message.id]
            assert {recipient.index: recipient.next_attempt for recipient in message.recipients} == waiting
            assert self.world.content(message) == content

    def teardown(self) -> None:
        self.world.close()
        shutil.rmtree(self.directory)


SpoolModel.TestCase.settings = settings(max_examples=10, stateful_step_count=12, deadline=None, database=None)
TestModel = SpoolModel.TestCase
