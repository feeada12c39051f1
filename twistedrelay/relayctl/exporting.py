"""Files that verbs write: each appears under its name only when it is whole, and nothing that is there already is overwritten unasked."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import tempfile
from collections.abc import Iterable
from typing import IO, Any

import click

from twistedrelay.control.client import ControlClient
from twistedrelay.relayctl.session import Failure

#: C{--force}, the same with every export.
force_option = click.option("--force", is_flag=True, help="Overwrite files that are there already.")


def refuse_existing(paths: Iterable[str]) -> None:
    """Fail where there is a file already.

    @raise Failure: there is.
    """
    found = [path for path in paths if os.path.lexists(path)]
    if found:
        more = f" ({len(found)} files are)" if len(found) > 1 else ""
        raise Failure(f"{found[0]} is there already{more}.", "Nothing was written. Name another place, or overwrite it with --force.")


class NewFiles:
    """Files that appear together, when all of them are whole.  Use with C{with}; L{OSError} and L{Failure} leave none.

    @param force: they may take the place of others.
    @param mode: theirs, but for what the umask takes away.
    """

    def __init__(self, *, force: bool, mode: int = 0o666) -> None:
        self._force = force
        self._mode = mode
        self._written: list[tuple[str, str]] = []
        self._open: IO[bytes] | None = None
        self._old: set[str] = set()

    def replace(self, paths: Iterable[str]) -> None:
        """Files that may take the place of these; the others of these go when all that are new are whole.

        @raise Failure: there are some, and C{force} does not say that they may go.
        """
        old = sorted(paths)
        if not self._force:
            refuse_existing(old)
        self._old.update(old)

    def begin(self, path: str) -> IO[bytes]:
        """The next one; the one before is whole.  What is no file, such as a pipe, is written to as it is."""
        self._close()
        self._old.discard(path)
        if _is_special(path):
            self._open = os.fdopen(os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC), "wb")
            return self._open
        if not self._force:
            refuse_existing([path])
        path = os.path.realpath(path)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{os.path.basename(path)[:100]}.", dir=os.path.dirname(path))
        self._open = os.fdopen(descriptor, "wb")
        self._written.append((temporary, path))
        os.umask(umask := os.umask(0o077))
        os.fchmod(descriptor, self._mode & ~umask)
        return self._open

    def __enter__(self) -> NewFiles:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: Any) -> None:
        try:
            self._close()
            if kind is None:
                if not self._force:
                    refuse_existing(path for _, path in self._written)
                while self._written:
                    os.replace(*self._written[0])
                    del self._written[0]
                for path in self._old:
                    os.unlink(path)
        finally:
            for temporary, _ in self._written:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)

    def _close(self) -> None:
        if self._open is not None:
            self._open.close()


def _is_special(path: str) -> bool:
    if path.startswith("/dev/"):
        return True
    with contextlib.suppress(OSError):
        return not stat.S_ISREG(os.stat(path).st_mode)
    return False


def message_file(output: str, number: int) -> str:
    """Where a message is written in a directory."""
    return os.path.join(output, f"{number}.eml")


def export_to(daemon: ControlClient, number: int, output: str, *, envelope: bool, force: bool) -> None:
    """Write a message to C{ID.eml} in a directory, or to standard output (C{-}).

    @raise Failure: it cannot be written.
    """
    with contextlib.closing(daemon.download(f"/v1/messages/{number}/content", {"envelope": str(envelope).lower()})) as pieces:
        if output == "-":
            stream = sys.stdout.buffer
            for piece in pieces:
                stream.write(piece)
            stream.flush()
            return
        path = message_file(output, number)
        try:
            os.makedirs(output, exist_ok=True)
            with NewFiles(force=force, mode=0o600) as files:  # mail is nobody's business but its owner's
                file = files.begin(path)
                for piece in pieces:
                    file.write(piece)
        except OSError as error:
            raise Failure(f"{path} cannot be written: {error.strerror}.", "Name another directory with --output.") from error
