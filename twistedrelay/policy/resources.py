"""Measures what back pressure watches: file systems and memory, as Linux tells them.

It decides nothing.  Everything here blocks (a file system may hang) and belongs in a thread.

Sources: statvfs(3), proc(5), the kernel's cgroup v2 documentation (C{memory.max}, C{memory.current}, C{memory.stat}).
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import attrs

from twistedrelay.policy.pressure import Reading

_KB = 1024
MEGABYTE = _KB * _KB
NEARLY_ALL = 80.0  #: per cent of the inodes above which plenty of octets are no comfort

_CGROUPS = Path("/sys/fs/cgroup")


@attrs.frozen(slots=True)
class FileSystem:
    """The file system of a directory.

    @ivar used: per cent of what an ordinary user can have, of the octets or of the inodes, whichever is more.
    @ivar inodes: per cent of the inodes alone.
    @ivar free: octets that such a user can have still.
    """

    path: str
    used: float
    inodes: float
    free: int


@attrs.frozen(slots=True)
class Memory:
    """Memory in octets.

    @ivar own: what this process has in memory.
    @ivar total: what there is, or the control group's limit where that is less.
    @ivar used: what is in use of it and cannot be had by giving up caches.
    """

    own: int
    total: int
    used: int


def file_system(path: str) -> FileSystem:
    """The file system of a directory, or of the nearest one above that is there.  L{OSError} where it cannot be asked."""
    while not os.path.exists(path) and os.path.dirname(path) != path:
        path = os.path.dirname(path)
    found = os.statvfs(path)
    taken = found.f_blocks - found.f_bfree
    octets = 100.0 * taken / (taken + found.f_bavail) if taken + found.f_bavail else 0.0
    taken = found.f_files - found.f_ffree
    inodes = 100.0 * taken / (taken + found.f_favail) if taken + found.f_favail else 0.0
    return FileSystem(path, max(octets, inodes), inodes, found.f_bavail * found.f_frsize)


def is_plenty(found: FileSystem, sufficient: int) -> bool:
    """Whether there is so much room that percentages do not matter; inodes may be short all the same."""
    return found.free >= sufficient > 0 and found.inodes < NEARLY_ALL


def disk_reading(paths: Iterable[str], sufficient: int) -> Reading | None:
    """The fullest of some file systems; one with C{sufficient} octets free counts as empty.  None where none can be asked."""
    readings = []
    for path in paths:
        try:
            found = file_system(path)
        except OSError:
            continue
        readings.append((0.0 if is_plenty(found, sufficient) else found.used, found))
    if not readings:
        return None
    value, found = max(readings, key=lambda reading: (reading[0], reading[1].used))
    return Reading(value, f"{found.path}: {found.used:.1f} % used, {found.free // MEGABYTE} MB free")


def memory() -> Memory:
    """The memory of this process and around it.  L{OSError} where the system does not tell."""
    own = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    total, available = (int(fields[name].split()[0]) * _KB for name in ("MemTotal", "MemAvailable"))
    limit, used = _control_group()
    if limit is not None and limit < total:
        return Memory(own, limit, used)
    return Memory(own, total, total - available)


def memory_readings() -> dict[str, Reading]:
    """C{private_bytes} and C{system_memory}; empty where the system does not tell."""
    try:
        found = memory()
    except (OSError, KeyError, ValueError, IndexError):
        return {}
    shown = f"of {found.total // MEGABYTE} MB"
    return {
        "private_bytes": Reading(100.0 * found.own / found.total, f"{found.own // MEGABYTE} MB {shown}"),
        "system_memory": Reading(100.0 * found.used / found.total, f"{found.used // MEGABYTE} MB {shown}"),
    }


def _control_group() -> tuple[int | None, int]:
    """The tightest limit of this process's control group and those that hold it, None for none, and what is used of it."""
    try:
        line = next(line for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::"))
    except (OSError, StopIteration):
        return None, 0
    group = _CGROUPS / line[3:].lstrip("/")
    limits = [found for each in (group, *group.parents) if each.is_relative_to(_CGROUPS) and (found := _limit_of(each)) is not None]
    return min(limits, default=(None, 0))


def _limit_of(group: Path) -> tuple[int, int] | None:
    """The limit of one control group and what is used of it, None where there is no limit."""
    try:
        limit = int((group / "memory.max").read_text())  # "max" is none
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        return limit, int((group / "memory.current").read_text()) - int(stat.get("inactive_file", 0))
    except (OSError, ValueError):
        return None
