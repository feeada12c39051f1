"""The engine beside the model, step by step: any commands, in any packets, with any answer at any time."""

from __future__ import annotations

import attrs
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.proof.logins import PASSWORD, VERIFIER
from tests.proof.model import SAYINGS, Model
from tests.wire.driver import BANNER, SETTINGS, codes
from twistedrelay.values.reply import Reply
from twistedrelay.wire.events import Authenticated, Content, EndOfContent, Event, ProtocolError, Reset, ScramChallenge
from twistedrelay.wire.server import SMTPServer

#: What a session may answer, by what it is asked; what is not here has only the reply that the protocol calls for, or 421.
ANSWERS: dict[str, tuple[int, ...]] = {
    "Hello": (250, 501),
    "Mail": (250, 250, 250, 451, 550),
    "Rcpt": (250, 250, 250, 452, 550),
    "Data": (354, 354, 354, 452),
    "Bdat": (250, 250, 250, 452, 554),
    "EndOfContent": (250, 250, 451, 554),
    "ScramChallenge": (334, 334, 334, 454),
    "Authenticate": (235, 454, 535),
    "StartTLS": (220, 220, 454),
}

#: C{"hello"} is the one that the server wants.
ANYTHING = sorted([*SAYINGS, "hello"])

#: What is said in a transaction by BDAT.
IN_CHUNKS = [name for name in SAYINGS if name.startswith("BDAT")] + ["BDAT", "BDAT last", "RCPT", "MAIL", "DATA", "NOOP", "RSET"]

#: What is said behind a SCRAM exchange's beginning.
IN_SCRAM = ["SCRAM proof", "SCRAM proof", "SCRAM guess", "SCRAM of another exchange", "nothing", "nothing", "cancel", "NOOP", "MAIL"]

ENVELOPE = ["hello", "MAIL", "RCPT", "RCPT other"]

MECHANISMS = ("LOGIN", "PLAIN", "SCRAM-SHA-256", "XOAUTH2")


class EngineMachine(RuleBasedStateMachine):
    """The engine and the model get the same octets and the same answers."""

    def __init__(self) -> None:
        super().__init__()
        self.connect(False)

    def connect(self, lmtp: bool) -> None:
        """A new session, of both."""
        self.engine = SMTPServer(attrs.evolve(SETTINGS, xclient=True, lmtp=lmtp, auth_mechanisms=MECHANISMS))
        self.model = Model(SETTINGS.max_message_size or 0, lmtp, trusted=True, mechanisms=MECHANISMS)
        self.sayings = {**SAYINGS, "hello": SAYINGS["LHLO" if lmtp else "EHLO"]}
        self.logins = 0
        self.engine.greet(BANNER)
        self.engine.data_to_send()
        self.said: list[int] = []
        self.waiting: Event | None = None
        self.content: list[bytes] = []
        self.stored: list[bytes] = []

    def decide_all(self) -> None:
        """The session answers all that is asked, as usual."""
        while (asked := self.model.pending) is not None:
            self.answer(asked.code or ANSWERS[asked.about][0])

    def begin_anew(self) -> None:
        """Whatever is going on ends: what follows is read as commands.  Random steps alone would stay in it for long."""
        self.decide_all()
        model = self.model
        if model.closed:
            self.connect(model.lmtp)
        elif model.awaiting_tls:
            self.handshake()
        elif model.chunk is not None:
            self.receive(b"x" * (model.chunk.size - len(model.unread)))
        elif model.unread:
            self.receive(b"\r\n")
        if self.model.content is not None:
            self.receive(b"\r\n.\r\n")
        self.decide_all()

    @rule(name=st.sampled_from(ANYTHING), cuts=st.lists(st.integers(0, 60), max_size=2), quick=st.sampled_from([True, True, False]))
    def say(self, name: str, cuts: list[int], quick: bool) -> None:
        """One command, in up to three packets, whatever is going on; or what is going on ends first."""
        if quick:
            self.decide_all()
        octets = self.sayings[name]
        places = sorted(min(cut, len(octets)) for cut in cuts)
        for start, end in zip([0, *places], [*places, len(octets)], strict=True):
            self.receive(octets[start:end])

    @rule(names=st.lists(st.sampled_from(sorted(SAYINGS.keys() - {"STARTTLS", "QUIT"})), min_size=2, max_size=6))
    def pipeline(self, names: list[str]) -> None:
        """Many commands in one packet."""
        self.receive(b"".join(self.sayings[name] for name in names))

    @rule(names=st.sampled_from([ENVELOPE, [*ENVELOPE, "DATA"], [*ENVELOPE, "DATA", "content"]]), quick=st.booleans())
    def transaction(self, names: list[str], quick: bool) -> None:
        """What most clients do; random commands alone rarely get so far."""
        self.begin_anew()
        for name in names:
            self.receive(self.sayings[name])
            if quick:
                self.decide_all()

    @rule(mail=st.sampled_from(["MAIL", "MAIL", "MAIL binary"]), names=st.lists(st.sampled_from(IN_CHUNKS), max_size=5))
    def in_chunks(self, mail: str, names: list[str]) -> None:
        """A transaction by BDAT, with whatever else comes between its chunks."""
        self.begin_anew()
        for name in ("hello", mail, "RCPT", "RCPT other"):
            self.receive(self.sayings[name])
            self.decide_all()
        self.receive(b"".join(self.sayings[name] for name in names))

    @rule(
        name=st.sampled_from(["STARTTLS", "AUTH", "AUTH begun", "AUTH in steps", "SCRAM whole", "SCRAM disagreed", "token", "XCLIENT"]),
        late=st.sampled_from([b"", b"", b"R", b"RSET\r\n"]),
    )
    def secure_or_log_in(self, name: str, late: bytes) -> None:
        """A hello, and what may follow only it; perhaps octets that come before it is answered."""
        self.begin_anew()
        self.receive(self.sayings["hello"])
        self.decide_all()
        self.receive(self.sayings[name])
        if late:
            self.receive(late)

    @rule(begin=st.sampled_from(["SCRAM", "SCRAM in steps"]), names=st.lists(st.sampled_from(IN_SCRAM), max_size=4))
    def in_scram(self, begin: str, names: list[str]) -> None:
        """A SCRAM exchange, with whatever the client says in it."""
        self.begin_anew()
        for name in ("hello", "RSET", begin):
            self.receive(self.sayings[name])
            self.decide_all()
        self.receive(b"".join(self.sayings[name] for name in names))

    @initialize(lmtp=st.sampled_from([False, False, True]))
    def come(self, lmtp: bool) -> None:
        """The client connects."""
        self.connect(lmtp)

    @precondition(lambda self: self.model.closed)
    @rule(lmtp=st.sampled_from([False, False, True]))
    def come_again(self, lmtp: bool) -> None:
        """The client connects again."""
        self.both_stand_at_the_same_place()
        self.connect(lmtp)

    @precondition(lambda self: self.model.pending is not None)
    @rule(data=st.data(), count=st.integers(1, 12))
    def answers(self, data: st.DataObject, count: int) -> None:
        """The session makes up its mind on some of what is asked."""
        while count and (asked := self.model.pending) is not None:
            count -= 1
            self.answer(data.draw(st.sampled_from((asked.code,) if asked.code else ANSWERS[asked.about])))

    @precondition(lambda self: self.model.pending is not None)
    @rule(sure=st.sampled_from([False] * 9 + [True]))
    def give_up(self, sure: bool) -> None:
        """421, whatever was asked."""
        if sure:
            self.answer(421)

    def answer(self, code: int) -> None:
        """Answer what is asked."""
        self.model.answer(code)
        if isinstance(self.waiting, EndOfContent):
            if code == 250:
                self.stored.append(b"".join(self.content))
            self.content.clear()
        waiting, self.waiting = self.waiting, None
        if isinstance(waiting, ScramChallenge) and code == 334:
            self.engine.challenge(VERIFIER(PASSWORD), b"")
        else:
            self.engine.respond(Reply(code, "", "text"))
        self.go_on()

    @precondition(lambda self: self.model.awaiting_tls)
    @rule()
    def handshake(self) -> None:
        """TLS begins."""
        self.collect()
        self.model.tls_started()
        self.engine.tls_started()
        self.go_on()

    def receive(self, octets: bytes) -> None:
        """Octets of the client."""
        self.engine.receive_data(octets)
        self.model.receive(octets)
        self.go_on()

    def go_on(self) -> None:
        """Both read on until they have to wait."""
        self.model.step()
        while (event := self.engine.next_event()) is not None:
            if isinstance(event, Content):
                self.content.append(event.chunk)
            elif isinstance(event, Reset):
                self.content.clear()
            elif isinstance(event, Authenticated):
                self.logins += 1
            else:
                assert self.waiting is None, "two questions at once"
                self.waiting = event
        self.collect()

    def collect(self) -> None:
        """What the engine said."""
        self.said += codes(self.engine.data_to_send())

    @invariant()
    def both_say_and_ask_the_same(self) -> None:
        """The replies, and what is being asked."""
        assert self.said == self.model.said
        assert self.logins == self.model.logins
        asked = self.model.pending
        assert type(self.waiting).__name__ == (asked.about if asked else "NoneType")
        if isinstance(self.waiting, ProtocolError):
            assert asked is not None
            assert self.waiting.reply.code == asked.code
        if isinstance(self.waiting, EndOfContent):
            assert asked is not None
            assert (self.waiting.fault.code if self.waiting.fault else 0) == asked.code

    @invariant()
    def both_stand_at_the_same_place(self) -> None:
        """What the session can see of the engine."""
        engine, model = self.engine, self.model
        assert engine.closing == model.closed
        assert engine.awaiting_tls == model.awaiting_tls
        if not model.closed:
            assert engine.secure == model.secure
            assert engine.authenticated == model.authenticated
            assert engine.in_transaction == (model.sender is not None)
            in_content = model.chunk is not None or (model.content is not None and model.pending is None)
            assert engine.in_content == in_content
        assert self.stored == [content for _, _, content in model.stored]


EngineMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestEngineMachine = EngineMachine.TestCase
