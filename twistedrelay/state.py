"""What the user that the relay runs as must have: a state directory of its own, and what the relay is made of."""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType

#: The (uid, gid) that twistd will change to; None where it stays.
Owner = tuple[int | None, int | None]


#: What relayctl, run by root, may have made before a first start.
_BY_RELAYCTL = frozenset({"certificates", "history", "tokens", "users", "users.lock"})


#: Changes of the configuration that root may have recorded.
_OF_ROOT = frozenset({".json", ".begun"})


class StartError(Exception):
    """The relay cannot start; C{str()} says why and what to do."""


def hidden_code(*modules: ModuleType) -> list[str]:
    """Warnings where the user that the relay runs as may not read Python, or the relay, as root could: some modules are imported later."""
    hidden = ", ".join(str(module.__file__) for module in modules if not os.access(str(module.__file__), os.R_OK))
    if not hidden:
        return []
    advice = "install the relay with a Python that everybody can read, such as /usr/bin/python3"
    return [f"the user that the relay runs as may not read {hidden}: what is loaded later will fail; {advice}"]


def make_state(path: Path, owner: Owner) -> None:
    """Make a state directory for the user that the relay will run as.

    @raise StartError: it cannot be made.
    """
    missing = [directory for directory in (path, *path.parents) if not directory.exists()]
    try:
        path.mkdir(mode=0o755, parents=True, exist_ok=True)
        for made in missing:
            give(made, owner)
    except OSError as error:
        raise StartError(f"cannot make the directory {path}: {error.strerror}; make it, or set server.state_directory") from None


def take_over(path: Path, owner: Owner) -> None:
    """Let a state directory that C{relayctl}, run by root, has made belong to the user that the relay will run as, with what is in it.

    A directory that holds anything else stays as it is.
    """
    try:
        found = {each.name for each in path.iterdir()}
        if owner[0] is not None and path.stat().st_uid == 0 and found and found <= _BY_RELAYCTL:
            for each in (path, *path.rglob("*")):
                if each.suffix not in _OF_ROOT:
                    give(each, owner)
    except OSError as error:
        raise StartError(f"{path}: {error.strerror}; it must belong to the user that the relay runs as") from None


def make_private(path: Path, owner: Owner) -> None:
    """Make a directory of the relay's own, with what root may have put there before: C{relayctl} records changes before a first start, too.

    What root has recorded stays root's, and the relay's group reads it (L{twistedrelay.config.history}).
    @raise StartError: it cannot be had.
    """
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        for each in (path, *path.iterdir()):
            give(each, (None, owner[1]) if each.suffix in _OF_ROOT else owner)
    except OSError as error:
        raise StartError(f"{path}: {error.strerror}; it must belong to the user that the relay runs as") from None


def give(path: Path, owner: Owner) -> None:
    """Let a file or directory that root made belong to the user that the relay will run as."""
    if owner != (None, None):
        os.chown(path, -1 if owner[0] is None else owner[0], -1 if owner[1] is None else owner[1], follow_symlinks=False)
