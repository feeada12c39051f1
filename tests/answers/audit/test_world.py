"""Facts about this host and others."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.answers.audit.audited import configuration, loaded
from twistedrelay.answers.audit import world

FIB = """\
Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 10.1.2.0/24 2 0 2
        |-- 10.1.2.9
           /32 host LOCAL
        |-- 10.1.2.255
           /32 link BROADCAST
     +-- 127.0.0.0/8 2 0 2
        |-- 127.0.0.1
           /32 host LOCAL
"""
IF_INET6 = """\
00000000000000000000000000000001 01 80 10 80       lo
20010db8000000000000000000000009 02 40 00 80     eth0
fe800000000000000000000000000009 02 40 20 80     eth0
"""


def test_own_addresses(tmp_path: Path) -> None:
    (tmp_path / "fib_trie").write_text(FIB)
    (tmp_path / "if_inet6").write_text(IF_INET6)
    assert [str(each) for each in world.own_addresses(str(tmp_path))] == ["10.1.2.9", "2001:db8::9"]
    assert world.own_addresses(str(tmp_path / "nothing")) == ()


def test_hosts_are_tried_only_where_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as gone:
        gone.bind(("127.0.0.1", 0))  # without a queue: nobody can listen there, and nobody does
        here, away = (each.getsockname()[1] for each in (listening, gone))
        out = {"address_spaces": ["*"], "smart_hosts": [f"127.0.0.1:{here}", f"127.0.0.1:{away}"]}
        config = loaded(tmp_path, configuration(send_connectors={"Out": out})).config
        assert list(world.not_answering(config)) == [f"127.0.0.1:{away}"]
        monkeypatch.setattr(world, "resolved", lambda config: {})
        assert list(world.facts(config, ask=True).unreachable) == [f"127.0.0.1:{away}"]
        monkeypatch.setattr(world, "not_answering", None)
        known = world.facts(config)
        assert (known.tried, dict(known.unreachable)) == (False, {})


def test_names_that_are_looked_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {
        ("akkaya.local", "MX"): ["10 mx.akkaya.local.", "0 ."],
        ("mx.akkaya.local", "A"): ["192.0.2.1"],
        ("smart.example", "AAAA"): ["2001:db8::1"],
    }
    monkeypatch.setattr(world, "_ask", lambda resolver, name, kind: answers.get((name, kind), []))
    more = {
        "accepted_domains": {"akkaya.local": {"next_hop": "10.0.0.1:25"}, "*.akkaya.local": {"next_hop": "10.0.0.1:25"}},
        "send_connectors": {"Out": {"address_spaces": ["*"], "smart_hosts": ["smart.example"]}},
    }
    found = world.resolved(loaded(tmp_path, configuration(**more)).config)
    assert {name: [str(each) for each in addresses] for name, addresses in found.items()} == {
        "mx.akkaya.local": ["192.0.2.1"],
        "smart.example": ["2001:db8::1"],
    }
