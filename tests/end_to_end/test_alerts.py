"""The alert rules of etc/prometheus, asked of promtool: each fires where it should, and none does while all is well."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tests.network import PATIENCE
from tests.programs import ROOT

RULES = ROOT / "etc/prometheus/twistedrelay.rules.yml"

#: A series without the prefix and the labels that all have, and its values: each minute, for more than an hour and a half.
Series = dict[str, str]

#: What a relay shows that does well.
WELL: Series = {
    "up": "1x100",
    'ready{check="spool"}': "1x100",
    "spool_healthy": "1x100",
    "spool_stalled_seconds": "0x100",
    "spool_commit_failures_total": "0x100",
    'spool_fsync_seconds_bucket{le="0.01"}': "0+600x100",
    'spool_fsync_seconds_bucket{le="1"}': "0+600x100",
    'spool_fsync_seconds_bucket{le="+Inf"}': "0+600x100",
    'back_pressure_resource_level{resource="queue_length"}': "0x100",
    'back_pressure_resource_level{resource="system_memory"}': "0x100",
    "spool_filesystem_free_bytes": "90000000000x100",
    'sessions{connector="IP_Relay"}': "2x100",
    'sessions_refused_total{connector="IP_Relay",limit="source"}': "0x100",
    'logins_total{connector="Client Frontend",mechanism="PLAIN",result="failure"}': "0+1x100",
    'logins_total{connector="Client Frontend",mechanism="PLAIN",result="unknown"}': "0x100",
    'smtp_commands_refused_total{connector="IP_Relay",command="RCPT",code="550"}': "0+6x100",
    'certificate_expiry_timestamp_seconds{names="mail.example"}': "8640000x100",
    "tls_handshake_failures_total": "0+1x100",
    'tls_sessions_total{version="TLSv1.3",cipher="x"}': "0+60x100",
    "queue_oldest_message_age_seconds": "60x100",
    "queue_messages": "10x100",
    'queue_lanes{status="Retry"}': "3x100",
    'queue_messages_aside{status="poison"}': "0x100",
    "uncertain_deliveries_total": "0x100",
    "uncertain_receipts_total": "0x100",
    'lost_records_total{what="tracking"}': "0x100",
    "dns_failures_total": "0+1x100",
    'dns_lookups_total{source="asked"}': "0+600x100",
    'event_loop_lag_seconds_bucket{le="0.01"}': "0+600x100",
    'event_loop_lag_seconds_bucket{le="1"}': "0+600x100",
    'event_loop_lag_seconds_bucket{le="+Inf"}': "0+600x100",
    "process_open_fds": "50x100",
    "process_max_fds": "65536x100",
    'notices_total{level="error"}': "0x100",
}

#: What is different where an alert has to come; C{""}: the series is not there.
TROUBLE: dict[str, Series] = {
    "RelayDown": {"up": "0x100"},
    "RelayNotReady": {'ready{check="spool"}': "0x100"},
    "RelaySpoolSick": {"spool_stalled_seconds": "20x100"},
    "RelaySpoolCommitFailures": {"spool_commit_failures_total": "0+1x100"},
    "RelayDiskSlow": {'spool_fsync_seconds_bucket{le="0.01"}': "0+10x100"},
    "RelayBackPressure": {'back_pressure_resource_level{resource="system_memory"}': "2x100"},
    "RelayBackPressureHigh": {'back_pressure_resource_level{resource="queue_length"}': "2x100"},
    "RelayDiskFillsUp": {"spool_filesystem_free_bytes": "90000000000-400000000x100"},
    "RelayConnectionsRefused": {'sessions_refused_total{connector="IP_Relay",limit="source"}': "0+10x100"},
    "RelayLoginsFail": {'logins_total{connector="Client Frontend",mechanism="PLAIN",result="failure"}': "0+10x100"},
    "RelayLoginsCannotBeChecked": {'logins_total{connector="Client Frontend",mechanism="PLAIN",result="unknown"}': "0+1x100"},
    "RelayManyRefusals": {'smtp_commands_refused_total{connector="IP_Relay",command="RCPT",code="550"}': "0+120x100"},
    "RelayCertificateEnds": {'certificate_expiry_timestamp_seconds{names="mail.example"}': "864000x100"},
    "RelayCertificateOver": {'certificate_expiry_timestamp_seconds{names="mail.example"}': "43200x100"},
    "RelayTLSFails": {"tls_handshake_failures_total": "0+60x100"},
    "RelayQueueOld": {"queue_oldest_message_age_seconds": "20000x100"},
    "RelayQueueGrows": {"queue_messages": "2000+10x100"},
    "RelayNextHopsFail": {'queue_lanes{status="Retry"}': "30x100"},
    "RelayPoisonMessage": {'queue_messages_aside{status="poison"}': "1x100"},
    "RelayUncertain": {"uncertain_receipts_total": "0+1x100"},
    "RelayRecordsLost": {'lost_records_total{what="tracking"}': "0+1x100"},
    "RelayDNSFails": {"dns_failures_total": "0+120x100"},
    "RelayReactorLate": {'event_loop_lag_seconds_bucket{le="0.01"}': "0+10x100"},
    "RelayDescriptorsRunOut": {"process_open_fds": "65000x100"},
    "RelayErrorsLogged": {'notices_total{level="error"}': "0+1x100"},
}

#: No client ever came through its handshake.
NO_TLS = {"tls_handshake_failures_total": "0+60x100", 'tls_sessions_total{version="TLSv1.3",cipher="x"}': ""}

_OTHERS = ("up", "process_open_fds", "process_max_fds")


def _series(changes: Series) -> list[dict[str, str]]:
    found = []
    for series, values in {**WELL, **changes}.items():
        name, _, labels = series.partition("{")
        whole = name if name in _OTHERS else f"twistedrelay_{name}"
        common = 'job="twistedrelay",instance="relay:9345"'
        if values:
            found.append({"series": f"{whole}{{{common}{',' + labels if labels else '}'}", "values": values})
    return found


def _test(name: str, changes: Series, selector: str, count: int) -> dict[str, Any]:
    """How many alerts that a selector means are to fire after a hundred minutes."""
    expected = [{"labels": "{}", "value": count}] if count else []
    asked = {"expr": f'count(ALERTS{{alertstate="firing"{selector}}})', "eval_time": "100m", "exp_samples": expected}
    return {"name": name, "interval": "1m", "input_series": _series(changes), "promql_expr_test": [asked]}


def _asked(promtool: str, directory: Path, tests: list[dict[str, Any]]) -> subprocess.CompletedProcess[str]:
    file = directory / "tests.json"
    file.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "5m", "tests": tests}))
    return subprocess.run([promtool, "test", "rules", str(file)], capture_output=True, text=True, check=False, timeout=PATIENCE)


def _alerts() -> set[str]:
    return {rule["alert"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]}


def test_each_alert_fires(program: Callable[[str], str], tmp_path: Path) -> None:
    assert set(TROUBLE) == _alerts()
    cases = [*TROUBLE.items(), ("RelayTLSFails", NO_TLS)]
    done = _asked(program("promtool"), tmp_path, [_test(alert, changes, f',alertname="{alert}"', 1) for alert, changes in cases])
    assert done.returncode == 0, done.stdout + done.stderr


def test_none_fires_while_all_is_well(program: Callable[[str], str], tmp_path: Path) -> None:
    done = _asked(program("promtool"), tmp_path, [_test("well", {}, "", 0)])
    assert done.returncode == 0, done.stdout + done.stderr
