"""The control socket: where the API is served.

It decides who may connect: the socket's directory is made with mode 0750 and the socket gets the directory's group and mode 0660,
so the directory's owner and group are the permission.  A socket that a killed daemon left behind is replaced, one that a daemon
answers on is refused, and a file that is no socket is never touched.  A connection has a minute for each request, however it spends it.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote_to_bytes

from klein.resource import KleinResource
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IReactorUNIX
from twisted.web.http import HTTPChannel
from twisted.web.server import Request

from twistedrelay import __version__
from twistedrelay.control.api import ControlAPI
from twistedrelay.control.client import PROGRAM
from twistedrelay.control.documents import Problem
from twistedrelay.control.peers import peer_uid
from twistedrelay.control.requests import problem
from twistedrelay.observe.channel import BoundedChannel, BoundedSite
from twistedrelay.observe.places import Places

#: Octets of a request's body: the longest one holds a whole configuration; and of what comes before it.
MAX_BODY = 4 * 1024 * 1024
MAX_HEADER = 64 * 1024

#: Who answers, in the header C{Server}: by it a client knows that no other program has the socket, and which version this is.
SERVER = f"{PROGRAM}/{__version__}".encode("ascii")

#: Seconds from the beginning of a connection, or from the answer before, until a request is complete; and to read the last answer.
REQUEST_TIMEOUT = 60.0

#: Longest path that fits into sockaddr_un (unix(7)), final NUL left out.
MAX_PATH = 107


class ControlSocketError(Exception):
    """The control socket cannot be opened; C{str()} says why and what to do."""


class BoundedRequest(Request):
    """A request whose body is bounded, whether its length was declared or not."""

    _taken = 0

    def process(self) -> None:
        """Answer, unless no text can be made of what was asked for."""
        try:
            unquote_to_bytes(self.path).decode("utf-8")
        except UnicodeDecodeError:
            self.setHeader(b"server", SERVER)
            self.write(problem(self, HTTPStatus.BAD_REQUEST, "The path is no UTF-8."))
            self.finish()
        else:
            super().process()

    def render(self, resrc: Any) -> None:
        """Answer, under our name."""
        self.setHeader(b"server", SERVER)
        super().render(resrc)

    def getRequestHostname(self) -> bytes:
        """A UNIX socket has no other name, whatever Host says: routes must not depend on what it is made of."""
        return b"localhost"

    def handleContentChunk(self, data: bytes) -> None:
        """Take a part of the body, or end the connection."""
        self._taken += len(data)
        if self._taken <= MAX_BODY:
            super().handleContentChunk(data)
        elif self._taken - len(data) <= MAX_BODY:
            _end(self.channel, 413, "Content Too Large", f"A body has at most {MAX_BODY} octets.")


class ControlChannel(BoundedChannel):
    """HTTP/1.1, whose lines may hold a long filter."""

    MAX_LENGTH = MAX_HEADER
    totalHeadersSize = MAX_HEADER

    def is_privileged(self) -> bool:
        """Root and the relay's own user are."""
        return peer_uid(self.transport) in (0, os.geteuid())

    def turn_away(self) -> None:
        """Say so."""
        _end(self, 503, "Service Unavailable", "Too many requests are being answered; try again in a moment.")

    def lineLengthExceeded(self, line: bytes) -> None:
        """Say so, and end."""
        _end(self, 431, "Request Header Fields Too Large", f"A line of a request has at most {MAX_HEADER} octets.")

    def _respondToBadRequestAndDisconnect(self) -> None:
        """What Twisted cannot read ends with an empty answer; ours says why, as all others do."""
        bounds = f"at most {self.maxHeaders} header fields of {MAX_HEADER} octets together"
        _end(self, 400, "Bad Request", f"This is no HTTP request that can be read; one has {bounds}.")


def _end(channel: HTTPChannel, status: int, title: str, detail: str) -> None:
    """End a connection whose request cannot be read, with a document that says why."""
    told = Problem(title=title, status=status, detail=detail).model_dump_json().encode()
    channel.write(b"HTTP/1.1 %d %s\r\nContent-Type: application/problem+json\r\n" % (status, title.encode()))
    channel.write(b"Server: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (SERVER, len(told), told))
    channel.loseConnection()


class ControlSite(BoundedSite):
    """The site; what is done by the API is an event of the relay."""

    protocol = ControlChannel
    requestFactory = BoundedRequest

    def __init__(self, api: ControlAPI, reactor: Any) -> None:
        super().__init__(KleinResource(api.app), reactor, Places(), REQUEST_TIMEOUT)


def prepare_socket(path: str) -> None:
    """Make the directory, and room for a socket in it.

    @raise ControlSocketError: it cannot be had.
    """
    if len(os.fsencode(path)) > MAX_PATH:
        raise ControlSocketError(
            f"{path}: longer than the {MAX_PATH} octets of a UNIX socket's path; set server.control_socket to a shorter one"
        )
    directory = os.path.dirname(path)
    try:
        if not os.path.isdir(directory):
            os.makedirs(directory, mode=0o755, exist_ok=True)
            os.chmod(directory, 0o750)
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise ControlSocketError(f"{directory}: {error.strerror}; set server.control_socket to a place this user may write") from error
    if not stat.S_ISSOCK(mode):
        raise ControlSocketError(f"{path}: there is a file in the place of the control socket; move it away or set server.control_socket")
    if _answers(path):
        raise ControlSocketError(f"{path}: another daemon answers there; stop it first, or give this one another server.control_socket")
    os.unlink(path)


def _answers(path: str) -> bool:
    """Whether somebody listens.  A full backlog is somebody, too."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return False
        except OSError:
            return True
    return True


class ControlService(Service):
    """Serves the API while the relay runs.

    It binds in C{privilegedStartService}, before privileges are shed; C{owner} is then the C{(uid, gid)} that the daemon will run as,
    so that it can remove the socket at its end.
    """

    name = "control"

    def __init__(self, reactor: IReactorUNIX, path: str, api: ControlAPI, owner: tuple[int, int] | None = None) -> None:
        self._reactor = reactor
        self._path = path
        self._api = api
        self._site = ControlSite(api, reactor)
        self._owner = owner
        self._port: IListeningPort | None = None

    def privilegedStartService(self) -> None:
        """Open the socket.

        @raise ControlSocketError: it cannot be opened.
        """
        super().privilegedStartService()
        self._listen()

    def startService(self) -> None:
        """Open the socket, where nothing was done as root before."""
        super().startService()
        self._listen()

    def _listen(self) -> None:
        if self._port is not None:
            return
        made = not os.path.isdir(os.path.dirname(self._path))
        prepare_socket(self._path)
        umask = os.umask(0o117)
        try:
            self._port = self._reactor.listenUNIX(self._path, self._site, mode=0o660)  # type: ignore[arg-type]
        except CannotListenError as error:
            reason = getattr(error.socketError, "strerror", None) or error.socketError
            raise ControlSocketError(f"{self._path}: {reason}; set server.control_socket to a place this user may write") from error
        finally:
            os.umask(umask)
        self._give_to_owner(made)

    def _give_to_owner(self, made: bool) -> None:
        directory = os.path.dirname(self._path)
        if self._owner is not None:
            uid, gid = self._owner
            if made:
                os.chown(directory, uid, gid)
            # The directory may be the other user's already, who could put a link to anything in the socket's place.
            os.chown(self._path, uid, -1, follow_symlinks=False)
        # The group decides who may connect; where we may not set it, only the owner may.
        with contextlib.suppress(PermissionError):
            os.chown(self._path, -1, os.stat(directory).st_gid, follow_symlinks=False)

    def stopService(self) -> Deferred[Any] | None:
        """Close and remove the socket."""
        super().stopService()
        self._api.close()
        port, self._port = self._port, None
        return None if port is None else port.stopListening()
