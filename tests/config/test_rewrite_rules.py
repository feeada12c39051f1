"""Tests for L{twistedrelay.config.rewrite_rules}, through files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Files

NO_ADDRESS = "there is no @ with a domain behind it; allowed: local@domain, *@domain, *@*.domain, *"


def send(files: Files, line: str) -> list[str]:
    """Problems of a connector with a line of its own in line 5."""
    problems = files.problems(f"send_connectors:\n  A:\n    address_spaces: ['*']\n    {line}\n")
    return [problem.removeprefix("relay.yaml:5: send_connectors.A.").replace('"', "") for problem in problems]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("sender_rewrite: {scanner: a@here.example}", f"sender_rewrite.scanner: 'scanner' is no address: {NO_ADDRESS}"),
        ("sender_rewrite: {a@b.example: here.example}",
         ("sender_rewrite.a@b.example: 'here.example' is no address to write in its place; allowed: local@domain, or *@domain, which keeps "
          "the local part")),
        ("sender_rewrite: {'*@b.example': '*@*.here.example'}",
         ("sender_rewrite.*@b.example: '*@*.here.example' is no address to write in its place; allowed: local@domain, or *@domain, which "
          "keeps the local part")),
        ("sender_rewrite: {'*': a@here.example, b@c.example: b@here.example}",
         "sender_rewrite.b@c.example: is never used: '*' stands before it, and the first pattern that fits counts"),
        ("sender_rewrite: {b@c.example: a@here.example, B@C.example: b@here.example}",
         "sender_rewrite.B@C.example: is never used: the same pattern stands before it, and the first pattern that fits counts"),
        ("sender_rewrite_headers_enabled: true", "sender_rewrite_headers_enabled: needs sender_rewrite: what addresses become"),
        ("srs_domain: a b",
         "srs_domain: 'a b' is no domain name; allowed: letters, digits and hyphens between dots, such as mail.example.org"),
        ("redirect_all_to: test", "redirect_all_to: 'test' is no address; allowed: local@domain"),
        ("allowed_recipients: ['*']", "allowed_recipients[0]: '*' allows everybody; leave the key out"),
        ("allowed_recipients: [a@b.example, b]", f"allowed_recipients[1]: 'b' is no address: {NO_ADDRESS}"),
        ("redirect_all_to: a@b.example\n    smart_hosts: ['maildir:/x']",
         "redirect_all_to: does not go with a maildir:, which keeps messages as they are"),
    ],
)  # fmt: skip
def test_send_connector(files: Files, line: str, problem: str) -> None:
    assert send(files, line) == [problem]


def test_good_values(files: Files) -> None:
    connector = files.load("""\
        send_connectors:
          A:
            address_spaces: ["*"]
            sender_rewrite: {boss@printers.local: boss@here.example, "*@*.printers.local": scan@here.example, "*": "*@here.example"}
            sender_rewrite_headers_enabled: true
            srs_domain: srs.here.example
            redirect_all_to: test@here.example
            allowed_recipients: ["*@qa.example", boss@there.example]
    """).send_connectors["A"]
    assert list(connector.sender_rewrite) == ["boss@printers.local", "*@*.printers.local", "*"]
