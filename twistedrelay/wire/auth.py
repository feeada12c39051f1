"""One AUTH command of the server's side: a SASL mechanism in the base64 of SMTP, from its first line to its outcome.

Turns the client's lines into what the engine says or asks next.  Some mechanisms have a last word before the outcome: a server's proof, or
why a token was refused.  Decides neither who may log in nor which mechanisms are offered to whom.

Source: RFC 4954 section 4.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable

from twistedrelay.values import reply as replies
from twistedrelay.values.reply import Reply
from twistedrelay.values.scram import ScramVerifier
from twistedrelay.wire.commands import refuse
from twistedrelay.wire.events import Authenticate, Authenticated, Event, ScramChallenge
from twistedrelay.wire.mechanisms import MECHANISMS
from twistedrelay.wire.sasl import SASLError, Step, VerifierWanted
from twistedrelay.wire.scram import Scram
from twistedrelay.wire.settings import ServerSettings
from twistedrelay.wire.state import SessionState

AUTHENTICATED = Authenticated()


class Exchange:
    """See the module.  What its methods give is the event that follows, or None: then more of the client is needed.

    @ivar over: the exchange has ended; C{refused} tells how.
    """

    __slots__ = ("_mechanism", "_name", "_outcome", "_say", "_state", "over", "refused")

    def __init__(self, name: str, settings: ServerSettings, state: SessionState, say: Callable[[Reply], None]) -> None:
        """@param name: a key of L{MECHANISMS}.

        @param say: takes the replies.
        """
        self.over = self.refused = False
        self._name = name
        self._mechanism = MECHANISMS[name](name, settings, state.secure)
        self._state = state
        self._say = say
        self._outcome: Reply | None = None  # waits for the response to the mechanism's last word

    def start(self, initial: bytes) -> Event | None:
        """Begin, with what stands behind the mechanism's name: C{b""} for no initial response, C{=} for an empty one."""
        mechanism = self._mechanism
        return self._go(lambda: mechanism.start(None if not initial else b"" if initial == b"=" else _decode(initial)))

    def step(self, line: bytes) -> Event | None:
        """Take a response line."""
        outcome = self._outcome
        if outcome is not None and not outcome.is_positive:  # whatever the client says to it
            return self._end(outcome)
        if line == b"*":
            return self._refuse(replies.AUTH_CANCELLED)
        if outcome is None:
            return self._go(lambda: self._mechanism.step(_decode(line)))
        return self._refuse(replies.AUTH_SYNTAX) if line else self._end(outcome)

    def challenge(self, verifier: ScramVerifier, binding: bytes) -> None:
        """Answer L{ScramChallenge} with the verifier, and with the octets of the binding that it names."""
        assert isinstance(self._mechanism, Scram)
        self._continue(self._mechanism.challenge(verifier, binding))

    def judged(self, reply: Reply) -> Event | None:
        """Answer L{Authenticate} or L{ScramChallenge} with a reply."""
        word = self._mechanism.last_word(reply.code == 235) if reply.code in (235, 535) else None
        if word is None:
            return self._end(reply)
        self._outcome = reply
        self._continue(word)
        return None

    def _go(self, read: Callable[[], Step]) -> Event | None:
        try:
            step = read()
        except SASLError:
            return self._refuse(replies.AUTH_SYNTAX)
        if isinstance(step, bytes):
            self._continue(step)
            return None
        if isinstance(step, VerifierWanted):
            return ScramChallenge(self._name, step.name, step.binding)
        return Authenticate(self._name, step)

    def _continue(self, challenge: bytes) -> None:
        self._say(Reply(334, "", binascii.b2a_base64(challenge, newline=False).decode("ascii")))

    def _end(self, outcome: Reply) -> Event | None:
        self._say(outcome)
        self.over = True
        self.refused = outcome.code != 235
        if self.refused:
            return None
        self._state.authenticated = True
        return AUTHENTICATED

    def _refuse(self, reply: Reply) -> Event:
        self.over = self.refused = True
        return refuse(reply, b"AUTH")


def _decode(octets: bytes) -> bytes:
    try:
        return binascii.a2b_base64(octets, strict_mode=True)
    except binascii.Error:
        raise SASLError from None
