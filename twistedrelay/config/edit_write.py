"""Writes what a plan says: all of its files or none, durably, and only where nobody else has changed them meanwhile.

It decides who may write when.  One lock serves the daemon and relayctl alike; a file that was changed since the plan was made, by hand or
otherwise, is an error.  All new contents are on the disk before the first file is replaced, so that a full disk changes none; what was
replaced before a failure is put back.  Each file is replaced in one step and keeps its owner and mode; a new one gets those of the main
file, so that whoever reads that one reads them all.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator

from twistedrelay.config.edit import Contents, EditError, Plan
from twistedrelay.config.replace import LockedFile, discard, make_directory, put_in_place, stage, sync_directory

_PATIENCE = 10.0  #: seconds to wait for another change


class NotWritable(EditError):
    """This process may not write the configuration.

    @ivar directory: where it may not.
    """

    def __init__(self, directory: str) -> None:
        super().__init__(f"{directory}: this process may not write there.")
        self.directory = directory


class ChangedMeanwhile(EditError):
    """A file is not what it was when the change was planned."""


@contextlib.contextmanager
def one_at_a_time(directory: str) -> Iterator[None]:
    """Keep others from changing the configuration.

    @param directory: the history's, which all who change something can write.
    @raise EditError: it cannot be had.
    """
    try:
        lock = LockedFile(os.path.join(directory, "changes"), _PATIENCE)
        lock.__enter__()
    except OSError as error:
        if error.errno == errno.EAGAIN:
            raise EditError("Another change is being made; try again when it is done.") from None
        raise EditError(
            f"{directory}: changes are recorded there, and it cannot be written: {error.strerror}.  "
            "Run relayctl as root, or give the directory to the user that the relay runs as."
        ) from None
    try:
        yield
    finally:
        lock.__exit__(None, None, None)


def check_rights(files: Contents) -> None:
    """Find out early whether files can be written.

    @raise NotWritable: they cannot.
    """
    for path in files:
        directory = os.path.dirname(path)
        while not os.path.isdir(directory) and directory != os.path.dirname(directory):
            directory = os.path.dirname(directory)
        mine = os.geteuid() == 0 or not os.path.exists(path) or os.stat(path).st_uid == os.geteuid()
        if not mine or not os.access(directory, os.W_OK | os.X_OK, effective_ids=True):
            raise NotWritable(directory)


def write(plan: Plan, main: str, record: Callable[[], Callable[[], None]]) -> None:
    """Write all files of a plan, or none.

    @param main: the main file, whose owner and mode new ones get.
    @param record: keeps what is about to be changed, before anything is; it gives what takes it out again.
    @raise EditError: nothing was changed.
    """
    check_rights(plan.after)
    _check_unchanged(plan.before)
    try:
        forget = record()
    except OSError as error:
        raise EditError(f"The change cannot be recorded: {error.filename}: {error.strerror}.") from None
    staged: dict[str, str] = {}
    done: list[str] = []
    path = main
    try:
        for path, content in plan.after.items():
            if content is not None:
                staged[path] = _stage(path, content, main)
        for path in plan.after:
            done.append(path)
            _switch(path, staged)
    except OSError as error:
        for temporary in staged.values():
            discard(temporary)
        left = [replaced for replaced in reversed(done) if not _is_back(replaced, plan.before[replaced], main)]
        if left:  # what is recorded says what they were
            raise EditError(
                f"{path} cannot be written: {error.strerror}.  It was begun, and cannot be put back now: {', '.join(left)}.  "
                "The next change, or the next start, does that."
            ) from None
        forget()
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise NotWritable(os.path.dirname(path)) from None
        raise EditError(f"{path} cannot be written: {error.strerror}.  Nothing was changed.") from None


def _is_back(path: str, content: bytes | None, main: str) -> bool:
    """Let a file hold again what it did."""
    with contextlib.suppress(OSError, EditError):
        if read(path) != content:
            put(path, content, main)
        return True
    return False


def put_back(plan: Plan, main: str) -> None:
    """Undo a L{write} that came to nothing.

    @raise EditError: a file was changed meanwhile, or cannot be written.
    """
    _check_unchanged(plan.after)
    try:
        for path, content in plan.before.items():
            put(path, content, main)
    except OSError as error:
        raise EditError(f"{error.filename} cannot be put back: {error.strerror}.") from None


def _check_unchanged(expected: Contents) -> None:
    for path, content in expected.items():
        if read(path) != content:
            raise ChangedMeanwhile(f"{path} was changed by somebody else meanwhile.  Nothing was changed; look at it and try again.")


def read(path: str) -> bytes | None:
    """What a file holds; None where there is none.

    @raise EditError: it cannot be read.
    """
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise EditError(f"{path} cannot be read: {error.strerror}.") from None


def put(path: str, content: bytes | None, main: str) -> None:
    """Let one file hold something, or be gone.

    @raise OSError: it cannot.
    """
    _switch(path, {} if content is None else {path: _stage(path, content, main)})


def _stage(path: str, content: bytes, main: str) -> str:
    directory = os.path.dirname(path)
    if not os.path.isdir(directory):
        make_directory(directory, stat.S_IMODE(os.stat(os.path.dirname(main)).st_mode))
        sync_directory(os.path.dirname(directory))
    return stage(path, content, like=main)


def _switch(path: str, staged: dict[str, str]) -> None:
    """Put what was staged for a file in its place; where nothing was, it goes."""
    if path in staged:
        put_in_place(staged.pop(path), path)
        return
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
        sync_directory(os.path.dirname(path))
