"""Messages written to files: each appears under its name only when it is whole."""

from __future__ import annotations

import contextlib
import os
import sys

from twistedrelay.control.client import ControlClient
from twistedrelay.relayctl.session import Failure


def export_to(daemon: ControlClient, number: int, output: str, *, envelope: bool) -> None:
    """Write a message to C{ID.eml} in a directory, or to standard output (C{-}).

    @raise Failure: it cannot be written.
    """
    pieces = daemon.download(f"/v1/messages/{number}/content", {"envelope": str(envelope).lower()})
    if output == "-":
        stream = sys.stdout.buffer
        for piece in pieces:
            stream.write(piece)
        stream.flush()
        return
    path = os.path.join(output, f"{number}.eml")
    partial = f"{path}.part"
    try:
        os.makedirs(output, exist_ok=True)
        # Mail is nobody's business but its owner's.
        with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            for piece in pieces:
                file.write(piece)
        os.replace(partial, path)
    except OSError as error:
        raise Failure(f"{path} cannot be written: {error.strerror}.", "Name another directory with --output.") from error
    finally:
        pieces.close()
        with contextlib.suppress(OSError):
            os.unlink(partial)
