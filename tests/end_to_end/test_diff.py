"""C{relayctl diff} against the real daemon and its queue."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from tests.end_to_end.relay import Relay, article
from tests.network import LOOPBACK, eventually, free_port


def test_a_proposal_an_edited_file_and_no_daemon() -> None:
    dead, other = f"{LOOPBACK}:{free_port()}", f"{LOOPBACK}:{free_port()}"
    configuration, ports = article(dead, dead)
    with Relay(configuration, ports) as relay:
        relay.submit(["someone@example.com", "other@example.org", "user@akkaya.local"])
        eventually(lambda: relay.queues(message_count=1), "it waits")
        same = relay.relayctl("diff")
        assert same.returncode == 0, same.stderr
        assert "Nothing changes." in same.stdout

        new = relay.directory / "new.yaml"
        configuration["send_connectors"]["Internet"]["smart_hosts"] = [other]
        configuration["receive_connectors"]["IP_Relay"]["max_message_size"] = "1MB"
        new.write_text(yaml.safe_dump(configuration, sort_keys=False))
        found = json.loads(relay.relayctl("diff", str(new), "--json").stdout)
        assert [(one["identity"], one["parameter"]) for one in found["changes"]] == [
            ("IP_Relay", "max_message_size"),
            ("Internet", "smart_hosts"),
        ]
        [queue] = found["requeued"]
        assert (queue["messages"], queue["recipients"]) == (1, 2)
        assert other in queue["new"].replace("[", "").replace("]", "")
        assert found["live"]
        text = relay.relayctl("diff", str(new))
        assert text.returncode == 0, text.stderr
        assert "1 messages (2 recipients)" in text.stdout

        _without_a_way(relay, configuration)
        _included(relay, new)
        relay.file.write_text(new.read_text())
        assert "MaxMessageSize: 37748736 -> 1048576" in relay.relayctl("diff").stdout

        relay.stop()
        assert relay.relayctl("diff").returncode == 3
        assert "no longer" not in relay.relayctl("diff", str(new)).stdout


def _without_a_way(relay: Relay, configuration: dict[str, Any]) -> None:
    """A proposal by which waiting mail loses its route ends with 1, and says why."""
    less = relay.directory / "less.yaml"
    less.write_text(yaml.safe_dump({**configuration, "send_connectors": {}}, sort_keys=False))
    lost = relay.relayctl("diff", str(less))
    assert lost.returncode == 1, lost.stderr
    assert "1 messages (2 recipients)" in lost.stdout
    assert "Mail waiting for 2 recipients would have no route any more." in lost.stdout


def _included(relay: Relay, new: Path) -> None:
    """A proposal in several files is read by who asks, and compared as it is."""
    parts = relay.directory / "parts"
    parts.mkdir()
    configuration = yaml.safe_load(new.read_text())
    (parts / "send.yaml").write_text(yaml.safe_dump({"send_connectors": configuration.pop("send_connectors")}))
    first = relay.directory / "split.yaml"
    first.write_text(yaml.safe_dump({**configuration, "include": ["parts/*.yaml"]}, sort_keys=False))
    whole, split = (json.loads(relay.relayctl("diff", str(file), "--json").stdout) for file in (new, first))
    assert whole["changes"] == split["changes"]
    assert whole["requeued"] == split["requeued"]
