"""A client's login: which mechanism is used, and what is said for it.

Decides the mechanism: the strongest one that the server offers, and the next one where the server says that it does not know the first
after all (504, 5.5.4, 5.7.4).  Credentials that were refused are not tried by another mechanism, since trying around locks accounts.  A
password goes only over TLS where the credentials require it, which the caller has made sure of; a token always does.

What the server says of a failed login is told without what it may echo: passwords, tokens and what was sent of them are masked.  A 4xx
of the server stays what it is (432 4.3.2 and 454 slow a lane); a 5xx becomes our own 4xx, so that mail waits for a corrected password.

Sources: RFC 4954, RFC 4422, RFC 5802 section 6 (which of the SCRAM mechanisms), RFC 7628.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence

import attrs

from twistedrelay.values.printable import masked
from twistedrelay.values.reply import Reply
from twistedrelay.wire.client_replies import RawReply
from twistedrelay.wire.client_sasl import Bearer, CramMD5, Login, Mechanism, OAuthBearer, Plain, XOAuth2, octets
from twistedrelay.wire.client_scram import MechanismError, ScramClient
from twistedrelay.wire.client_values import Broken, Credentials, Derive, Ready, Stage

PLUS = "SCRAM-SHA-256-PLUS"

#: Those for a password and those for a token, the stronger one first.
PASSWORD = (PLUS, "SCRAM-SHA-256", "CRAM-MD5", "PLAIN", "LOGIN")
TOKEN = ("OAUTHBEARER", "XOAUTH2")

#: Octets of a command; a longer initial response has a line of its own (RFC 4954 section 4, RFC 5321 section 4.5.3.1.4).
LONGEST_COMMAND = 512

#: Challenges of one login: no mechanism has more than three.
MOST_CHALLENGES = 8

_UNKNOWN_MECHANISM = ("5.5.4", "5.7.4")

_PLAIN: Mapping[str, Callable[[Credentials], Mechanism]] = {
    "CRAM-MD5": CramMD5,
    "PLAIN": Plain,
    "LOGIN": Login,
    "OAUTHBEARER": OAuthBearer,
    "XOAUTH2": XOAuth2,
}

#: Characters of what a server offers, and of why it refuses a token, in a reason.
_LONGEST_OFFER = 200
_LONGEST_DETAIL = 200

#: Shorter secrets are not looked for in what a server says: they are in every text.
_SHORTEST = 3


class Authentication:
    """The login of one session.

    @param offered: the mechanisms in EHLO, in upper case.
    @param bindings: the channel bindings of this connection by their names, none in clear text.
    """

    def __init__(self, credentials: Credentials, offered: Sequence[str], bindings: Mapping[str, bytes], output: list[bytes]) -> None:
        self._credentials = credentials
        self._offered = offered
        self._bindings = bindings
        self._output = output
        known = TOKEN if credentials.token else PASSWORD
        self._left = [name for name in known if name in offered and (name != PLUS or bindings)]
        self._mechanism: Mechanism | None = None
        self._initial: bytes | None = None  # waits for the server's go-ahead
        self._deriving = False
        self._challenges = 0
        self._said: list[str] = []

    def begin(self) -> Broken | None:
        """Say AUTH, by the best mechanism that is left."""
        reason = ""
        while self._left:
            name = self._left.pop(0)
            try:
                mechanism = self._mechanism = self._make(name)
            except MechanismError as error:  # another one may take such a password
                reason = f": {error}"
                continue
            self._challenges = 0
            self._initial = None
            initial = mechanism.start()
            command = f"AUTH {name}".encode("ascii")
            if initial is None:
                self._output.append(command + b"\r\n")
                return None
            encoded = self._encoded(initial)
            if len(command) + len(encoded) + 3 <= LONGEST_COMMAND:
                self._output.append(command + b" " + (encoded or b"=") + b"\r\n")
            else:
                self._initial = encoded
                self._output.append(command + b"\r\n")
            return None
        known = " or ".join(TOKEN if self._credentials.token else PASSWORD[1:])
        offered = masked(", ".join(self._offered))[:_LONGEST_OFFER] or "no AUTH at all"
        return self._failed(f"Login needs AUTH {known}{reason}; the server offers {offered}")

    def _make(self, name: str) -> Mechanism:
        credentials = self._credentials
        if name.startswith("SCRAM"):
            plus_offered = PLUS in self._offered
            return ScramClient(credentials.username, credentials.password, name == PLUS, self._bindings, plus_offered)
        return _PLAIN[name](credentials)

    def receive(self, raw: RawReply) -> Ready | Derive | Broken | None:
        """Take a reply."""
        mechanism = self._mechanism
        assert mechanism is not None
        if self._deriving:
            return self._failed("Login failed: the server speaks out of turn")
        if 200 <= raw.code < 300:
            if mechanism.proved:
                return Ready()
            return self._failed("Login failed: the server did not show that it knows the password")
        if raw.code >= 400:
            return self._refused(raw, mechanism)
        if raw.code != 334:
            return self._failed(f"Login failed: unexpected reply {raw.code}")
        return self._challenged(raw, mechanism)

    def _challenged(self, raw: RawReply, mechanism: Mechanism) -> Derive | Broken | None:
        self._challenges += 1
        if self._challenges > MOST_CHALLENGES:
            return self._failed("Login failed: the server asks without end")
        if self._initial is not None:
            self._output.append(self._initial + b"\r\n")
            self._initial = None
            return None
        try:
            answer = mechanism.answer(b"" if isinstance(mechanism, Login) else _decoded(raw.lines))
        except MechanismError as error:
            return self._failed(f"Login failed: {error}")
        if isinstance(answer, Derive):
            self._deriving = True
            return answer
        self._output.append(self._encoded(answer) + b"\r\n")
        return None

    def derived(self, answer: bytes) -> None:
        """Go on with what L{Derive} has brought."""
        if self._deriving:
            self._deriving = False
            self._output.append(self._encoded(answer) + b"\r\n")

    def _refused(self, raw: RawReply, mechanism: Mechanism) -> Broken | None:
        reply = raw.parse()
        if reply.code == 504 or (reply.code != 535 and reply.enhanced in _UNKNOWN_MECHANISM):
            broken = self.begin()
            return None if broken is None else self._failed(f"Login refused by the server: {self.masked(str(reply))}")
        if reply.is_transient:
            return Broken(attrs.evolve(reply, text=self.masked(reply.text)), False, Stage.AUTH)
        detail = self.masked(mechanism.detail)[:_LONGEST_DETAIL] if isinstance(mechanism, Bearer) else ""
        said = self.masked(str(reply)) + (f" ({detail})" if detail else "")
        return self._failed(f"Login refused by the server: {said}", refused=True)

    def _failed(self, text: str, refused: bool = False) -> Broken:
        return Broken(Reply(454, "4.7.0", text), True, Stage.AUTH, refused)

    def _encoded(self, answer: bytes) -> bytes:
        encoded = base64.b64encode(answer)
        self._said.append(encoded.decode("ascii"))
        return encoded

    def masked(self, text: str) -> str:
        """A text of the server without what it may echo."""
        own = (self._credentials.password, self._credentials.token)
        secrets = [*self._said, *own, *(base64.b64encode(octets(secret)).decode("ascii") for secret in own)]
        for secret in sorted(secrets, key=len, reverse=True):
            if len(secret) >= _SHORTEST:
                text = text.replace(secret, "***")
        return text


def _decoded(lines: Sequence[bytes]) -> bytes:
    """The octets of a challenge."""
    try:
        return binascii.a2b_base64(lines[0].strip())
    except binascii.Error:
        raise MechanismError("the server's challenge cannot be read") from None
