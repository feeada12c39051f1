"""Tests for L{twistedrelay.policy.external.names} and L{twistedrelay.policy.external.arguments}."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.cred.credentials import UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.strcred import InvalidAuthArgumentString

from twistedrelay.policy.external.arguments import absolute_path, needs_extra, option_domain, option_word, parse_argument
from twistedrelay.policy.external.names import name_and_password, parse_name


@pytest.mark.parametrize(
    ("text", "domain", "parts"),
    [
        ("Cengiz", "example.org", ("cengiz", "cengiz", "example.org", "cengiz@example.org")),
        ("Cengiz@Example.ORG", "example.org", ("cengiz@example.org", "cengiz", "example.org", "cengiz@example.org")),
        ("AKKAYA\\Cengiz", "example.org", ("cengiz", "cengiz", "example.org", "cengiz@example.org")),
        ("cengiz@a@example.org", "", ("cengiz@a@example.org", "cengiz@a", "example.org", "cengiz@a@example.org")),
        ("cengiz@other.test", "", ("cengiz@other.test", "cengiz", "other.test", "cengiz@other.test")),
        ("cengiz", "", ("cengiz", "cengiz", "", "cengiz")),
        ("GÜL", "", ("gül", "gül", "", "gül")),
    ],
)
def test_names(text: str, domain: str, parts: tuple[str, ...]) -> None:
    name = parse_name(text, domain)
    assert (name.login, name.user, name.domain, name.address) == parts


@pytest.mark.parametrize("text", ["", "@example.org", "a@", "AKKAYA\\", "a b", "a\tb", "a\nb", "a\0b", "a\u200eb", "a\xa0b", "x" * 321])
@pytest.mark.parametrize("domain", ["", "example.org"])
def test_names_that_nobody_is_asked_about(text: str, domain: str) -> None:
    with pytest.raises(UnauthorizedLogin):
        parse_name(text, domain)


def test_other_domains_are_other_peoples() -> None:
    with pytest.raises(UnauthorizedLogin):
        parse_name("cengiz@other.test", "example.org")


@given(st.text(), st.sampled_from(["", "example.org"]))
def test_any_name_is_taken_apart_or_refused(text: str, domain: str) -> None:
    try:
        name = parse_name(text, domain)
    except UnauthorizedLogin:
        return
    assert name.user
    assert not domain or name.domain == domain
    assert name.login in (name.user, f"{name.user}@{name.domain}")


@pytest.mark.parametrize("password", [b"", b"a\0b", b"\xff", b"x" * 1025])
def test_impossible_passwords(password: bytes) -> None:
    with pytest.raises(UnauthorizedLogin):
        name_and_password(UsernamePassword(b"cengiz", password))


def test_name_and_password() -> None:
    assert name_and_password(UsernamePassword("gül".encode(), b" pass word ")) == ("gül", " pass word ")


def test_arguments() -> None:
    value, options = parse_argument("/run/x : domain=Example.ORG:service=smtp", "EXAMPLE", ("domain", "service"))
    assert (value, option_domain(options), option_word(options, "service", "x")) == ("/run/x", "example.org", "smtp")
    value, options = parse_argument("smtp", "EXAMPLE", ("domain",))
    assert (value, option_domain(options), option_word(options, "service", "x")) == ("smtp", "", "x")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "an argument is required: EXAMPLE"),
        ("x:domian=a", "did you mean 'domain'"),
        ("x:domain", "needs one value"),
        ("x:domain=", "needs one value"),
        ("x:domain=a:domain=b", "needs one value"),
        ("x:", "the option '' is unknown"),
    ],
)
def test_bad_arguments(text: str, said: str) -> None:
    with pytest.raises(InvalidAuthArgumentString, match=said):
        parse_argument(text, "EXAMPLE", ("domain",))


@pytest.mark.parametrize(
    "bad",
    [
        lambda: absolute_path("run/x", "EXAMPLE"),
        lambda: option_domain({"domain": "a b"}),
        lambda: option_word({"service": "a/b"}, "service", "smtp"),
    ],
)
def test_bad_values(bad: Any) -> None:
    with pytest.raises(InvalidAuthArgumentString):
        bad()


def test_a_missing_module_says_which_extra() -> None:
    with pytest.raises(InvalidAuthArgumentString, match=r"install twistedrelay\[ldap\]"), needs_extra("ldap"):
        raise ModuleNotFoundError("No module named 'ldap'")
