"""The beginning of a client session: banner, EHLO or LHLO, STARTTLS, AUTH.

Decides whether a session comes about and what the server can do.  One octet behind the reply to STARTTLS ends it (response
injection); what was learnt before TLS is forgotten.  A login never leaves over clear text where it requires TLS, and a refused login is
our own 4xx: mail waits for a corrected password, it does not return.  Only a message with REQUIRETLS returns where there is no TLS.

Sources: RFC 5321 sections 3.1, 3.2 and 4.1.1.1, RFC 2033, RFC 3207, RFC 4954 (AUTH), RFC 8689; nostarttls.secvuln.info (octets
behind the reply to STARTTLS).
"""

from __future__ import annotations

from collections.abc import Mapping

from twistedrelay.values.reply import Reply
from twistedrelay.wire.client_auth import Authentication
from twistedrelay.wire.client_replies import RawReply
from twistedrelay.wire.client_values import Broken, ClientSettings, Derive, Ready, Stage, StartHandshake


def _features(lines: list[bytes]) -> dict[str, str]:
    """The keywords of an EHLO reply with their parameters.  C{AUTH=} is an old spelling that servers still send beside C{AUTH}."""
    features: dict[str, str] = {}
    for line in lines[1:]:
        keyword, _, parameters = line.decode("ascii", "replace").strip().upper().partition(" ")
        if keyword.startswith("AUTH="):
            keyword, parameters = "AUTH", f"{keyword[5:]} {parameters}"
        features[keyword] = f"{features[keyword]} {parameters}" if keyword in features else parameters
    return features


class Setup:
    """One session, from its first octet until it is ready.

    @ivar features: EHLO keywords in upper case with their parameters.
    @ivar stage: what is awaited.
    @ivar secure: whether TLS is on.
    @ivar bindings: what binds a login to this TLS channel, by name.
    @ivar logged_in: whether AUTH succeeded.
    """

    def __init__(self, settings: ClientSettings, output: list[bytes]) -> None:
        self.features: dict[str, str] = {}
        self.stage = Stage.BANNER
        self.secure = settings.secure
        self.bindings: Mapping[str, bytes] = {}
        self.logged_in = False
        self._settings = settings
        self._output = output
        self._helo_said = False
        self._login: Authentication | None = None

    def tls_started(self) -> None:
        """The handshake is under way: what was said in clear text does not count."""
        self.secure = True
        self.features = {}
        self._hello("LHLO" if self._settings.lmtp else "EHLO")

    def receive(self, raw: RawReply, pending: bool) -> StartHandshake | Derive | Ready | Broken | None:
        """Take a reply.  C{pending} says whether octets came behind it."""
        if self.stage is Stage.BANNER:
            if raw.code >= 300:
                return self._refused(raw)
            self._hello("HELO" if self._settings.force_helo else "LHLO" if self._settings.lmtp else "EHLO")
            return None
        if self.stage is Stage.HELLO:
            return self._greeted(raw)
        if self.stage is Stage.STARTTLS:
            return self._starttls_answered(raw, pending)
        return self._login_answered(raw)

    def _hello(self, verb: str) -> None:
        self.stage = Stage.HELLO
        self._helo_said = verb == "HELO"
        self._output.append(f"{verb} {self._settings.helo}\r\n".encode("ascii", "replace"))

    def _greeted(self, raw: RawReply) -> Ready | Broken | None:
        if raw.code >= 500 and not (self._helo_said or self.secure or self._settings.lmtp):
            self._hello("HELO")
            return None
        if raw.code >= 300:
            return self._refused(raw)
        self.features = {} if self._helo_said else _features(raw.lines)
        if self.secure or self._settings.starttls == "never":
            return self._log_in()
        if "STARTTLS" in self.features:
            self.stage = Stage.STARTTLS
            self._output.append(b"STARTTLS\r\n")
            return None
        return self._without_tls("not offered")

    def _starttls_answered(self, raw: RawReply, pending: bool) -> StartHandshake | Ready | Broken | None:
        if raw.code == 421:
            return self._refused(raw)
        if raw.code != 220:
            return self._without_tls(f"refused: {raw.parse()}")
        if pending:
            return self._failed(Reply(451, "4.7.5", "Octets behind the reply to STARTTLS: response injection"))
        self.stage = Stage.HANDSHAKE
        return StartHandshake()

    def _without_tls(self, why: str) -> Ready | Broken | None:
        if self._settings.require_tls:
            return self._failed(Reply(550, "5.7.10", f"Encryption needed: REQUIRETLS was asked for, but STARTTLS is {why}"))
        if self._settings.starttls == "must":
            return self._failed(Reply(451, "4.7.4", f"TLS is required, but STARTTLS is {why}"))
        return self._log_in()

    def _log_in(self) -> Ready | Broken | None:
        if self._settings.require_tls and "REQUIRETLS" not in self.features:
            return self._failed(Reply(550, "5.7.30", "REQUIRETLS support is required, but the next hop does not offer it"))
        credentials = self._settings.credentials
        if credentials is None:
            self.stage = Stage.IDLE
            return Ready()
        self.stage = Stage.AUTH
        if (credentials.requires_tls or credentials.token) and not self.secure:
            return self._failed(Reply(454, "4.7.0", "Login needs TLS, which the server does not offer"))
        self._login = Authentication(credentials, self.features.get("AUTH", "").split(), self.bindings, self._output)
        return self._login.begin()

    def derived(self, answer: bytes) -> None:
        """Go on with a login after L{Derive}."""
        if self._login is not None and self.stage is Stage.AUTH:
            self._login.derived(answer)

    def masked(self, text: str) -> str:
        """A text of the server without what it may echo of the login."""
        return text if self._login is None else self._login.masked(text)

    def _login_answered(self, raw: RawReply) -> Ready | Derive | Broken | None:
        assert self._login is not None
        event = self._login.receive(raw)
        if isinstance(event, Ready):
            self.stage = Stage.IDLE
            self.logged_in = True
        elif isinstance(event, Broken):
            self.stage = Stage.CLOSED
        return event

    def _refused(self, raw: RawReply) -> Broken:
        reply = raw.parse()
        if reply.code < 400:
            return self._failed(Reply(451, "4.5.0", f"Unexpected reply to {self.stage.value}: {reply.code}"))
        broken = Broken(reply, False, self.stage)
        self.stage = Stage.CLOSED
        return broken

    def _failed(self, reply: Reply) -> Broken:
        broken = Broken(reply, True, self.stage)
        self.stage = Stage.CLOSED
        return broken
