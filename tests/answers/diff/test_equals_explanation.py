"""What a difference says of a recorded client is what an explanation says of it, over many configurations."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.answers.explain.asking import ACCOUNT, find
from tests.answers.explain.test_equals_session import CLIENTS, DOMAINS, configurations
from tests.net.relay import NOON, configuration
from twistedrelay.answers.diff.clients import Theatre, client_changes
from twistedrelay.answers.explain.alone import at_once
from twistedrelay.answers.explain.explainer import Explainer, rules_of
from twistedrelay.answers.explain.question import Question
from twistedrelay.policy.connector import ConnectorTable, conflicts
from twistedrelay.values.netrange import parse_ip
from twistedrelay.values.usage import Usage

TO = ("akkaya.local", "gmail.com", "sub.akkaya.local", "x.partner.example", "localhost", "host.test")

rows = st.fixed_dictionaries(
    {
        "user": st.sampled_from(("", "", ACCOUNT.address, "nobody@akkaya.local")),
        "helo": st.sampled_from(("client.example", "", "[10.1.2.3]", "printer")),
        "sender_domain": st.sampled_from(("client.example", "akkaya.local", "")),
        "tls": st.sampled_from(("", "TLSv1.2", "TLSv1.3")),
        "recipient_domains": st.lists(st.sampled_from(TO), min_size=1, max_size=2, unique=True).map(tuple),
    }
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(configurations(), DOMAINS, rows, st.data())
def test_a_difference_says_what_an_explanation_says(
    connectors: dict[str, dict[str, Any]], domains: dict[str, Any], facts: dict[str, Any], data: st.DataObject
) -> None:
    """Who is refused, by which connector, and which recipients' domains are."""
    config = configuration(connectors, accepted_domains={"akkaya.local": {"next_hop": "mailbox.akkaya.local:25"}, **domains})
    table = ConnectorTable(config)
    assume(table.bindings and not conflicts(config))
    binding = data.draw(st.sampled_from(table.bindings))
    host = {"::": "2001:db8::5", "0.0.0.0": "192.168.1.6"}.get(binding.host, binding.host)
    client = data.draw(st.sampled_from([one for one in CLIENTS if parse_ip(one).version == parse_ip(host).version]))
    local = f"[{host}]:{binding.port}" if ":" in host else f"{host}:{binding.port}"
    row = Usage(connector="", local=local, client=client, first_seen=NOON, last_seen=NOON, messages=1, **facts)
    theatre = Theatre(config, NOON, (find, False))
    sender = _sender(row)
    verdict = theatre.verdict(row, sender)
    explainer = Explainer(rules_of(config), now=NOON, user=find)
    for domain in row.recipient_domains:
        question = Question(
            client=client, to=local, tls=row.tls, helo=row.helo, user=row.user, sender=sender, recipients=(f"somebody@{domain}",)
        )
        told = at_once(explainer.explain(question))
        before = next((step for step in told.dialogue if not step.accepted and not step.command.startswith(("RCPT", "DATA"))), None)
        assert bool(verdict.refusal) == (before is not None), (verdict, told.dialogue)
        assert verdict.connector == told.receive_connector
        asked = next((step for step in told.dialogue if step.command.startswith("RCPT")), None)
        if asked is not None and "max_protocol_errors" not in asked.reason:
            assert (domain in dict(verdict.refused)) == (not asked.accepted), (verdict, asked)
    assert list(client_changes(theatre, Theatre(config, NOON, (find, False)), [row])) == [None]


def _sender(row: Usage) -> str:
    if row.user == ACCOUNT.address and row.sender_domain == "akkaya.local":
        return ACCOUNT.address
    return f"somebody@{row.sender_domain}" if row.sender_domain else ""
