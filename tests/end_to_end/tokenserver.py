"""A token endpoint over HTTPS, as a provider has it: refresh tokens, client credentials, device codes, and access tokens that end."""

from __future__ import annotations

import itertools
import json
import ssl
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

from tests.network import LOOPBACK, PATIENCE

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"


class TokenServer:
    """See the module; all may be changed while it runs.

    @ivar lifetime: what is said of new access tokens.
    @ivar grace: seconds that they are taken for longer than was said.
    @ivar rotating: each refresh token is good once, and a new one comes with each access token.
    @ivar answers: what the next requests for tokens get instead (status, body).
    @ivar polls: what the questions about a device code get before it is approved.
    @ivar make_token: makes access tokens, where the usual ones are not wanted.
    @ivar answering: what asks waits while it is cleared.
    @ivar requests: the parameters of all requests for tokens.
    """

    def __init__(self, tls: ssl.SSLContext, client_id: str = "relay-app", client_secret: str = "client secret") -> None:
        self.client_id = client_id
        self.client_secret = client_secret
        self.lifetime: float = 3600
        self.grace = 0.0
        self.rotating = False
        self.refresh_tokens: set[str] = set()
        self.access_tokens: dict[str, float] = {}
        self.answers: list[tuple[int, bytes]] = []
        self.polls: list[str] = []
        self.requests: list[dict[str, str]] = []
        self.answering = threading.Event()
        self.answering.set()
        self.make_token: Callable[[], str] | None = None
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            """One request."""

            def do_POST(self) -> None:
                """Answer it."""
                octets = self.rfile.read(int(self.headers["Content-Length"]))
                given = {key: values[0] for key, values in parse_qs(octets.decode()).items()}
                status, body = endpoint.answer(self.path, given)
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Nobody reads it."""

        self._server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self._server.daemon_threads = True
        self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> TokenServer:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def url(self, path: str = "token") -> str:
        """The address of an endpoint."""
        return f"https://localhost:{self._server.server_address[1]}/{path}"

    def grant(self) -> str:
        """A new refresh token."""
        token = f"refresh-{next(self._numbers)}"
        self.refresh_tokens.add(token)
        return token

    def is_good(self, token: str) -> bool:
        """Whether an access token is good now, as the SMTP server asks."""
        with self._lock:
            return self.access_tokens.get(token, 0.0) > time.monotonic()

    def expire(self) -> None:
        """All access tokens end now, whatever was said of them."""
        with self._lock:
            self.access_tokens.clear()

    def answer(self, path: str, given: dict[str, str]) -> tuple[int, bytes]:
        """What a request gets."""
        self.answering.wait(PATIENCE)
        with self._lock:
            if path == "/device":
                return 200, json.dumps(self._device()).encode()
            self.requests.append(given)
            if self.answers:
                return self.answers.pop(0)
            error = self._wrong(given)
            if error:
                return 400, json.dumps({"error": error, "error_description": f"{error} it is\r\nreally"}).encode()
            return 200, json.dumps(self._tokens(given)).encode()

    def _device(self) -> dict[str, Any]:
        return {
            "device_code": "device-code",
            "user_code": "ABCD-EFGH",
            "verification_uri": "https://login.example/device",
            "expires_in": 60,
            "interval": 1,
        }

    def _wrong(self, given: dict[str, str]) -> str:
        grant = given.get("grant_type")
        if given.get("client_id") != self.client_id:
            return "invalid_client"
        if grant == "client_credentials":
            return "" if given.get("client_secret") == self.client_secret else "invalid_client"
        if grant == "refresh_token":
            return "" if given.get("refresh_token") in self.refresh_tokens else "invalid_grant"
        if grant == DEVICE_GRANT:
            return self.polls.pop(0) if self.polls else ""
        if grant == "authorization_code":
            return "" if given.get("code") == "good-code" and given.get("code_verifier") else "invalid_grant"
        return "unsupported_grant_type"

    def _tokens(self, given: dict[str, str]) -> dict[str, Any]:
        access = self.make_token() if self.make_token else f"access.{next(self._numbers)}.{'x' * 30}"
        self.access_tokens[access] = time.monotonic() + self.lifetime + self.grace
        answer = {"access_token": access, "token_type": "Bearer", "expires_in": self.lifetime, "scope": "one two"}
        grant = given["grant_type"]
        if grant in (DEVICE_GRANT, "authorization_code"):
            answer["refresh_token"] = self.grant()
        elif grant == "refresh_token" and self.rotating:
            self.refresh_tokens.discard(given["refresh_token"])
            answer["refresh_token"] = self.grant()
        return answer
