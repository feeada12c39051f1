"""Where objects are written, and that all of a change is written or nothing."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.config.conftest import SERVER, Files
from twistedrelay.config import edit_write
from twistedrelay.config.edit import Edit, EditError, NoSuchObject, Plan, plan
from twistedrelay.config.edit_write import ChangedMeanwhile, NotWritable, check_rights, one_at_a_time, write
from twistedrelay.config.load import load, load_with_places
from twistedrelay.config.problems import ConfigError

CONNECTOR = "{bindings: ['0.0.0.0:25'], permission_groups: [AnonymousUsers]}"
NEW: dict[tuple[str, ...], Any] = {("bindings",): ["0.0.0.0:26"], ("permission_groups",): ["AnonymousUsers"]}


def nothing() -> Callable[[], None]:
    """Records nothing."""
    return lambda: None


def put(made: Plan, main: Path) -> None:
    write(made, str(main), nothing)


def relative(made: Plan, files: Files) -> dict[str, str | None]:
    """What files would hold, by their names."""
    root = os.path.realpath(files.directory)
    return {os.path.relpath(path, root): content if content is None else content.decode() for path, content in made.after.items()}


def test_a_new_object_has_a_file_of_its_own_that_the_main_file_includes(files: Files) -> None:
    main = files.write(SERVER)
    made = plan(str(main), [Edit("receive_connectors", "IP_Relay", NEW, new=True)])
    found = relative(made, files)
    assert found["relay.yaml"] == SERVER + 'include: ["connectors.d/*.yaml"]\n'
    text = found["connectors.d/IP_Relay.yaml"]
    assert text is not None
    assert text.partition("\n")[2] == (
        'receive_connectors:\n  IP_Relay:\n    bindings: ["0.0.0.0:26"]\n    permission_groups: [AnonymousUsers]\n'
    )
    assert load_with_places(main, (), made.after).config.receive_connectors["IP_Relay"].bindings[0].port == 26
    assert not (files.directory / "connectors.d").exists()
    put(made, main)
    assert list(load(main).receive_connectors) == ["IP_Relay"]


def test_an_include_that_fits_is_enough(files: Files) -> None:
    main = files.write(SERVER + "include: [other.yaml, connectors.d/*.yaml]\n")
    files.write("send_connectors:\n", "other.yaml")
    assert list(relative(plan(str(main), [Edit("receive_connectors", "A", NEW, new=True)]), files)) == ["connectors.d/A.yaml"]


@pytest.mark.parametrize(
    ("section", "name", "file"),
    [
        ("receive_connectors", "Default Frontend (old)", "connectors.d/Default_Frontend_old_.yaml"),
        ("receive_connectors", "../../etc/passwd", "connectors.d/_etc_passwd.yaml"),
        ("receive_connectors", ".hidden", "connectors.d/_hidden.yaml"),
        ("send_connectors", "İnternet", "send_connectors.d/_nternet.yaml"),
        ("accepted_domains", "*.partner.example", "accepted_domains.d/_partner.example.yaml"),
    ],
)
def test_files_are_named_after_their_objects(files: Files, section: str, name: str, file: str) -> None:
    main = files.write(SERVER)
    assert file in relative(plan(str(main), [Edit(section, name, {}, new=True)]), files)


def test_a_name_that_is_taken_gets_a_number(files: Files) -> None:
    main = files.write(SERVER + "include: [connectors.d/*.yaml]\n")
    files.write("receive_connectors:\n  x: {}\n", "connectors.d/A_B.yaml")
    assert list(relative(plan(str(main), [Edit("receive_connectors", "A B", NEW, new=True)]), files)) == ["connectors.d/A_B-2.yaml"]


def test_an_object_is_changed_in_its_own_file(files: Files) -> None:
    main = files.write(SERVER + f"include: [more.yaml]\nreceive_connectors:\n  A: {CONNECTOR}\n")
    files.write(f"# by hand\nreceive_connectors:\n  B: {CONNECTOR}  # B\n  C: {CONNECTOR}\n", "more.yaml")
    found = relative(plan(str(main), [Edit("receive_connectors", "exc\\b", {("enabled",): "false"})]), files)
    assert found == {"more.yaml": f"# by hand\nreceive_connectors:\n  B: {CONNECTOR[:-1]}, enabled: false}}  # B\n  C: {CONNECTOR}\n"}


def test_the_file_of_a_single_object_goes_with_it(files: Files) -> None:
    main = files.write(SERVER + "include: [connectors.d/*.yaml]\n")
    files.write(f"receive_connectors:\n  B: {CONNECTOR}\n", "connectors.d/B.yaml")
    made = plan(str(main), [Edit("receive_connectors", "B", remove=True)])
    assert relative(made, files) == {"connectors.d/B.yaml": None}
    put(made, main)
    assert os.listdir(files.directory / "connectors.d") == []


def test_the_last_object_of_a_hand_written_file_leaves_a_file_that_loads(files: Files) -> None:
    main = files.write(SERVER + f"receive_connectors:\n  # the only one\n  B: {CONNECTOR}\n")
    put(plan(str(main), [Edit("receive_connectors", "B", remove=True)]), main)
    assert main.read_text() == SERVER + "receive_connectors:\n  # the only one\n"
    assert load(main).receive_connectors == {}


def test_keys_of_objects_in_objects(files: Files) -> None:
    main = files.write(SERVER + "accepted_domains:\n  a.example: {next_hop: 'b.example:25'}\n")
    put(plan(str(main), [Edit("accepted_domains", "A.example", {("recipients", "call_ahead"): "true"})]), main)
    assert load(main).accepted_domains["a.example"].recipients is not None
    put(plan(str(main), [Edit("accepted_domains", "a.example", unset=[("recipients", "call_ahead")])]), main)
    assert load(main).accepted_domains["a.example"].recipients is None
    assert main.read_text() == SERVER + "accepted_domains:\n  a.example: {next_hop: 'b.example:25'}\n"


def test_an_unknown_object_is_an_error_that_knows_the_others(files: Files) -> None:
    main = files.write(SERVER + f"receive_connectors:\n  B: {CONNECTOR}\n")
    with pytest.raises(NoSuchObject, match="no receive connector 'X'") as caught:
        plan(str(main), [Edit("receive_connectors", "X", remove=True)])
    assert caught.value.advice == "There are: B."


def test_a_name_is_given_once(files: Files) -> None:
    main = files.write(SERVER + f"receive_connectors:\n  B: {CONNECTOR}\n")
    with pytest.raises(EditError, match=r"'b' already, in .*relay\.yaml"):
        plan(str(main), [Edit("receive_connectors", "b", NEW, new=True)])


def test_a_file_that_cannot_be_read_is_no_file_to_change(files: Files) -> None:
    main = files.write(SERVER + "receive_connectors: {\n")
    with pytest.raises(ConfigError, match="bad YAML"):
        plan(str(main), [Edit("receive_connectors", "b", NEW, new=True)])
    main.write_bytes(SERVER.encode() + b"# \xff\n")
    with pytest.raises(ConfigError, match="not UTF-8"):
        plan(str(main), [Edit("receive_connectors", "b", NEW, new=True)])


def test_a_link_stays_and_its_target_is_changed_with_owner_and_mode(files: Files) -> None:
    target = files.write(SERVER + f"receive_connectors:\n  B: {CONNECTOR}\n", "real/relay.yaml")
    target.chmod(0o640)
    files.main.symlink_to(target)
    put(plan(str(files.main), [Edit("receive_connectors", "B", {("enabled",): "false"})]), files.main)
    put(plan(str(files.main), [Edit("receive_connectors", "C", NEW, new=True)]), target)
    assert files.main.is_symlink()
    assert "enabled: false" in target.read_text()
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    made = files.main.parent / "connectors.d/C.yaml"
    assert stat.S_IMODE(made.stat().st_mode) == 0o640, "whoever reads the main file reads it, too"


def test_a_change_by_hand_meanwhile_is_refused(files: Files) -> None:
    main = files.write(SERVER + f"receive_connectors:\n  B: {CONNECTOR}\n")
    made = plan(str(main), [Edit("receive_connectors", "B", {("enabled",): "false"})])
    main.write_text(main.read_text() + "# by hand\n")
    with pytest.raises(ChangedMeanwhile, match="by somebody else"):
        put(made, main)
    assert main.read_text().endswith("# by hand\n")


def test_a_failed_write_puts_everything_back(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    main = files.write(SERVER)
    made = plan(str(main), [Edit("receive_connectors", "C", NEW, new=True)])
    real, forgotten = edit_write.put_in_place, []

    def fail(temporary: str, path: str) -> None:
        if path.endswith("relay.yaml"):
            raise OSError(5, "Input/output error", path)
        real(temporary, path)

    monkeypatch.setattr(edit_write, "put_in_place", fail)
    with pytest.raises(EditError, match=r"relay\.yaml cannot be written: Input/output error"):
        write(made, str(main), lambda: lambda: forgotten.append(True))
    assert forgotten == [True]
    assert main.read_text() == SERVER
    assert not (files.directory / "connectors.d/C.yaml").exists()


def test_a_full_disk_changes_no_file(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """All contents are on the disk before the first file is replaced."""
    main = files.write(SERVER)
    made = plan(str(main), [Edit("receive_connectors", "C", NEW, new=True)])
    real, replaced = edit_write.stage, []

    def fail(path: str, content: bytes, like: str | None = None) -> str:
        if path.endswith("relay.yaml"):
            raise OSError(28, "No space left on device", path)
        return real(path, content, like)

    monkeypatch.setattr(edit_write, "stage", fail)
    monkeypatch.setattr(edit_write, "put_in_place", lambda temporary, path: replaced.append(path))
    with pytest.raises(EditError, match=r"relay\.yaml cannot be written: No space left on device"):
        write(made, str(main), lambda: lambda: None)
    assert replaced == []
    assert os.listdir(files.directory / "connectors.d") == []


def test_a_directory_that_cannot_be_written_is_named(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    check_rights({str(files.main): b""})
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    with pytest.raises(NotWritable) as caught:
        check_rights({str(files.directory / "connectors.d/new/x.yaml"): b""})
    assert caught.value.directory == str(files.directory)


def test_a_file_of_another_user_would_lose_its_owner(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    main = files.write(SERVER)
    monkeypatch.setattr(os, "geteuid", lambda: main.stat().st_uid + 1)
    with pytest.raises(NotWritable):
        check_rights({str(main): b""})


def test_changes_take_turns(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edit_write, "_PATIENCE", 0.05)
    directory, seen = str(files.directory / "history"), []

    def other() -> None:
        try:
            with one_at_a_time(directory):
                seen.append("in")
        except EditError as error:
            seen.append(str(error))

    with one_at_a_time(directory):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert seen == ["Another change is being made; try again when it is done."]
    other()
    assert seen[1:] == ["in"]
