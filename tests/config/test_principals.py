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
        (" Group: Mail Admins ", "group:Mail Admins"),
        ("group:CN=Relay,OU=Groups,DC=akkaya,DC=local", "group:CN=Relay,OU=Groups,DC=akkaya,DC=local"),
    ],
)
def test_principals(text: str, principal: str) -> None:
    assert parse_principal(text) == principal


@pytest.mark.parametrize("text", ["", "postmaster", "DOMAIN\\user", "Partner Servers", "group:", "group: "])
def test_bad_principals(text: str) -> None:
    allowed = "allowed: Anonymous Logon, Authenticated Users, Externally Secured Servers, group:NAME or a user's address"
    with pytest.raises(ValueError, match=allowed):
        parse_principal(text)
