"""A small SMTP server in a thread, for one connection: it does as it is told and remembers what it got."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Mapping
from typing import Any

TOO_LONG = 20.0


class SMTPServer:
    """Answers each command by its verb; C{answers} overrides.

    @ivar commands: the lines that came, without the message.
    @ivar message: what came as data.
    """

    def __init__(
        self,
        answers: Mapping[str, str] | None = None,
        extensions: tuple[str, ...] = ("8BITMIME",),
        context: ssl.SSLContext | None = None,
        implicit: bool = False,
    ) -> None:
        self._answers = {
            "MAIL": "250 2.1.0 Sender OK",
            "RCPT": "250 2.1.5 Recipient OK",
            "DATA": "354 Start mail input",
            ".": "250 2.6.0 <x@y> [InternalId=854698491929, Hostname=relay] Queued mail for delivery",
            "QUIT": "221 2.0.0 bye",
            "STARTTLS": "220 2.0.0 SMTP server ready",
            "AUTH": "235 2.7.0 Authentication successful",
            "*": "235 2.7.0 Authentication successful",
            **(answers or {}),
        }
        self._extensions = extensions
        self._context = context
        self._implicit = implicit
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(TOO_LONG)
        self.port: int = self._listener.getsockname()[1]
        self.commands: list[str] = []
        self.message = b""
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Wait for the connection's end."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes an accept that nobody came to
        self._listener.close()
        self._thread.join(TOO_LONG)

    def _serve(self) -> None:
        try:
            connection: Any = self._listener.accept()[0]
            connection.settimeout(TOO_LONG)
            with connection:
                if self._implicit:
                    connection = self._secure(connection)
                self._talk(connection)
        except OSError:
            return

    def _secure(self, connection: Any) -> Any:
        assert self._context is not None
        return self._context.wrap_socket(connection, server_side=True)

    def _talk(self, connection: Any) -> None:
        stream = connection.makefile("rwb")

        def answer(text: str) -> None:
            stream.write(text.encode() + b"\r\n")
            stream.flush()

        answer(self._answers.get("banner", "220 relay ESMTP"))
        while line := stream.readline():
            command = line.decode().rstrip("\r\n")
            self.commands.append(command)
            verb = command.split(" ")[0].upper()
            if verb == "EHLO":
                answer("\r\n".join(f"250-{text}" for text in ("relay", *self._extensions)) + "\r\n250 ENHANCEDSTATUSCODES")
                continue
            answer(self._answers.get(verb, self._answers["*"]))
            if verb == "QUIT":
                return
            if verb == "STARTTLS":
                connection = self._secure(connection)
                stream = connection.makefile("rwb")
                self._extensions = tuple(e for e in self._extensions if e != "STARTTLS")
            if verb == "DATA" and self._answers["DATA"].startswith("354"):
                while (line := stream.readline()) not in (b".\r\n", b""):
                    self.message += line
                answer(self._answers["."])
