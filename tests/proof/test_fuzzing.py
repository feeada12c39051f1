"""Every parser: the kept inputs, random ones built from tokens, and a while of fuzzing.

C{FUZZING_SECONDS} is how long the last takes at most (default: 60), with the same inputs each time; for hours, with others each time and
led by coverage, run C{python -m tests.proof.fuzz --seconds N}.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.proof import fuzz
from tests.proof.targets.target import TARGETS

fuzz.load_targets()

SECONDS = int(os.environ.get("FUZZING_SECONDS", "60"))


def test_each_target_has_a_corpus_and_each_corpus_a_target() -> None:
    """Nothing is kept that nobody reads."""
    assert {directory.name for directory in fuzz.CORPUS.iterdir()} == set(TARGETS)


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_kept_inputs(name: str) -> None:
    """All that ever failed, and the samples that fuzzing begins from."""
    files = fuzz.corpus(name)
    assert files
    for file in files:
        TARGETS[name].check(file.read_bytes())


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_random_inputs(name: str) -> None:
    """Tokens and octets in any order."""
    target = TARGETS[name]

    @settings(max_examples=40, deadline=None, database=None)
    @given(st.lists(st.one_of(st.sampled_from(target.tokens), st.binary(max_size=4)), max_size=10))
    def check(parts: list[bytes]) -> None:
        target.check(b"".join(parts))

    check()


@pytest.mark.slow
@pytest.mark.skipif(not SECONDS, reason="FUZZING_SECONDS=0")
def test_fuzzing() -> None:
    """What the command line does: the same inputs each time, and what is kept under the eyes of atheris."""
    for arguments in (("--seconds", str(SECONDS), "--seed", "1"), ("--seconds", "0")):
        command = [sys.executable, "-m", "tests.proof.fuzz", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=fuzz.ROOT, timeout=SECONDS * 3 + 300)
        assert done.returncode == 0, done.stdout + done.stderr
