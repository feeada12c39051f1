"""Tests for L{twistedrelay.answers.tracking} and L{twistedrelay.answers.tracking_log}: events as Exchange shows and writes them."""

from __future__ import annotations

import csv
import io
import math
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.observe.tracking.world import BUSY, MAILBOX, NOON, UNKNOWN, World
from twistedrelay.answers.tracking import Properties, moment, page_from_files, properties, query_of, story_from_files
from twistedrelay.answers.tracking_log import FIELDS, heading, lines
from twistedrelay.config.load import load
from twistedrelay.observe.tracking.schema import DEFER, FAIL
from twistedrelay.values import events
from twistedrelay.values.envelope import Origin
from twistedrelay.values.printable import escape
from twistedrelay.values.reply import Reply


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "state" / "tracking")


def shown(world: World) -> list[Properties]:
    return [properties(event, "EXCSERVER", "relay.akkaya.local") for event in world.found()]


def test_a_message_that_comes_and_goes(world: World) -> None:
    world.sink.emit(events.Connected("0123456789ABCDEF", "IP_Relay", "192.0.2.55:4711", "192.0.2.1:25"))
    message = world.received("u@customer.example", "v@customer.example", subject="=?utf-8?Q?=C3=87ay?=")
    world.clock.advance(1.5)
    world.tried(message, tls="TLSv1.3 TLS_AES_256_GCM_SHA384")
    received, sent = shown(world)
    common = {
        "message_id": "<1@printer>",
        "internal_message_id": 1,
        "sender": "a@akkaya.local",
        "recipients": ["u@customer.example", "v@customer.example"],
        "recipient_count": 2,
        "total_bytes": 512,
        "message_subject": "Çay",
        "original_client_ip": "192.0.2.55",
        "original_server_ip": "192.0.2.1",
        "directionality": "Incoming",
        "message_info": "2026-11-22T12:00:00.000Z",
        "network_message_id": received["network_message_id"],
    }
    for event in (received, sent):
        assert {name: event[name] for name in common} == common
    wanted = {
        "event_id": "RECEIVE",
        "source": "SMTP",
        "connector_id": r"EXCSERVER\IP_Relay",
        "client_ip": "192.0.2.55",
        "client_hostname": "printer",
        "server_ip": "192.0.2.1",
        "server_hostname": "relay.akkaya.local",
        "source_context": "0123456789ABCDEF",
        "recipient_status": [],
        "message_latency": 0.0,
    }
    assert {name: received[name] for name in wanted} == wanted
    wanted = {
        "event_id": "SEND",
        "source": "SMTP",
        "connector_id": "Internet",
        "client_ip": "",
        "client_hostname": "relay.akkaya.local",
        "server_ip": "198.51.100.9",
        "server_hostname": "mx",
        "recipient_status": ["250 2.0.0 taken"] * 2,
        "timestamp": "2026-11-22T12:00:01.500Z",
        "message_latency": 1.5,
        "tls": "TLSv1.3 TLS_AES_256_GCM_SHA384",
    }
    assert {name: sent[name] for name in wanted} == wanted


@pytest.mark.parametrize(
    ("remote", "hostname", "address"),
    [
        ("mx.example [198.51.100.9]:25", "mx.example", "198.51.100.9"),
        ("mx.example [2001:db8::1]:25", "mx.example", "2001:db8::1"),
        ("[198.51.100.9]:25", "relay.akkaya.local", "198.51.100.9"),
        ("", "relay.akkaya.local", ""),
        ("/var/mail", "/var/mail", ""),
    ],
)
def test_who_the_next_hop_was(world: World, remote: str, hostname: str, address: str) -> None:
    world.tried(world.received(), remote=remote)
    event = shown(world)[-1]
    assert (event["server_hostname"], event["server_ip"]) == (hostname, address)


def test_a_recipient_who_becomes_another_one(world: World) -> None:
    world.tried(world.received(), told="test@qa.example")
    _, redirected, sent = shown(world)
    assert (redirected["recipients"], redirected["related_recipient_address"]) == (["test@qa.example"], "u@customer.example")
    assert (sent["recipients"], sent["related_recipient_address"]) == (["u@customer.example"], "test@qa.example")
    assert redirected["recipient_status"] == []


def test_a_report(world: World) -> None:
    message = world.received()
    report = world.message("a@akkaya.local", sender="", origin=Origin(source="DSN"))
    world.sink.emit(events.ReportSent(report, message, "failed"))
    event = shown(world)[-1]
    assert (event["event_id"], event["source"], event["sender"], event["source_context"]) == ("DSN", "DSN", "<>", "failed")
    assert (event["reference"], event["related_message"], event["directionality"]) == ("<1@printer>", 1, "Originating")


def test_an_event_of_an_unknown_message(world: World) -> None:
    world.files.horizon, world.sink._midnight = 0.0, NOON - NOON % 86400.0
    world.tried(world.message())
    [event] = shown(world)
    assert (event["sender"], event["return_path"], event["message_info"], event["message_latency"]) == ("", "", "", None)


def test_queries_of_texts() -> None:
    given = {"event_id": "fail, DEFER", "client": "192.0.2.0/24", "internal_message_id": "7", "sender": "a@x"}
    query = query_of(given, 1.0, 2.0)
    assert (query.kinds, str(query.client), query.number, query.sender) == (frozenset({FAIL, DEFER}), "192.0.2.0/24", 7, "a@x")
    assert (query.begins, query.ends) == (1_000_000, 1_999_999)
    assert query_of({}, 0.0, math.inf).ends > 4e15


@pytest.mark.parametrize(
    "given", [{"event_id": "SENT"}, {"client": "300.1.1.1"}, {"internal_message_id": "x"}, {"internal_message_id": "-1"}]
)
def test_queries_that_are_none(given: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="is no"):
        query_of(given, 0.0, math.inf)


def test_the_files_tell_without_a_daemon(world: World, tmp_path: Path) -> None:
    file = tmp_path / "relay.yaml"
    file.write_text("server: {name: EXCSERVER, fqdn: relay.akkaya.local, state_directory: state}\n")
    config = load(str(file))
    assert page_from_files(config, query_of({}, 0.0, math.inf), 10, "", True) == {"events": [], "next": "", "problems": []}
    message = world.received()
    world.tried(message, UNKNOWN, MAILBOX)
    assert world.sink.stop(2.0).called
    page = page_from_files(config, query_of({"event_id": "FAIL"}, 0.0, math.inf), 10, "", True)
    assert [event["event_id"] for event in page["events"]] == ["FAIL"]
    assert [event["event_id"] for event in story_from_files(config, "1")["events"]] == ["RECEIVE", "FAIL"]


def read(text: str) -> list[dict[str, str]]:
    """What a script makes of a log."""
    rows = csv.reader(io.StringIO(text, newline=""))
    return [dict(zip(FIELDS, row, strict=True)) for row in rows]


def test_the_log_has_exchanges_fields_in_their_order(world: World) -> None:
    world.tried(world.received("u@customer.example", "v@customer.example", subject='a, "b"'), BUSY)
    begin = heading(moment(int(NOON * 1e6))).splitlines()
    assert [line.partition(":")[0] for line in begin] == ["#Software", "#Version", "#Log-type", "#Date", "#Fields"]
    assert begin[2:4] == ["#Log-type: Message Tracking Log", "#Date: 2026-11-22T12:00:00.000Z"]
    assert begin[4].startswith(
        "#Fields: date-time,client-ip,client-hostname,server-ip,server-hostname,source-context,connector-id,source,event-id,"
    )
    received, deferred = read(lines(shown(world)))
    assert received["recipient-address"] == "u@customer.example;v@customer.example"
    assert (received["message-subject"], received["total-bytes"], received["transport-traffic-type"]) == ('a, "b"', "512", "Email")
    assert (deferred["event-id"], deferred["recipient-status"]) == ("DEFER", "451 4.2.1 mailbox busy;451 4.2.1 mailbox busy")


def test_no_value_of_several_can_be_taken_for_two(world: World) -> None:
    """Neither an address with a semicolon nor a HELO name that looks like more of our data."""
    origin = Origin(connector="Default Frontend", client="192.0.2.9", helo="x;S:User=boss")
    message = world.message('"a;b"@customer.example', "v@customer.example", origin=origin)
    world.sink.emit(events.Receive(message))
    world.tried(message, told='"c;d"@qa.example')
    received, redirected, _ = read(lines(shown(world)))
    assert received["recipient-address"].split(";") == [r'"a\x3bb"@customer.example', "v@customer.example"]
    assert received["custom-data"] == r"S:Helo=x\x3bS:User=boss"
    assert len(redirected["related-recipient-address"].split(";")) == len(redirected["recipient-address"].split(";"))


def rfc4180(text: str) -> list[list[str]]:
    """The records of a text, read by the letter of RFC 4180 by somebody else than who wrote them."""
    records: list[list[str]] = [[]]
    rest = text
    while rest:
        quoted = rest.startswith('"')
        found = re.match(r'"((?:[^"]|"")*)"(?=,|\r\n)' if quoted else r'([^",\r\n]*)(?=,|\r\n)', rest)
        assert found is not None, rest
        records[-1].append(found[1].replace('""', '"') if quoted else found[1])
        rest = rest[found.end() :]
        if rest.startswith("\r\n"):
            records.append([])
            rest = rest[2:]
        else:
            rest = rest[1:]
    return records[:-1]


@given(st.dictionaries(st.sampled_from([of for of in FIELDS.values() if of != "recipient_status"]), st.text(max_size=30), max_size=6))
def test_whoever_reads_csv_reads_the_same(values: dict[str, str]) -> None:
    values = {"timestamp": "2026-11-22T12:00:00.000Z", **values}
    [record] = rfc4180(lines([values]))
    assert len(record) == len(FIELDS)
    told = dict(zip(FIELDS.values(), record, strict=True))
    assert all(told[name] == escape(value) for name, value in values.items())


def test_each_recipient_has_one_status(world: World) -> None:
    world.tried(world.received("u@customer.example", "v@customer.example"), Reply(451, "4.2.1", "busy; later"))
    [_, deferred] = read(lines(shown(world)))
    assert deferred["recipient-status"].split(";") == ["451 4.2.1 busy, later"] * 2


anything = st.text(max_size=40)


@given(st.fixed_dictionaries(dict.fromkeys(("message_subject", "source_context", "sender", "custom_data", "message_id"), anything)))
def test_nothing_breaks_a_line(values: dict[str, Any]) -> None:
    text = lines([values, {"sender": "next@x"}])
    first, second = read(text)
    assert second["sender-address"] == "next@x"
    for name, value in values.items():
        field = next(field for field, of in FIELDS.items() if of == name)
        assert first[field].isprintable()
        if value.isprintable():
            assert first[field] == value
    assert text.count("\r\n") == 2
