"""A file system on a disk that can lose its power, mounted on this machine.

It decides how the disk comes before the kernel: C{qemu-storage-daemon} shows it as a file, a loop device makes a block device of that,
whose flushes go through to the disk.  Needs root and the Debian packages of L{PROGRAMS}.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import attrs

from tests.network import eventually
from tests.proof.powercut.disk import Disk

SIZE = 2 << 30


@attrs.frozen
class FileSystem:
    """How a file system is made, how a copy is mounted beside the original, and how it is checked without a change."""

    make: tuple[str, ...]
    copied: str
    check: tuple[str, ...]


FILE_SYSTEMS = {
    "ext4": FileSystem(("mkfs.ext4", "-q", "-F"), "loop", ("e2fsck", "-f", "-n")),
    "xfs": FileSystem(("mkfs.xfs", "-q", "-f"), "loop,nouuid", ("xfs_repair", "-n")),
}

#: The Debian package of each program.
PROGRAMS = {
    "qemu-storage-daemon": "qemu-system-common",
    "losetup": "mount",
    "unshare": "util-linux",
    "ip": "iproute2",
    "mkfs.ext4": "e2fsprogs",
    "mkfs.xfs": "xfsprogs",
}


def missing(file_system: str) -> str:
    """What this machine lacks, in words; nothing where it lacks nothing."""
    if os.geteuid():
        return "this needs root: it mounts file systems"
    names = [name for name in PROGRAMS if not name.startswith("mkfs.") or name == f"mkfs.{file_system}"]
    lacking = sorted({PROGRAMS[name] for name in names if shutil.which(name) is None})
    if lacking:
        return f"programs are missing: apt-get install --no-install-recommends {' '.join(lacking)}"
    absent = [device for device in ("/dev/fuse", "/dev/loop-control") if not os.path.exists(device)]
    return f"the kernel has no {' and no '.join(absent)}" if absent else ""


def run(*command: str | Path) -> str:
    """Run a program that must not fail; what it wrote."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stderr}{done.stdout}")
    return done.stdout.strip()


@contextlib.contextmanager
def mounted(directory: Path, file_system: str) -> Iterator[tuple[Disk, Path]]:
    """A new disk with a file system, and where it is mounted."""
    image, shown, place, socket = (directory / name for name in ("disk", "shown", "machine", "nbd"))
    with image.open("wb") as file:
        file.truncate(SIZE)
    run(*FILE_SYSTEMS[file_system].make, image)
    shown.touch()
    place.mkdir()
    with contextlib.ExitStack() as stack:
        disk = Disk(image, socket)
        stack.callback(disk.close)
        backend = f"nbd,node-name=disk,server.type=unix,server.path={socket},cache.direct=on"
        export = f"fuse,id=shown,node-name=disk,mountpoint={shown},writable=on"
        daemon = subprocess.Popen(["qemu-storage-daemon", "--blockdev", backend, "--export", export])
        stack.callback(daemon.wait, 60)
        stack.callback(daemon.terminate)
        eventually(lambda: shown.stat().st_size, "the disk is shown")
        device = run("losetup", "--find", "--show", shown)
        stack.callback(run, "losetup", "--detach", device)
        run("mount", "-t", file_system, device, place)
        stack.callback(run, "umount", place)
        yield disk, place
