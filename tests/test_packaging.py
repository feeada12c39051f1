"""Wheel, sdist and editable install each carry the twistd plugin.

Each is installed into a virtual environment of its own that sees this one's packages by a path file; so nothing is fetched, and
each test takes seconds.  The builds work on a copy of the tree.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.programs import ROOT

pytestmark = pytest.mark.slow

PLUGIN = "twisted/plugins/twistedrelay_plugin.py"
_LEFT_OUT = shutil.ignore_patterns(
    ".git",
    ".venv",
    ".test-programs",
    ".quickstart",
    ".*_cache",
    ".hypothesis",
    "__pycache__",
    "*.egg-info",
    "build",
    "dist",
    "dropin.cache",
)
_TWISTD = "from twisted.scripts.twistd import run; run()"
_BUILD = "import sys; from setuptools import build_meta; print(getattr(build_meta, sys.argv[1])(sys.argv[2]))"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the source tree."""
    return Path(shutil.copytree(ROOT, tmp_path / "tree", ignore=_LEFT_OUT, symlinks=True))


def run(*command: object, cwd: Path) -> str:
    """The output of a command that must succeed, run with nothing of ours on its path."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(cwd), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True, check=False, timeout=300, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(kind: str, tree: Path) -> Path:
    """Build a C{"wheel"} or an C{"sdist"} with the build back end itself."""
    out = tree.parent / kind
    out.mkdir(exist_ok=True)
    return out / run(sys.executable, "-c", _BUILD, f"build_{kind}", out, cwd=tree).strip().splitlines()[-1]


def installed(tmp_path: Path, *arguments: str | Path) -> Path:
    """The interpreter of a new environment into which pip installed something."""
    place = tmp_path / "environment"
    run(sys.executable, "-m", "venv", "--without-pip", place, cwd=tmp_path)
    python = place / "bin/python"
    [packages] = place.glob("lib/python*/site-packages")
    (packages / "outer.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    command = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", "--no-build-isolation", "--ignore-installed"]
    run(*command, *arguments, cwd=tmp_path)
    return python


def check(python: Path, tmp_path: Path, expected_below: Path) -> None:
    """twistd lists the plugin outside the tree, and relayctl runs."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    where = run(python, "-c", "import twistedrelay; print(twistedrelay.__file__)", cwd=elsewhere).strip()
    assert Path(where).is_relative_to(expected_below)
    listed = run(python, "-c", _TWISTD, "--help", cwd=elsewhere)
    assert "\n    twistedrelay " in listed
    assert "--config" in run(python, "-c", _TWISTD, "twistedrelay", "--help", cwd=elsewhere)
    assert "connector" in run(python.with_name("relayctl"), "--help", cwd=elsewhere)


def test_the_wheel(tree: Path, tmp_path: Path) -> None:
    """It holds the plugin, the typing marker and all rooms; no tests, and no C{__init__} that would hide Twisted itself."""
    wheel = build("wheel", tree)
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {PLUGIN, "twistedrelay/py.typed", "twistedrelay/service.py"} <= names
    sources = {
        str(path.relative_to(tree)) for path in (tree / "twistedrelay").rglob("*") if path.is_file() and "__pycache__" not in path.parts
    }
    assert sources <= names
    assert not names & {"twisted/__init__.py", "twisted/plugins/__init__.py"}
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"twisted", "twistedrelay"}
    check(installed(tmp_path, wheel), tmp_path, tmp_path / "environment")


def test_the_sdist(tree: Path, tmp_path: Path) -> None:
    """It holds the plugin and what is needed to test and to start, and builds the same wheel."""
    sdist = build("sdist", tree)
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {
        PLUGIN,
        "LICENSE",
        "Makefile",
        "README.rst",
        "setup.cfg",
        "pyproject.toml",
        "etc/quickstart.yaml",
        "tests/test_packaging.py",
    } <= names
    check(installed(tmp_path, sdist), tmp_path, tmp_path / "environment")


def test_an_editable_install(tree: Path, tmp_path: Path) -> None:
    """A path file, not an import hook: the plugin is found in the tree."""
    check(installed(tmp_path, "-e", tree), tmp_path, tree)
