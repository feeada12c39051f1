"""The API's client: HTTP over the control socket, without a reactor.

It decides how failures of the way are told apart from the daemon's refusals; it never interprets what the daemon says.
"""

from __future__ import annotations

import contextlib
import datetime
import http.client
import json
import re
import socket
from collections.abc import Generator, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode

#: What the daemon calls itself in the header C{Server}, with its version behind a slash.
PROGRAM = "twistedrelay"

#: What daemons said there before they said their name: the web server that they are made with.
_NAMELESS = "TwistedWeb"

#: Seconds to wait for the daemon: longer than it waits for its spool.
TIMEOUT = 40.0

#: Octets of an answer at most.
MAX_ANSWER = 64 * 1024 * 1024

#: The header by which root says for whom it acts (sudo's SUDO_USER).
ON_BEHALF = "X-On-Behalf-Of"

#: Messages asked for at a time, and octets of a file.
PAGE = 500
PIECE = 128 * 1024

#: Octets of a record of a stream at most.
MAX_RECORD = 1024 * 1024


class NoDaemon(Exception):
    """No daemon answers on the socket, or not in time, or not to us; C{str()} says which.

    @ivar absent: none runs, as far as can be seen.
    @ivar heard: it may have heard what was asked, and may do it all the same.
    """

    def __init__(self, text: str, *, absent: bool = False, heard: bool = False) -> None:
        super().__init__(text)
        self.absent = absent
        self.heard = heard


class Refused(Exception):
    """The daemon answered with an error: C{status} is its HTTP code, C{str()} its words.

    @ivar findings: what is wrong with a configuration that it refused: C{file}, C{line}, C{path}, C{text} of each thing.
    """

    def __init__(self, status: int, detail: str, findings: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(detail)
        self.status = status
        self.findings = tuple(findings)


class _Connection(http.client.HTTPConnection):
    """HTTP over a UNIX socket.

    @ivar heard: somebody was there to hear what was asked.
    """

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path
        self.heard = False

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
        self.heard = True


def _target(path: str, query: Mapping[str, str] | None) -> str:
    return f"{path}?{urlencode(query)}" if query else path


class ControlClient:
    """Asks the daemon behind a control socket.  Each call is a connection of its own and may raise L{NoDaemon} or L{Refused}.

    @ivar headers: what every request says besides.
    @ivar timeout: seconds to wait for the daemon.
    @ivar version: the daemon's, C{""} before its first answer.
    """

    def __init__(self, path: str, headers: Mapping[str, str] | None = None) -> None:
        self.path = path
        self.headers = dict(headers or {})
        self.timeout = TIMEOUT
        self.version = ""

    def status(self) -> dict[str, Any]:
        """The relay as a whole."""
        found: dict[str, Any] = self._request("GET", "/v1/status")
        return found

    def connectors(self) -> list[dict[str, Any]]:
        """The receive connectors the daemon runs with."""
        found: list[dict[str, Any]] = self._request("GET", "/v1/connectors")
        return found

    def connector(self, name: str) -> dict[str, Any]:
        """One of them, with all its parameters."""
        found: dict[str, Any] = self._request("GET", f"/v1/connectors/{quote(name, safe='')}")
        return found

    def queues(self) -> list[dict[str, Any]]:
        """The queues."""
        found: list[dict[str, Any]] = self._request("GET", "/v1/queues")
        return found

    def suspend_queue(self, identity: str, reason: str = "", seconds: int = 0) -> dict[str, Any]:
        """Suspend a queue, for a time or (0) until it is resumed."""
        query = {"reason": reason, **({"seconds": seconds} if seconds else {})}
        return self._change_queue(identity, "suspend?" + urlencode(query))

    def resume_queue(self, identity: str) -> dict[str, Any]:
        """Let a queue go on."""
        return self._change_queue(identity, "resume")

    def retry_queue(self, identity: str) -> dict[str, Any]:
        """Try its next hop now."""
        return self._change_queue(identity, "retry")

    def _change_queue(self, identity: str, what: str) -> dict[str, Any]:
        changed: dict[str, Any] = self._request("POST", f"/v1/queues/{quote(identity, safe='')}/{what}")
        return changed

    def messages(self) -> Iterator[dict[str, Any]]:
        """All messages, page by page."""
        for page in self.pages("/v1/messages", {"limit": str(PAGE)}):
            yield from page

    def message(self, id: int, *, latency: bool = False) -> dict[str, Any]:
        """One message with all its recipients; C{latency}: and with where its time went."""
        pages = self._pages(_target(f"/v1/messages/{id}", {"include_component_latency_info": "true"} if latency else None))
        found: dict[str, Any] = next(pages)
        for page in pages:
            found["recipient_info"] += page["recipient_info"]
        return found

    def remove(self, id: int, with_ndr: bool) -> None:
        """Remove a message."""
        self._request("DELETE", f"/v1/messages/{id}?" + urlencode({"with_ndr": str(with_ndr).lower()}))

    def suspend_message(self, id: int) -> None:
        """Let a message take part no more."""
        self._request("POST", f"/v1/messages/{id}/suspend")

    def resume_message(self, id: int) -> None:
        """Let it take part again."""
        self._request("POST", f"/v1/messages/{id}/resume")

    def kept(self, query: dict[str, str]) -> Iterator[dict[str, Any]]:
        """Messages in the safety net, page by page; C{query} may have C{start}, C{end}, C{recipient}, C{next_hop}."""
        after: dict[str, str] = {}
        while True:
            target = "/v1/safety-net/messages?" + urlencode({**query, **after, "limit": str(PAGE)})
            page: list[dict[str, Any]] = self._request("GET", target)
            yield from page
            if len(page) < PAGE:
                return
            delivered = datetime.datetime.fromisoformat(page[-1]["date_delivered"]).timestamp()
            after = {"after": f"{delivered!r},{page[-1]['id']}"}

    def resubmit(self, query: dict[str, str]) -> dict[str, Any]:
        """Deliver kept messages again; the request, which has only begun."""
        found: dict[str, Any] = self._request("POST", "/v1/safety-net/requests?" + urlencode(query))
        return found

    def resubmit_requests(self) -> list[dict[str, Any]]:
        """The requests of this run of the daemon."""
        found: list[dict[str, Any]] = self._request("GET", "/v1/safety-net/requests")
        return found

    def cancel_resubmission(self, identity: int) -> dict[str, Any]:
        """End a request that is under way."""
        found: dict[str, Any] = self._request("DELETE", f"/v1/safety-net/requests/{identity}")
        return found

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        """What is there; C{path} begins with C{/v1/}, its parts are quoted (L{urllib.parse.quote})."""
        return self._request("GET", _target(path, query))

    def pages(self, path: str, query: Mapping[str, str] | None = None) -> Iterator[list[dict[str, Any]]]:
        """All pages of a list; a page may be empty."""
        return self._pages(_target(path, query))

    def _pages(self, first: str) -> Iterator[Any]:
        """As long as one says where the next is (RFC 8288)."""
        target: str | None = first
        while target is not None:
            page, link = self._answer("GET", target)
            yield page
            found = re.match(r'<([^>]*)>; rel="next"', link)
            target = found[1] if found else None

    def download(self, path: str, query: Mapping[str, str] | None = None) -> Generator[bytes, None, None]:
        """The octets of something, piece by piece."""
        connection = _Connection(self.path, self.timeout)
        with self._failures(connection):
            response = self._asked(connection, "GET", _target(path, query), {"Connection": "close"})
            if response.status != HTTPStatus.OK:
                raise _refusal(response.status, response.read(MAX_ANSWER))
            while True:
                try:
                    chunk = response.read(PIECE)
                except (ConnectionError, http.client.IncompleteRead):
                    chunk = b""
                if not chunk:
                    break
                yield chunk
            if response.length:
                raise Refused(HTTPStatus.GONE, "The daemon ended the answer early: the message left the queue meanwhile.")

    def post(self, path: str, body: Any = None, query: Mapping[str, str] | None = None) -> Any:
        """Do something, or make one."""
        return self._request("POST", _target(path, query), body)

    def patch(self, path: str, body: Any, query: Mapping[str, str] | None = None) -> Any:
        """Change it."""
        return self._request("PATCH", _target(path, query), body)

    def delete(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        """Remove it."""
        return self._request("DELETE", _target(path, query))

    def stream(self, path: str, query: Mapping[str, str] | None = None) -> Iterator[dict[str, Any]]:
        """What happens there, as it does, until the daemon ends it; closing the iterator ends it, too."""
        connection = _Connection(self.path, self.timeout)
        with self._failures(connection):
            headers = {"Accept": "text/event-stream", "Connection": "close", **self.headers}
            response = self._asked(connection, "GET", _target(path, query), headers)
            if response.status >= HTTPStatus.BAD_REQUEST:
                raise _refusal(response.status, response.read(MAX_ANSWER))
            while line := response.readline(MAX_RECORD):
                if line.startswith(b"data: "):  # the rest are signs of life
                    record: dict[str, Any] = json.loads(line[6:])
                    yield record

    def _request(self, method: str, target: str, content: Any = None) -> Any:
        return self._answer(method, target, content)[0]

    def _answer(self, method: str, target: str, content: Any = None) -> tuple[Any, str]:
        """The answer, and its header Link."""
        connection = _Connection(self.path, self.timeout)
        headers = {"Accept": "application/json", "Connection": "close", **self.headers}
        sent = None if content is None else json.dumps(content, ensure_ascii=False).encode()
        if sent is not None:
            headers["Content-Type"] = "application/json"
        with self._failures(connection):
            response = self._asked(connection, method, target, headers, sent)
            body = response.read(MAX_ANSWER + 1)
        if len(body) > MAX_ANSWER:
            raise Refused(response.status, "The daemon's answer is too long.")
        if response.status >= HTTPStatus.BAD_REQUEST:
            raise _refusal(response.status, body)
        try:
            return json.loads(body), response.getheader("Link", "")
        except ValueError as error:
            raise Refused(response.status, f"The daemon's answer is not understood (HTTP {response.status}).") from error

    @contextlib.contextmanager
    def _failures(self, connection: _Connection) -> Iterator[None]:
        """What goes wrong on the way, told apart."""
        try:
            yield
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise NoDaemon(f"No daemon answers on {self.path}.", absent=True) from error
        except PermissionError as error:
            raise NoDaemon(f"You may not use {self.path}: its directory's owner and group decide who may. Try as root.") from error
        except ConnectionError as error:
            text = f"The daemon on {self.path} ended the connection without an answer. See its log."
            raise NoDaemon(text, heard=connection.heard) from error
        except http.client.BadStatusLine as error:
            raise self._another() from error
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise NoDaemon(f"The daemon on {self.path} did not answer: {reason}. See its log.", heard=connection.heard) from error
        finally:
            connection.close()

    def _asked(
        self, connection: _Connection, method: str, target: str, headers: Mapping[str, str], content: bytes | None = None
    ) -> http.client.HTTPResponse:
        """The answer to a request; a daemon that will not read all of one says why nevertheless."""
        with contextlib.suppress(BrokenPipeError):
            connection.request(method, target, content, headers)
        response = connection.getresponse()
        program, _, version = response.getheader("Server", "").partition("/")
        if program == _NAMELESS:
            text = f"What answers on {self.path} is no {PROGRAM} of this version: after an upgrade, restart the daemon."
            raise NoDaemon(text, heard=True)
        if program != PROGRAM:
            raise self._another()
        self.version = version
        return response

    def _another(self) -> NoDaemon:
        advice = "Name the relay's configuration with --config, or see server.control_socket in it."
        return NoDaemon(f"Another program than {PROGRAM} answers on {self.path}. {advice}")


def _refusal(status: int, body: bytes) -> Refused:
    """What a document says."""
    try:
        document = json.loads(body)
    except ValueError:
        return Refused(status, f"The daemon's answer is not understood (HTTP {status}).")
    if not isinstance(document, dict):
        return Refused(status, f"HTTP {status}")
    return Refused(status, document.get("detail") or f"HTTP {status}", document.get("findings", ()))
