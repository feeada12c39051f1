"""The checker C{dovecot}: logins judged by a Dovecot server, through its authentication socket.

Decides how a login is asked for and what the answer means.  One connection carries all requests, each with an id; it is made at the first
login and again when it was lost, not sooner than the back-off says.  A request that gets no answer in time, or for which there is no
connection, says neither yes nor no (454).

Source: Dovecot, "Authentication Protocol" (design/auth-protocol), version 1.1 and 1.2, client side.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.protocol import Factory, connectionDone
from twisted.logger import Logger
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure
from zope.interface import Interface, implementer

from twistedrelay.policy.external.names import LoginName, name_and_password, parse_name
from twistedrelay.policy.realm import AvatarId, SessionFacts
from twistedrelay.policy.threads import LoginUnavailable

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorTime, IStreamClientEndpoint

_CONNECT_TIMEOUT = 5.0  #: for the connection and the server's greeting
_ANSWER_TIMEOUT = 25.0  #: Dovecot holds a refusal back for some seconds
_MOST_PENDING = 256
_BACK_OFF = (0.5, 30.0)  #: seconds until a failed connection is tried again: the first time, and at most
_HIGHEST_ID = 2**31 - 1


class DovecotProtocol(LineOnlyReceiver):
    """One connection to the authentication socket.  L{ready} fires after the server's greeting."""

    delimiter = b"\n"
    MAX_LENGTH = 16384
    transport: Any

    def __init__(self, clock: IReactorTime, lost: Callable[[DovecotProtocol], None] = lambda protocol: None) -> None:
        """
        @param lost: called when the connection ended.
        """
        self._clock = clock
        self._lost = lost
        self._pending: dict[int, tuple[Deferred[list[bytes]], IDelayedCall]] = {}
        self._last_id = 0
        self._mechanisms: set[bytes] = set()
        self.ready: Deferred[DovecotProtocol] = Deferred(lambda _: self._abort())

    @property
    def pending(self) -> int:
        """How many requests have no answer yet."""
        return len(self._pending)

    def connectionMade(self) -> None:
        """Say which version we speak and who we are: a number that no other connection has."""
        self.transport.write(b"VERSION\t1\t1\nCPID\t%d\n" % (secrets.randbelow(_HIGHEST_ID) + 1))

    def lineReceived(self, line: bytes) -> None:
        """A line of the greeting, or an answer."""
        kind, *fields = line.split(b"\t")
        if kind in (b"OK", b"FAIL", b"CONT"):
            self._answered(kind, fields)
        elif kind == b"VERSION" and fields[:1] != [b"1"]:
            self._refuse(f"it speaks version {fields[0].decode('ascii', 'replace') if fields else '?'} of its protocol, not 1")
        elif kind == b"MECH" and fields:
            self._mechanisms.add(fields[0].upper())
        elif kind == b"DONE" and not self.ready.called:
            if b"PLAIN" in self._mechanisms:
                self.ready.callback(self)
            else:
                self._refuse("it does not offer the mechanism PLAIN (auth_mechanisms)")

    def request(self, parameters: Sequence[bytes], response: bytes) -> Deferred[list[bytes]]:
        """Ask about a PLAIN login; fires with the fields of the C{OK}.

        Fails with L{UnauthorizedLogin} or L{LoginUnavailable}.
        """
        number = self._last_id = self._last_id % _HIGHEST_ID + 1
        answer: Deferred[list[bytes]] = Deferred(lambda _: self._cancel(number))
        late = self._clock.callLater(_ANSWER_TIMEOUT, self._late, number)
        self._pending[number] = (answer, late)
        self.transport.write(b"\t".join([b"AUTH", b"%d" % number, b"PLAIN", *parameters, b"resp=" + base64.b64encode(response)]) + b"\n")
        return answer

    def _answered(self, kind: bytes, fields: list[bytes]) -> None:
        number = int(fields[0]) if fields and fields[0].isdigit() else 0
        if number not in self._pending:
            return  # given up meanwhile
        answer, late = self._pending.pop(number)
        late.cancel()
        if kind == b"OK":
            answer.callback(fields[1:])
        elif kind == b"CONT":
            self.transport.write(b"CANCEL\t%d\n" % number)
            answer.errback(LoginUnavailable("Dovecot asks for more than a name and a password"))
        elif b"temp" in fields or b"code=temp_fail" in fields:
            answer.errback(LoginUnavailable("Dovecot could not check the login"))
        else:
            answer.errback(UnauthorizedLogin("Dovecot refuses the login"))

    def _late(self, number: int) -> None:
        answer, _ = self._pending.pop(number)
        self.transport.write(b"CANCEL\t%d\n" % number)
        answer.errback(LoginUnavailable("Dovecot did not answer in time"))

    def _cancel(self, number: int) -> None:
        """Nobody waits for the answer any more."""
        found = self._pending.pop(number, None)
        if found is not None:
            found[1].cancel()
            self.transport.write(b"CANCEL\t%d\n" % number)

    def _refuse(self, reason: str) -> None:
        if not self.ready.called:
            self.ready.errback(LoginUnavailable(f"the server is of no use: {reason}"))
        self._abort()

    def _abort(self) -> None:
        self.transport.abortConnection()

    def lineLengthExceeded(self, line: bytes) -> None:
        """Not Dovecot."""
        self._refuse("it sends endless lines")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Nothing that was asked gets an answer."""
        self._lost(self)
        pending, self._pending = self._pending, {}
        if not self.ready.called:
            self.ready.errback(LoginUnavailable("Dovecot ended the connection"))
        for answer, late in pending.values():
            late.cancel()
            answer.errback(LoginUnavailable("Dovecot ended the connection"))


class DovecotClient:
    """The connection to an authentication socket, made when it is needed."""

    _log = Logger()

    def __init__(self, endpoint: IStreamClientEndpoint, clock: IReactorTime, name: str, ends_with: Any = None) -> None:
        """
        @param name: of the socket, for the log.
        @param ends_with: the reactor that ends the connection when it stops, if any.
        """
        self._ends_with = ends_with
        self._trigger: Any = None
        self._endpoint = endpoint
        self._clock = clock
        self._name = name
        self._protocol: DovecotProtocol | None = None
        self._connecting = False
        self._waiting: list[Deferred[DovecotProtocol]] = []
        self._delay = 0.0
        self._not_before = 0.0

    async def ask(self, parameters: Sequence[bytes], response: bytes) -> list[bytes]:
        """See L{DovecotProtocol.request}."""
        if len(self._waiting) + (self._protocol.pending if self._protocol else 0) >= _MOST_PENDING:
            raise LoginUnavailable("too many logins wait for Dovecot")
        protocol = await self._connected()
        return await protocol.request(parameters, response)

    def _connected(self) -> Deferred[DovecotProtocol]:
        """A connection that is ready."""
        waiting: Deferred[DovecotProtocol] = Deferred(lambda given_up: self._waiting.remove(given_up))
        self._waiting.append(waiting)
        if self._protocol is not None:
            self._serve(self._protocol)
        elif self._clock.seconds() < self._not_before:
            self._serve(LoginUnavailable("Dovecot cannot be reached"))
        elif not self._connecting:
            self._connecting = True
            factory = Factory.forProtocol(lambda: DovecotProtocol(self._clock, self._lost))
            connecting: Deferred[Any] = self._endpoint.connect(factory)
            connecting.addCallback(lambda protocol: protocol.ready)
            connecting.addTimeout(_CONNECT_TIMEOUT, self._clock)
            connecting.addCallbacks(self._made, self._not_made)
        return waiting

    def _made(self, protocol: Any) -> None:
        self._connecting, self._delay, self._protocol = False, 0.0, protocol
        if self._ends_with is not None and self._trigger is None:
            self._trigger = self._ends_with.addSystemEventTrigger("during", "shutdown", self.close)
        self._serve(protocol)

    def _lost(self, protocol: DovecotProtocol) -> None:
        if self._protocol is protocol:
            self._protocol = None

    def _not_made(self, failure: Failure) -> None:
        self._connecting = False
        self._delay = min(max(self._delay * 2, _BACK_OFF[0]), _BACK_OFF[1])
        self._not_before = self._clock.seconds() + self._delay
        self._log.error("no connection to Dovecot at {name}: {reason}", name=self._name, reason=failure.getErrorMessage())
        self._serve(LoginUnavailable("Dovecot cannot be reached"))

    def _serve(self, result: DovecotProtocol | LoginUnavailable) -> None:
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            if isinstance(result, DovecotProtocol):
                one.callback(result)
            else:
                one.errback(result)

    def close(self) -> None:
        """End the connection; what was asked is L{LoginUnavailable}."""
        if self._protocol is not None:
            self._protocol.transport.loseConnection()

    def retire(self) -> None:
        """Nobody asks any more, though the reactor goes on."""
        if self._trigger is not None:
            self._ends_with.removeSystemEventTrigger(self._trigger)
            self._trigger = None
        self.close()


@implementer(ICredentialsChecker)
class DovecotChecker:
    """Asks Dovecot about names and passwords.

    @ivar domain: of names that have none, in what Dovecot says too.
    """

    credentialInterfaces: Sequence[type[Interface]] = (IUsernamePassword,)

    def __init__(self, client: DovecotClient, domain: str = "", service: str = "smtp") -> None:
        self.client = client
        self.domain = domain
        self._service = service.encode("ascii")

    def stop(self) -> None:
        """End the connection: nobody asks any more."""
        self.client.retire()

    def requestAvatarId(self, credentials: Any) -> Deferred[Any]:
        """See L{ICredentialsChecker}.  The avatar id is the user as Dovecot calls it."""
        return Deferred.fromCoroutine(self._ask(credentials))

    async def _ask(self, credentials: Any) -> AvatarId:
        name, password = name_and_password(credentials)
        login = parse_name(name, self.domain)
        response = b"\0" + login.login.encode("utf-8") + b"\0" + password.encode("utf-8")
        fields = await self.client.ask(self._parameters(getattr(credentials, "facts", None)), response)
        return AvatarId(self._address(fields, login))

    def _parameters(self, facts: SessionFacts | None) -> list[bytes]:
        """What the session is.

        Whether passwords may cross a connection in clear text is the connector's decision, and was made.  Dovecot's own penalty for an
        address that failed before would hold up the good logins behind the same address: failures are counted here, by user and address.
        """
        parameters = [b"service=" + self._service, b"secured", b"nologin", b"no-penalty"]
        if facts is not None:
            parameters += [f"lip={facts.local_text}".encode(), f"rip={facts.peer_text}".encode()]
            parameters += [b"lport=%d" % facts.local_port, b"rport=%d" % facts.peer_port]
        return parameters

    def _address(self, fields: list[bytes], login: LoginName) -> str:
        for field in fields:
            key, _, value = field.partition(b"=")
            if key == b"user" and value:
                user = value.decode("utf-8", "replace")
                return user if "@" in user or not self.domain else f"{user}@{self.domain}"
        return login.address


def make_checker(reactor: Any, path: str, domain: str, service: str) -> DovecotChecker:
    """The checker for a socket.  Nothing is connected before the first login."""
    client = DovecotClient(UNIXClientEndpoint(reactor, path, timeout=_CONNECT_TIMEOUT), reactor, path, reactor)
    return DovecotChecker(client, domain, service)
