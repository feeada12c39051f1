"""The beginning of a client session: banner, EHLO or LHLO, STARTTLS, AUTH.

Decides whether a session comes about and what the server can do.  One octet behind the reply to STARTTLS ends it (response
injection); what was learnt before TLS is forgotten.  A login never leaves over clear text where it requires TLS, and a refused login is
our own 4xx: mail waits for a corrected password, it does not return.  Only a message with REQUIRETLS returns where there is no TLS.

Sources: RFC 5321 sections 3.1, 3.2 and 4.1.1.1, RFC 2033, RFC 3207, RFC 4954 (AUTH), RFC 4616 (PLAIN), RFC 8689; nostarttls.secvuln.info
(octets behind the reply to STARTTLS).
"""

from __future__ import annotations

import base64
import enum

from twistedrelay.values.reply import Reply
from twistedrelay.wire.client_replies import RawReply
from twistedrelay.wire.client_values import Broken, ClientSettings, Ready, Stage, StartHandshake


class _Login(enum.Enum):
    """What the server is to be told next while AUTH runs."""

    PLAIN = "PLAIN"
    USERNAME = "username"
    PASSWORD = "password"
    NOTHING = "nothing"


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
    @ivar logged_in: whether AUTH succeeded.
    """

    def __init__(self, settings: ClientSettings, output: list[bytes]) -> None:
        self.features: dict[str, str] = {}
        self.stage = Stage.BANNER
        self.secure = settings.secure
        self.logged_in = False
        self._settings = settings
        self._output = output
        self._helo_said = False
        self._login = _Login.NOTHING

    def tls_started(self) -> None:
        """The handshake is under way: what was said in clear text does not count."""
        self.secure = True
        self.features = {}
        self._hello("LHLO" if self._settings.lmtp else "EHLO")

    def receive(self, raw: RawReply, pending: bool) -> StartHandshake | Ready | Broken | None:
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
        if credentials.requires_tls and not self.secure:
            return self._failed(Reply(454, "4.7.0", "Login needs TLS, which the server does not offer"))
        mechanisms = self.features.get("AUTH", "").split()
        if "PLAIN" in mechanisms:
            self._login = _Login.NOTHING
            self._output.append(b"AUTH PLAIN " + self._secret(_Login.PLAIN))
        elif "LOGIN" in mechanisms:
            self._login = _Login.USERNAME
            self._output.append(b"AUTH LOGIN\r\n")
        else:
            return self._failed(Reply(454, "4.7.0", "Login needs AUTH PLAIN or LOGIN, which the server does not offer"))
        return None

    def _secret(self, what: _Login) -> bytes:
        credentials = self._settings.credentials
        assert credentials is not None
        text = {
            _Login.PLAIN: f"\0{credentials.username}\0{credentials.password}",
            _Login.USERNAME: credentials.username,
            _Login.PASSWORD: credentials.password,
        }[what]
        return base64.b64encode(text.encode("utf-8", "surrogateescape")) + b"\r\n"

    def _login_answered(self, raw: RawReply) -> Ready | Broken | None:
        if 200 <= raw.code < 300:
            self.stage = Stage.IDLE
            self.logged_in = True
            return Ready()
        if raw.code >= 400:
            return self._login_failed(raw)
        if self._login is _Login.NOTHING:  # more questions than the mechanism has
            self._output.append(b"*\r\n")
            return self._login_failed(raw)
        self._output.append(self._secret(self._login))
        self._login = _Login.PASSWORD if self._login is _Login.USERNAME else _Login.NOTHING
        return None

    def _login_failed(self, raw: RawReply) -> Broken:
        credentials = self._settings.credentials
        text = str(raw.parse())
        if credentials is not None:  # a server may echo what it was sent
            for what in (_Login.PLAIN, _Login.PASSWORD):
                text = text.replace(self._secret(what).decode("ascii").strip() or "\0", "***")
            text = text.replace(credentials.password or "\0", "***")
        return self._failed(Reply(454, "4.7.0", f"Login refused by the server: {text}"))

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
