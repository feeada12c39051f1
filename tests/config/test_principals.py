"""Tests for L{twistedrelay.config.principals}."""

from __future__ import annotations

import pytest

from twistedrelay.config.principals import parse_principal


@pytest.mark.parametrize(
    ("text", "principal"),
    [
        ("anonymous logon", "Anonymous Logon"),
        ("NT AUTHORITY\\Authenticated Users", "Authenticated Users"),
        ("MS Exchange\\Externally Secured Servers", "Externally Secured Servers"),
        ("User@example.org", "User@example.org"),
        ("Group: Mail Relay", "group:Mail Relay"),
    ],
)
def test_principals(text: str, principal: str) -> None:
    assert parse_principal(text) == principal


@pytest.mark.parametrize("text", ["", "postmaster", "group:", "NT AUTHORITY\\group:x", "DOMAIN\\user", "Partner Servers"])
def test_bad_principals(text: str) -> None:
    allowed = "allowed: Anonymous Logon, Authenticated Users, Externally Secured Servers, a user's address or group:NAME"
    with pytest.raises(ValueError, match=allowed):
        parse_principal(text)
