"""kill -9 at random moments: what was acknowledged is there and whole, what was not is absent or whole, ids are never used again."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.network import PATIENCE
from tests.spool.child import content_of
from tests.spool.world import World
from twistedrelay.values.envelope import RecipientState

ROUNDS = 4


def _run_and_kill(directory: str, seed: int, seconds: float) -> list[str]:
    root = Path(__file__).parents[2]
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.spool.child", directory, str(seed)],
        stdout=subprocess.PIPE,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert child.stdout is not None
    said = child.stdout.readline()
    time.sleep(seconds)
    child.send_signal(signal.SIGKILL)
    said += child.stdout.read()
    child.stdout.close()
    child.wait(PATIENCE)
    return said.decode().splitlines()


def test_kills(world: World) -> None:
    chance = random.Random(20_261_122)
    sizes: dict[int, int] = {}
    ending: set[int] = set()
    last = 0
    for seed in range(ROUNDS):
        begun = dict(sizes)
        for line in _run_and_kill(world.directory, seed, chance.uniform(0.02, 0.3)):
            if line.startswith("+"):
                number, size = map(int, line[1:].split())
                assert number > last, "an id came twice"
                sizes[number] = size
            else:
                ending.add(int(line[1:]))
        assert len(sizes) > len(begun)
        found = {message.id: message for message in world.wait(world.spool.browse(100_000)).messages}
        assert set(sizes) - ending <= set(found), "an acknowledged message is lost"
        for number, message in found.items():
            assert message.size == sizes.get(number, message.size)
            assert world.content(message) == content_of(number, message.size)
            assert [recipient.state for recipient in message.recipients] == [RecipientState.READY] * 2
        last = world.spool.next_id()
        assert last > max((*found, *sizes))
        names = {message.content.file for message in found.values() if message.content.file}
        assert set(world.bodies()) == names
        world.close()
        sizes = {number: message.size for number, message in found.items()}
        ending = set()


def test_process_that_forgets_to_close_ends(world: World) -> None:
    program = (
        "import sys; from tests.spool.world import World; world = World(sys.argv[1]);"
        "message = world.store(b'x' * 300_000); world.load(message.id); world.content(message)"
    )
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", program, world.directory], cwd=root, check=True, timeout=PATIENCE)
    assert world.count() == 1
