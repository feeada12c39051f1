"""Tests for L{twistedrelay.config.report_rules}, through files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Files


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("transport: {internal_dsn_default_language: nl}",
         "transport.internal_dsn_default_language: 'nl' is no language that reports have; allowed: de, en, es, fr, tr"),
        ("transport: {external_dsn_default_language: english}",
         "transport.external_dsn_default_language: 'english' is no language that reports have; allowed: de, en, es, fr, tr"),
        ("transport: {generate_copy_of_dsn_for: [5.4.6, '554']}",
         "transport.generate_copy_of_dsn_for[1]: '554' is no enhanced status code; allowed: such as 5.4.6"),
        ("system_messages: [{dsn_code: 5.1, text: x}]",
         "system_messages[0].dsn_code: '5.1' is no enhanced status code; allowed: such as 5.7.1"),
        ("system_messages: [{dsn_code: 5.1.1, language: 'de_DE', text: x}]",
         "system_messages[0].language: 'de_DE' is no language; allowed: a tag such as en or pt-BR"),
        ("system_messages: [{dsn_code: 5.1.1, text: ' '}]", "system_messages[0].text: has 1 characters; allowed: 1 to 4096"),
        ('system_messages: [{dsn_code: 5.1.1, text: "a\\x1b[2J"}]',
         "system_messages[0].text: holds control characters; allowed: text, also of several lines"),
    ],
)  # fmt: skip
def test_problems(files: Files, text: str, problem: str) -> None:
    assert files.problems(f"{text}\n") == [f"relay.yaml:2: {problem}"]


def test_good_values(files: Files) -> None:
    config = files.load("""\
        transport: {internal_dsn_default_language: de-AT, generate_copy_of_dsn_for: [5.4.6, 5.1.10]}
        system_messages:
        - {dsn_code: 5.7.1, language: nl, internal: true, text: "Vraag het de helpdesk."}
        - dsn_code: 5.1.1
          text: |
            Ask the help desk.

            It is in room 7.
    """)
    assert [message.internal for message in config.system_messages] == [True, None]
