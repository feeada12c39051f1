"""Fuzz the parsers: C{python -m tests.proof.fuzz --seconds N [--target T]}.

Each target gets an equal part of the time, in a process of its own: by atheris (libFuzzer with coverage of this project) where it is
installed, else by hypothesis from the same tokens and corpus; with a seed always by hypothesis, because what atheris tries is another
thing each time, with the same seed too.  An input that fails is kept in C{tests/proof/corpus/TARGET/} and is a test
from then on.  What else was found to reach new code goes to C{.fuzzing/TARGET/}, from where the next run goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from tests.programs import ROOT

CORPUS = Path(__file__).parent / "corpus"
WORK = ROOT / ".fuzzing"
LONGEST_INPUT = 4096
SEEDED_ROUNDS = 3  #: of a thousand inputs for each target, with a seed: no more than these, however fast the machine is
_SINGLE_INPUT_LIMIT = 20  # seconds for one input: none of them is large
_MODULES = ("server", "client", "client_login", "commands", "chunks", "logins", "proxy", "content", "files", "sending", "pickup")


def load_targets() -> None:
    """Import the modules that register targets."""
    for name in _MODULES:
        importlib.import_module(f"tests.proof.targets.{name}")


def instrumented() -> None:
    """Import all that is fuzzed, so that atheris sees which code runs."""
    import atheris

    with atheris.instrument_imports(include=["twistedrelay"], enable_loader_override=False):
        load_targets()


def with_atheris(name: str, seconds: int, seed: int) -> None:
    """Fuzz one target in this process, which ends with it; behind L{instrumented}.  Without seconds: only what is kept."""
    import atheris

    from tests.proof.logins import same_nonce
    from tests.proof.targets.target import TARGETS

    same_nonce().start()
    target = TARGETS[name]
    found = WORK / name
    found.mkdir(parents=True, exist_ok=True)
    dictionary = WORK / f"{name}.dict"
    dictionary.write_text("".join(f'"{_escaped(token)}"\n' for token in target.tokens))
    options = [
        f"-max_total_time={seconds}",
        f"-runs={-1 if seconds else 0}",
        f"-max_len={LONGEST_INPUT}",
        f"-timeout={_SINGLE_INPUT_LIMIT}",
        f"-dict={dictionary}",
        f"-artifact_prefix={_corpus_of(name)}/",
        "-print_final_stats=0",
        "-verbosity=0",
        "-rss_limit_mb=1024",
    ]

    def check(data: bytes) -> None:
        try:
            target.check(data)
        except Exception:
            keep(name, data)  # libFuzzer does not: the child ends without its exit handlers
            raise

    atheris.Setup([sys.argv[0], *options, str(found), str(_corpus_of(name))], check)
    atheris.Fuzz()


def _escaped(token: bytes) -> str:
    return "".join(f"\\x{octet:02x}" for octet in token)


def with_hypothesis(name: str, seconds: int, seed: int) -> None:
    """Fuzz one target in this process, without knowledge of coverage."""
    import hypothesis
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import strategies as st

    load_targets()
    from tests.proof.logins import same_nonce
    from tests.proof.targets.target import TARGETS

    same_nonce().start()
    target = TARGETS[name]
    pieces = [*target.tokens, *(file.read_bytes() for file in corpus(name))]
    last = b""

    @settings(
        max_examples=1000, deadline=None, database=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate, Phase.shrink]
    )
    @given(st.lists(st.one_of(st.sampled_from(pieces), st.binary(max_size=8)), max_size=12))
    def check(parts: list[bytes]) -> None:
        nonlocal last
        last = b"".join(parts)[:LONGEST_INPUT]
        target.check(last)

    end, last_seed = time.monotonic() + seconds, seed + SEEDED_ROUNDS
    try:
        while time.monotonic() < end and (not seed or seed < last_seed):
            (hypothesis.seed(seed)(check) if seed else check)()
            seed += bool(seed)
    except Exception:
        keep(name, last)
        raise


def keep(name: str, data: bytes) -> Path:
    """Put an input that failed into the corpus."""
    file = _corpus_of(name) / f"crash-{hashlib.sha1(data, usedforsecurity=False).hexdigest()}"
    file.write_bytes(data)
    return file


def corpus(name: str) -> list[Path]:
    """The kept inputs of a target."""
    return sorted(file for file in (CORPUS / name).glob("*") if file.is_file())


def _corpus_of(name: str) -> Path:
    directory = CORPUS / name
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def main(arguments: list[str] | None = None) -> int:
    """Fuzz all targets, or some; exit status 1 where an input failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.proof.fuzz", description="Fuzz the parsers.")
    parser.add_argument("--seconds", type=int, default=60, help="how long, all targets together (default: 60; 0: only what is kept)")
    parser.add_argument("--target", action="append", help="only this one (may be given again)")
    parser.add_argument("--seed", type=int, default=0, help="the same inputs each time (default: others each time)")
    chosen = parser.parse_args(arguments)
    guided = not chosen.seed and importlib.util.find_spec("atheris") is not None
    if guided:  # before any of our code is imported
        instrumented()
    load_targets()
    from tests.proof.targets.target import TARGETS

    names = chosen.target or sorted(TARGETS)
    if unknown := set(names) - set(TARGETS):
        parser.error(f"no target {', '.join(sorted(unknown))}; there are: {', '.join(sorted(TARGETS))}")
    share = max(chosen.seconds // len(names), 1) if chosen.seconds else 0
    fuzz = with_atheris if guided else with_hypothesis
    return 1 if [name for name in names if not _fuzz(name, fuzz, share, chosen.seed)] else 0


def _fuzz(name: str, fuzz: Callable[[str, int, int], None], seconds: int, seed: int) -> bool:
    """Fuzz one target in a child of this process; whether nothing was found."""
    before = set(corpus(name))
    with tempfile.TemporaryFile() as output:
        sys.stdout.flush()
        child = os.fork()
        if not child:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
            status = 1
            try:
                fuzz(name, seconds, seed)
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
        good = os.waitpid(child, 0)[1] == 0
        print(f"{name}: {'ok' if good else 'FAILED'}", flush=True)
        if not good:
            output.seek(0)
            lines = output.read().decode(errors="replace").splitlines()
            print("\n".join(line for line in lines if not line.startswith(("INFO:", "WARNING:")))[-8000:])
            for file in sorted(set(corpus(name)) - before):
                print(f"kept: {file.relative_to(ROOT)}")
    return good


if __name__ == "__main__":
    sys.exit(main())
