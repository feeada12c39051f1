"""Tests for L{twistedrelay.observe.metrics}: what is told, how, and that nothing is told too much of."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse
from twisted.internet.defer import Deferred

from tests.observe.cases import CASES, SESSION
from tests.observe.metrics_world import NOON, World
from tests.programs import ROOT
from twistedrelay.observe.metrics import Metrics
from twistedrelay.policy.pressure import Reading
from twistedrelay.schedule.lengths import Length
from twistedrelay.values import events

#: Of the Prometheus client, and of Prometheus itself.
FOREIGN = re.compile(r"(process|python)_|up$")
_NAME = re.compile(r"\b((?:twistedrelay|process|python)_\w+)")


@pytest.fixture
def world() -> World:
    made = World()
    for event, _ in CASES:
        made.counters.emit(event)
    made.counters.replies("Default Frontend")[250] = 4
    made.counters.watch_lost("protocol_log", lambda: 3)
    made.schedule.attempt.measures.tls["mta-sts", "domain", "success"] = 2
    made.schedule.attempt.measures.connects.observe(0.02)
    return made


def exposition(world: World, accept: str = "") -> tuple[str, str]:
    results: list[Any] = []
    Metrics(world.reactor, world.sources).exposition(accept).addBoth(results.append)
    world.reactor.advance(0)
    if not results:
        world.reactor.advance(4)
    content_type, body = results[0]
    return content_type, body.decode()


def samples(world: World) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    text = exposition(world)[1]
    return {(each.name, frozenset(each.labels.items())): each.value for family in parse(text) for each in family.samples}


def value(world: World, name: str, **labels: str) -> float:
    return samples(world)[f"twistedrelay_{name}", frozenset(labels.items())]


def test_what_happened_is_told(world: World) -> None:
    assert value(world, "sessions_opened_total", connector="Default Frontend") == 1
    assert value(world, "sessions", connector="Default Frontend") == 3
    assert value(world, "smtp_replies_total", connector="Default Frontend", code="250") == 4
    assert value(world, "received_bytes_total", connector="Default Frontend") == 512
    assert value(world, "delivery_tls_outcomes_total", source="mta-sts", level="domain", result="success") == 2
    assert value(world, "lost_records_total", what="protocol_log") == 3
    assert value(world, "queue_messages_aside", status="poison") == 1
    assert value(world, "queue_oldest_message_age_seconds") == 60
    assert value(world, "delivery_connect_seconds_bucket", le="0.025") == 1
    assert value(world, "thread_pool_waiting", pool="reactor") == 5
    labels = {"thumbprint": "AB12", "names": "mail.cozumpark.com,relay.akkaya.local", "file": "/etc/ssl/mail.pem"}
    assert value(world, "certificate_expiry_timestamp_seconds", **labels) == NOON + 864000


def test_the_first_error_of_a_run_is_an_increase() -> None:
    fresh = World()
    assert value(fresh, "notices_total", level="error") == 0
    fresh.counters.emit(events.ServiceEvent("error", "a fault"))
    assert value(fresh, "notices_total", level="error") == 1


def test_both_formats_are_good(world: World) -> None:
    kind, text = exposition(world)
    assert kind.startswith("text/plain; version=0.0.4")
    names = [family.name for family in parse(text)]
    assert len(names) == len(set(names))
    kind, text = exposition(world, "application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert kind.startswith("application/openmetrics-text; version=1.0.0")
    assert text.endswith("# EOF\n")
    assert {family.name for family in parse_openmetrics(text)} >= {"twistedrelay_sessions_opened", "twistedrelay_build"}


def test_hostile_names_cannot_break_the_text(world: World) -> None:
    world.counters.emit(events.Disconnected(SESSION[0], 'a"b\\\nc', "p", 'x"} 1\ntwistedrelay_fake 1\n', 0, 1.0))
    assert not [name for name, _ in samples(world) if name == "twistedrelay_fake"]


def test_ten_thousand_lanes_are_twenty_five_and_the_rest(world: World) -> None:
    world.schedule.lanes = [Length(f"mx{number}.example", "Internet", "Retry", number, 1) for number in range(10_000)]
    found = {labels: number for (name, labels), number in samples(world).items() if name == "twistedrelay_queue_lane_transactions"}
    assert len(found) == 2 * 26
    assert found[frozenset({("next_hop", "mx9999.example"), ("send_connector", "Internet"), ("state", "waiting")})] == 9999
    assert sum(found.values()) == sum(range(10_000)) + 10_000
    assert value(world, "queue_lanes", status="Retry") == 10_000


def test_lanes_of_one_next_hop_are_one_series(world: World) -> None:
    world.schedule.lanes = [Length("mx.example", "Internet", "Active", 2, 1), Length("mx.example", "Internet", "Active", 3, 0)]
    assert value(world, "queue_lane_transactions", next_hop="mx.example", send_connector="Internet", state="waiting") == 5


def test_without_an_answer_of_the_spool_all_else_is_told(world: World) -> None:
    world.spool.gauge.answer = Deferred()
    found = {name for name, _ in samples(world)}
    assert "twistedrelay_queue_messages" not in found
    assert {"twistedrelay_spool_healthy", "twistedrelay_sessions", "twistedrelay_ready"} <= found


def test_who_asks_meanwhile_gets_the_same_answer(world: World) -> None:
    world.spool.gauge.answer = Deferred()
    metrics, results = Metrics(world.reactor, world.sources), []  # type: ignore[var-annotated]
    for _ in range(3):
        metrics.exposition("").addBoth(results.append)
    world.reactor.advance(4)
    assert len(results) == 3
    for _, body in results:
        names = [family.name for family in parse(body.decode())]
        assert len(names) == len(set(names))


def known(world: World) -> set[str]:
    """Every name that the metrics have; empty ones are described, too."""
    text = exposition(world)[1]
    families = {(words[2], words[3]) for words in map(str.split, text.splitlines()) if words[:2] == ["#", "TYPE"]}
    found = {name for name, _ in families}
    for name, kind in families:
        if kind == "histogram":
            found |= {f"{name}_{end}" for end in ("bucket", "sum", "count")}
    return found


def expressions() -> list[tuple[str, str]]:
    """What the dashboard and the alerts ask for, each with where."""
    dashboard = json.loads((ROOT / "etc/grafana/twistedrelay.json").read_text())
    rules = yaml.safe_load((ROOT / "etc/prometheus/twistedrelay.rules.yml").read_text())
    asked = [(panel["title"], target["expr"]) for panel in dashboard["panels"] for target in panel.get("targets", ())]
    return asked + [(rule["alert"], rule["expr"]) for group in rules["groups"] for rule in group["rules"]]


def test_what_etc_asks_for_has_these_labels(world: World) -> None:
    world.counters.emit(events.Connectivity("mx", "mx [192.0.2.1]:25", "connected", "TLSv1.3 TLS_AES_256_GCM_SHA384", "Internet", "1"))
    world.sources.pressure.sample({"used_disk_space": Reading(1.0), "queue_length": Reading(1.0)})
    labels: dict[str, dict[str, set[str]]] = {}
    for name, of in samples(world):
        for label, shown in of:
            labels.setdefault(name, {}).setdefault(label, set()).add(shown)
    everywhere: dict[str, set[str]] = {"instance": set(), "job": set()}
    open_ended = {"code", "result", "outcome"}  # not all of them happened here
    for where, asked in expressions():
        grouped = {label.strip() for group in re.findall(r"by \(([^)]*)\)", asked) for label in group.split(",")}
        for name, matchers in re.findall(r"\b(twistedrelay_\w+)(?:\{([^}]*)\})?", asked):
            there = everywhere | labels.get(name, {})
            assert grouped <= there.keys(), (where, name, grouped)
            for label, operator, wanted in re.findall(r'(\w+)(=~|!~|!=|=)"([^"]*)"', matchers):
                assert label in there, (where, name, label)
                if operator in ("=", "!=") and label not in open_ended:
                    assert label in everywhere or wanted in there[label], (where, name, label, wanted)


@pytest.mark.parametrize("file", ["grafana/twistedrelay.json", "prometheus/twistedrelay.rules.yml"])
def test_what_etc_asks_for_is_there(world: World, file: str) -> None:
    asked = set(_NAME.findall((ROOT / "etc" / file).read_text()))
    assert len(asked) > 20
    there = known(world) | {"process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds", "process_max_fds"}
    assert asked - there == set()


def test_every_panel_asks_for_something() -> None:
    dashboard = json.loads((ROOT / "etc/grafana/twistedrelay.json").read_text())
    titles = [panel["title"] for panel in dashboard["panels"] if panel["type"] == "row"]
    assert {"Overview", "Receive connectors", "Queues", "Latency", "Spool", "TLS", "Back pressure and the process"} <= set(titles)
    for panel in dashboard["panels"]:
        if panel["type"] != "row":
            assert all(_NAME.search(target["expr"]) for target in panel["targets"]), panel["title"]


def test_every_curve_has_a_name_of_its_own() -> None:
    """Also where two relays are looked at: a label that tells curves apart is in the legend."""
    dashboard = json.loads((ROOT / "etc/grafana/twistedrelay.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            outermost = re.match(r"(?:topk\(10, )?(?:sum|max|min)(?: by \(([^)]*)\))? ?\(|histogram_quantile\(", target["expr"])
            apart = "instance" if outermost is None else outermost[1] or "le"
            for label in {each.strip() for each in apart.split(",")} - {"le"}:
                assert f"{{{{{label}}}}}" in target["legendFormat"], (panel["title"], target["expr"])
        legends = [target["legendFormat"] for target in panel.get("targets", ())]
        assert len(set(legends)) == len(legends), panel["title"]


def test_every_metric_is_documented(world: World) -> None:
    text = (ROOT / "docs/monitoring.rst").read_text()
    for name in known(world):
        if FOREIGN.match(name) or name.endswith(("_bucket", "_sum", "_count")):
            continue
        short = name.removeprefix("twistedrelay_")
        ends = ["_" + short.split("_", cut)[cut] for cut in range(1, short.count("_") + 1)]
        assert any(f"``{each}``" in text for each in (short, *ends)), name


def test_names_follow_the_conventions(world: World) -> None:
    for family in parse(exposition(world)[1]):
        if FOREIGN.match(family.name):
            continue
        assert family.name.startswith("twistedrelay_")
        assert family.documentation.endswith(".")
        assert not re.search(r"_(ms|milliseconds|minutes|hours|days|kb|mb|percent)\b", family.name)
        for sample in family.samples:
            if family.type == "counter":
                assert sample.name.endswith("_total")
    assert Path(ROOT / "etc/prometheus/prometheus.yml").exists()
