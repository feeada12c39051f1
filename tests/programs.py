"""Other people's programs that the tests and the benchmark talk to: where they are, and how they get there.

Servers are never installed: Debian's mail servers exclude one another, and the user's own must stay.  Their packages are fetched with
C{apt-get download} and unpacked with C{dpkg -x} into C{.test-programs/}, together with the libraries they need and the machine
lacks; they run from there with C{LD_LIBRARY_PATH}.  Plain tools (swaks, curl) come from the C{PATH}; C{make test} installs them as root.

Run C{python -m tests.programs} to fetch what is missing.  With C{CI=true} a program that is not there is a failure, otherwise the
tests that need it are skipped.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UNPACKED = ROOT / ".test-programs"

#: The packages to unpack; their libraries follow from their dependencies.
PACKAGES = (
    *("postfix", "dovecot-core", "dovecot-lmtpd", "dovecot-submissiond", "haproxy", "slapd", "libpam-wrapper"),
    *("unbound", "nsd", "prometheus"),
)

#: Debian packages of plain tools, by the program each provides, or a file where it is a library.
TOOLS = {
    "swaks": ("swaks", "libnet-ssleay-perl"),
    "curl": ("curl",),
    "openssl": ("openssl",),
    "pebble": ("pebble",),
    "gsasl": ("gsasl",),
    "msmtp": ("msmtp",),
    "s-nail": ("s-nail",),
    "node": ("nodejs",),
    "/usr/share/nodejs/nodemailer": ("node-nodemailer",),
    "perl": ("perl",),
    "/usr/share/perl5/Authen/SASL.pm": ("libauthen-sasl-perl",),
    "/usr/share/perl5/IO/Socket/SSL.pm": ("libio-socket-ssl-perl",),
    "javac": ("default-jdk-headless",),
    "/usr/share/java/javax.mail.jar": ("libmail-java",),
    "/usr/share/java/javax.activation.jar": ("libactivation-java",),
    "nmap": ("nmap",),
    "systemd-analyze": ("systemd",),
    "sslscan": ("sslscan",),
    "testssl": ("testssl.sh",),
}

#: Python modules that are built from source here, each with its distribution and the Debian packages that the build needs.
MODULES = {"ldap": ("python-ldap", ("gcc", "libc6-dev", "python3-dev", "libldap-dev", "libsasl2-dev"))}

_BINARIES = ("usr/sbin", "usr/bin", "usr/lib/postfix/sbin", "usr/lib/dovecot")
_FETCH_TIMEOUT = 300


class MissingProgram(Exception):
    """A program is neither unpacked nor on the C{PATH}."""


def locate(name: str, unpacked: Path = UNPACKED) -> str:
    """The path of a program: the unpacked copy first, then the C{PATH}.  The path of a file is that file.

    @raise MissingProgram: with what to do about it.
    """
    for directory in _BINARIES:
        candidate = unpacked / directory / name
        if candidate.is_file():
            return str(candidate)
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") or (name if _present(name) else None)
    if found is None:
        raise MissingProgram(f"{name} is missing: run `make test` (or `python -m tests.programs`, and install {name})")
    return found


def environment(unpacked: Path = UNPACKED) -> dict[str, str]:
    """The environment for an unpacked program: the caller's, with the unpacked libraries in front."""
    return {**os.environ, "LD_LIBRARY_PATH": library_path(unpacked)}


def library_path(unpacked: Path = UNPACKED) -> str:
    """C{LD_LIBRARY_PATH} for unpacked programs."""
    directories = [unpacked / "usr/lib/postfix", unpacked / "usr/lib/dovecot", unpacked / "usr/lib", unpacked / "lib"]
    directories += sorted(unpacked.glob("usr/lib/*-linux-*")) + sorted(unpacked.glob("lib/*-linux-*"))
    return ":".join(str(directory) for directory in directories if directory.is_dir())


def missing(unpacked: Path = UNPACKED) -> list[str]:
    """The programs the suite uses that are not there."""
    absent = []
    servers = ("smtp-sink", "smtp-source", "master", "dovecot", "lmtp", "submission-login", "haproxy", "slapd", "unbound", "nsd")
    for name in (*TOOLS, *servers, "prometheus", "promtool"):
        try:
            locate(name, unpacked)
        except MissingProgram:
            absent.append(name)
    return absent + [name for name in MODULES if not _has_module(name)]


def unpack(target: Path = UNPACKED, packages: tuple[str, ...] = PACKAGES) -> None:
    """Fetch packages and the libraries they need, and unpack them; nothing is done where they are there already.

    @raise MissingProgram: where this machine's package manager cannot do it.
    """
    stamp = target / f"{'-'.join(packages)}.unpacked"
    if stamp.exists():
        return
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        raise MissingProgram("apt-get and dpkg are needed to fetch the mail servers that tests deliver to")
    archives = target / "archives"
    archives.mkdir(parents=True, exist_ok=True)
    wanted, seen = list(packages), set(packages)
    while wanted:
        for archive in _download(wanted, archives):
            subprocess.run(["dpkg", "-x", archive, target], check=True, timeout=_FETCH_TIMEOUT)
        needed = {library for package in wanted for library in _libraries(package)}
        wanted = sorted(library for library in needed - seen if not _installed(library))
        seen |= needed
    stamp.touch()


def _download(packages: list[str], directory: Path) -> list[Path]:
    """Fetch packages of this machine's release, for its architecture."""
    before = set(directory.glob("*.deb"))
    fetched = subprocess.run(
        ["apt-get", "-o", "APT::Sandbox::User=root", "download", *packages],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
        timeout=_FETCH_TIMEOUT,
    )
    if fetched.returncode != 0:
        raise MissingProgram(f"apt-get download {' '.join(packages)}: {fetched.stderr.strip()} (as root: apt-get update)")
    archives = set(directory.glob("*.deb"))
    return sorted(archives - before) or sorted(archives)


def _libraries(package: str) -> list[str]:
    """The shared library packages that a package depends on; scripts for browsers are none."""
    shown = subprocess.run(["apt-cache", "depends", package], capture_output=True, text=True, check=True, timeout=60).stdout
    return re.findall(r"^\s*(?:Pre)?Depends: (lib(?!js-)\S+)$", shown, re.MULTILINE)


@functools.cache
def _installed(package: str) -> bool:
    """Whether dpkg knows a package as installed."""
    shown = subprocess.run(["dpkg-query", "-W", "-f", "${Status}", package], capture_output=True, text=True, check=False, timeout=60)
    return shown.stdout.startswith("install ok installed")


def _present(name: str) -> bool:
    """Whether a plain tool is there."""
    return shutil.which(name) is not None or (os.path.isabs(name) and os.path.exists(name))


def install_tools() -> list[str]:
    """Install the plain tools that are missing, as root.

    @return: the packages that could not be installed, for want of root or of apt-get.
    """
    packages = [package for program, names in TOOLS.items() if not _present(program) for package in names]
    if not packages:
        return []
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return packages
    command = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *packages]
    subprocess.run(command, check=True, timeout=_FETCH_TIMEOUT, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
    return []


def install_modules() -> list[str]:
    """Build the Python modules that are missing; as root, install what their build needs before.

    @return: those that could not be built.
    """
    failed = []
    for name, (distribution, packages) in MODULES.items():
        if _has_module(name):
            continue
        if os.geteuid() == 0 and shutil.which("apt-get"):
            command = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *packages]
            subprocess.run(command, check=False, timeout=_FETCH_TIMEOUT, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
        build = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", distribution]
        if subprocess.run(build, check=False, timeout=_FETCH_TIMEOUT).returncode != 0:
            failed.append(f"{distribution} (it needs {', '.join(packages)})")
    return failed


def _has_module(name: str) -> bool:
    """Whether a module can be imported; asked in a new interpreter, which sees what was just installed."""
    return subprocess.run([sys.executable, "-c", f"import {name}"], capture_output=True, check=False, timeout=60).returncode == 0


def main() -> int:
    """Fetch what is missing; say what stays missing, which is an error in CI only."""
    update = os.geteuid() == 0 and bool(missing()) and shutil.which("apt-get") is not None
    if update:
        subprocess.run(["apt-get", "update", "-q"], check=False, timeout=_FETCH_TIMEOUT)
    for package in install_tools():
        print(f"not installed: {package} (run as root: apt-get install {package})")
    for module in install_modules():
        print(f"not built: {module}")
    try:
        unpack()
    except MissingProgram as problem:
        print(problem)
    absent = missing()
    if absent:
        print(f"tests that need these programs {'fail' if in_ci() else 'are skipped'}: {', '.join(absent)}")
    return 1 if absent and in_ci() else 0


def in_ci() -> bool:
    """Whether a missing program is a failure."""
    return os.environ.get("CI", "").lower() in {"true", "1"}


if __name__ == "__main__":
    sys.exit(main())
