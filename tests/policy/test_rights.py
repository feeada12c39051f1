"""Tests for L{twistedrelay.policy.rights}."""

from __future__ import annotations

from typing import Any

import pytest

from twistedrelay.config.principals import ANONYMOUS_LOGON, AUTHENTICATED_USERS, EXTERNALLY_SECURED
from twistedrelay.policy.rights import (
    Rights,
    parse_right,
    principal_at_connect,
    rights_of,
    rights_problems,
)

ALL = Rights(sum(right.value for right in Rights))


def connector(make_config: Any, **keys: Any) -> Any:
    return make_config({"one": keys}).receive_connectors["one"]


def test_labels_of_anonymous_relay_are_those_of_the_protocol_log(make_config: Any) -> None:
    relay = connector(make_config, extended_rights={"Anonymous Logon": ["Accept-Any-Recipient"]})
    assert " ".join(rights_of(relay, ANONYMOUS_LOGON).labels()) == (
        "SMTPSubmit SMTPAcceptAnyRecipient SMTPAcceptAnySender SMTPAcceptAuthoritativeDomainSender AcceptRoutingHeaders"
    )


def test_every_right_has_a_label() -> None:
    assert len(ALL.labels()) == len(list(Rights)) == 11
    assert Rights.NONE.labels() == ()


def test_the_table_of_groups(make_config: Any) -> None:
    every = connector(make_config, permission_groups=["AnonymousUsers", "ExchangeUsers", "ExchangeServers"])
    assert rights_of(every, ANONYMOUS_LOGON) == (
        Rights.SUBMIT | Rights.ACCEPT_ANY_SENDER | Rights.ACCEPT_AUTHORITATIVE_DOMAIN_SENDER | Rights.ACCEPT_HEADERS_ROUTING
    )
    assert rights_of(every, AUTHENTICATED_USERS) == (
        Rights.SUBMIT | Rights.ACCEPT_ANY_RECIPIENT | Rights.ACCEPT_HEADERS_ROUTING | Rights.BYPASS_ANTI_SPAM
    )
    assert rights_of(every, EXTERNALLY_SECURED) == ALL & ~Rights.ACCEPT_HEADERS_ORGANIZATION & ~Rights.ACCEPT_HEADERS_FOREST


@pytest.mark.parametrize("principal", [ANONYMOUS_LOGON, AUTHENTICATED_USERS, EXTERNALLY_SECURED])
@pytest.mark.parametrize("groups", [["None"], ["Custom"], ["Partners"], ["ExchangeLegacyServers"]])
def test_other_groups_give_nothing(make_config: Any, principal: str, groups: list[str]) -> None:
    assert rights_of(connector(make_config, permission_groups=groups), principal) is Rights.NONE


def test_no_group_lets_anonymous_sessions_relay(make_config: Any) -> None:
    every = connector(
        make_config, permission_groups=["AnonymousUsers", "ExchangeUsers", "ExchangeServers", "ExchangeLegacyServers", "Partners"]
    )
    assert Rights.ACCEPT_ANY_RECIPIENT not in rights_of(every, ANONYMOUS_LOGON)


def test_extended_rights_reach_only_their_principal(make_config: Any) -> None:
    relay = connector(
        make_config,
        permission_groups=["ExchangeUsers"],
        extended_rights={
            "NT AUTHORITY\\ANONYMOUS LOGON": ["ms-Exch-SMTP-Submit"],
            "Authenticated Users": ["Bypass-Message-Size-Limit"],
            "Scanner@Akkaya.local": ["MS-EXCH-SMTP-ACCEPT-ANY-SENDER"],
        },
    )
    assert rights_of(relay, ANONYMOUS_LOGON) == Rights.SUBMIT
    anyone = rights_of(relay, AUTHENTICATED_USERS, "user@akkaya.local")
    assert Rights.BYPASS_MESSAGE_SIZE_LIMIT in anyone
    assert Rights.ACCEPT_ANY_SENDER not in anyone
    assert rights_of(relay, AUTHENTICATED_USERS, "scanner@AKKAYA.local") == anyone | Rights.ACCEPT_ANY_SENDER


def test_externally_secured_needs_the_mechanism_and_the_group(make_config: Any) -> None:
    assert principal_at_connect(connector(make_config)) == ANONYMOUS_LOGON
    assert principal_at_connect(connector(make_config, permission_groups=["ExchangeServers"])) == ANONYMOUS_LOGON
    assert principal_at_connect(connector(make_config, auth_mechanism=["ExternalAuthoritative"])) == ANONYMOUS_LOGON
    secured = connector(make_config, auth_mechanism=["Tls", "ExternalAuthoritative"], permission_groups=["ExchangeServers"])
    assert principal_at_connect(secured) == EXTERNALLY_SECURED


@pytest.mark.parametrize(
    "spelling", ["Accept-Any-Recipient", "accept-any-recipient", "ms-Exch-SMTP-Accept-Any-Recipient", "MS-Exch-SMTP-Accept-Any-Recipient"]
)
def test_spellings_of_a_right(spelling: str) -> None:
    assert parse_right(spelling) is Rights.ACCEPT_ANY_RECIPIENT


def test_spellings_of_rights_without_smtp_in_their_name() -> None:
    assert parse_right("ms-Exch-Bypass-Anti-Spam") is parse_right("Bypass-Anti-Spam") is Rights.BYPASS_ANTI_SPAM
    assert parse_right("ms-Exch-Accept-Headers-Routing") is parse_right("Accept-Headers-Routing") is Rights.ACCEPT_HEADERS_ROUTING


def test_unknown_right_is_named_with_a_suggestion() -> None:
    with pytest.raises(ValueError, match=r"(?s)unknown right 'Accept-Any-Recipent'.*'Accept-Any-Recipient'.*allowed: Submit, "):
        parse_right("Accept-Any-Recipent")


def test_problems_have_their_path(make_config: Any) -> None:
    rights = {"nobody@akkaya.local": ["Submit", "Fly"], "Anonymous Logon": ["Accept-Any-Recipient"]}
    config = make_config({"IP_Relay": {"extended_rights": rights}})
    path = ("receive_connectors", "IP_Relay", "extended_rights", "nobody@akkaya.local")
    assert [problem.path for problem in rights_problems(config)] == [(*path, 1)]
    assert rights_problems(make_config()) == []


def test_a_group_of_the_directory_adds_to_what_its_members_have(make_config: Any) -> None:
    granted = {"group:Mail Relay": ["Accept-Any-Sender"], "group:others": ["Bypass-Message-Size-Limit"]}
    site = connector(make_config, permission_groups=["ExchangeUsers"], extended_rights=granted)
    without = rights_of(site, AUTHENTICATED_USERS, "a@b.test")
    assert rights_of(site, AUTHENTICATED_USERS, "a@b.test", ["mail relay", "staff"]) == without | Rights.ACCEPT_ANY_SENDER


@pytest.mark.parametrize("login", ["Anonymous Logon", "group:relay", "group:relay@example.org"])
def test_a_login_named_like_a_principal_is_not_that_principal(make_config: Any, login: str) -> None:
    granted = {name: ["Accept-Any-Sender"] for name in ("Anonymous Logon", "group:relay", "group:relay@example.org")}
    site = connector(make_config, permission_groups=["ExchangeUsers"], extended_rights=granted)
    assert Rights.ACCEPT_ANY_SENDER not in rights_of(site, AUTHENTICATED_USERS, login)
