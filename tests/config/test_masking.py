"""What of a configuration's text is not shown."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given, strategies

from twistedrelay.config.history import diff
from twistedrelay.config.masking import MASK, checker_text, hidden, webhook_text
from twistedrelay.values.printable import public_url

SECRET = "hunter2"


@pytest.mark.parametrize(
    "text",
    [
        "credential_checkers: ['memory:joe:hunter2']",
        "credential_checkers:\n- memory:joe:hunter2:ann:hunter2\n",
        'credential_checkers:\n- "other:key=hunter2"  # ours\n',
        "credential_checkers:\n- >-\n  memory:joe:hunter2\n",
        "credential_checkers: [ &a 'memory:joe:hunter2', *a ]",
        "x: &a 'memory:joe:hunter2'\ncredential_checkers: [*a]\n",
        "webhooks: [{url: 'https://h.example/p?token=hunter2', secret_file: s}]",
        "webhooks: [{url: https://hooks.example/services/T0/hunter2, secret_file: s}]",
        "webhooks:\n  - &a {url: 'http://hooks.example:8080/hunter2'}\n  - *a\n",
        "# webhooks: [{url: https://hooks.example/services/hunter2, secret_file: s}]\n",
        "acme: {directory_url: https://joe:hunter2@ca.example/dir}",
        "server: {spool: 'postgresql://relay:hunter2@db.example/spool'}",
        "send_connectors: {A: {authentication_credential: {username: u, password: hunter2}}}",
        "send_connectors:\n  A:\n    authentication_credential:\n      oauth: {client_secret: hunter2, refresh_token: 'hunter2'}\n",
        "a:\n  password: |\n    hunter2\n    hunter2\n",
        "a: {passwords: [hunter2]}\napi-key: {x: hunter2}\n",
        "# password: hunter2\nserver: {name: A}\n",
        "server: {name: A}  # the client_secret = hunter2\n",
        "#- memory:joe:hunter2\nusers: x\n",
        "server: {name: [hunter2\n",
        "\ufeffpassword: hunter2\n",
    ],
)
def test_secrets_are_not_shown(text: str) -> None:
    shown = hidden(text)
    assert SECRET not in shown
    assert MASK in shown
    assert SECRET not in diff({"/r": text.encode()}, {"/r": b"users: x\n"})
    assert SECRET not in diff({"/r": None}, {"/r": text.encode()})


@pytest.mark.parametrize(
    "text",
    [
        "credential_checkers: ['file:/etc/devices', anonymous]\n",
        "a: {password_file: provider.secret, password_credential: provider, private_key: k.pem, client_secret_file: s}\n",
        "webhooks: [{url: https://h.example:8443, secret_file: s}, {url: 'https://h.example/'}]  # see https://h.example/path: twice\n",
        "acme: {directory_url: https://ca.example/dir}\n",
        "line 1\nline 2\n",
        "",
    ],
)
def test_all_else_is_as_it_is(text: str) -> None:
    assert hidden(text) == text


def test_another_password_is_a_difference_that_is_not_shown() -> None:
    one, other = (f"credential_checkers: ['memory:joe:{word}']\n".encode() for word in ("a", "b"))
    assert "what is different is a secret" in diff({"/r": one}, {"/r": other})
    assert diff({"/r": one}, {"/r": one}) == ""


@given(strategies.text(strategies.characters(codec="utf-8", exclude_characters="\x00"), max_size=30))
def test_whatever_a_password_consists_of(word: str) -> None:
    password = f"{SECRET}{word}{SECRET}"
    text = yaml.safe_dump({"password": password, "credential_checkers": [f"memory:joe:{password}"], "users": "u"}, allow_unicode=True)
    assert SECRET not in hidden(text)
    assert SECRET not in checker_text(f"memory:joe:{password}")


def test_addresses_without_what_may_be_a_secret() -> None:
    assert public_url("https://joe:x@h.example:8443/p?a=b&c=d#e") == "https://***@h.example:8443/p?***#e"
    assert public_url("see https://h.example/?q or mail?x") == "see https://h.example/?*** or mail?x"
    assert public_url("maildir:/a?b") == "maildir:/a?b"


def test_of_the_address_of_a_webhook_only_where_it_is() -> None:
    assert webhook_text("https://hooks.example:8443/services/T0/B0/key?x=y#z") == "https://hooks.example:8443/***"
    assert webhook_text("https://hooks.example?key") == "https://hooks.example/***"
    assert webhook_text("https://hooks.example/") == "https://hooks.example/"
    assert webhook_text("https://hooks.example/a,b}c'd e\nf") == "https://hooks.example/***"
    assert webhook_text("FAIL") == "FAIL"
