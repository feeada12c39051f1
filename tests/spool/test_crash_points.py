"""The directory as a crash would leave it at each single step of a store and its end, opened again."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.spool.world import World, deliver

LARGE = b"c" * 300_000
SMALL = b"small"


def test_each_step_leaves_a_whole_spool(world: World, tmp_path: Path) -> None:
    images: list[tuple[str, set[int], set[int], str]] = []
    acknowledged: set[int] = set()
    ending: set[int] = set()

    def photograph(step: str) -> None:
        place = str(tmp_path / f"image-{len(images)}")
        shutil.copytree(world.directory, place)
        images.append((step, set(acknowledged), set(ending), place))

    world.options["body_threads"] = 1
    messages = [world.message(content) for content in (LARGE, SMALL)]
    contents = {message.id: content for message, content in zip(messages, (LARGE, SMALL), strict=True)}
    world.disk.fault = photograph
    for message in messages:
        world.wait(world.spool.store(message))
        acknowledged.add(message.id)
    for message in messages:
        ending.add(message.id)
        world.wait(world.spool.record(message, deliver(*message.recipients)))
    world.disk.fault = lambda step: None
    assert len(images) > 25
    for step, stored, ended, place in images:
        after = World(place)
        found = {message.id: after.content(message) for message in after.wait(after.spool.browse(10)).messages}
        assert stored - ended <= set(found), step
        assert all(contents[number] == content for number, content in found.items()), step
        assert len(after.bodies()) == sum(content == LARGE for content in found.values()), step
        assert after.spool.next_id() > max(contents), step
        after.close()
