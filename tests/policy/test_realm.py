"""Tests for L{twistedrelay.policy.realm}."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from twisted.cred.checkers import ANONYMOUS
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import IRealm
from twisted.mail.interfaces import IMessageDelivery
from zope.interface.verify import verifyObject

from tests.network import PATIENCE
from twistedrelay.interfaces import IRelaySession
from twistedrelay.policy.realm import AvatarId, RelayRealm
from twistedrelay.policy.rights import Rights


def test_interfaces(make_config: Any, make_facts: Any) -> None:
    realm = RelayRealm(make_config())
    assert verifyObject(IRealm, realm)
    assert verifyObject(IRelaySession, realm.session(ANONYMOUS, make_facts()))


def test_an_anonymous_session(make_config: Any, make_facts: Any) -> None:
    facts = make_facts(extended_rights={"Anonymous Logon": ["Accept-Any-Recipient"]})
    interface, session, logout = RelayRealm(make_config()).requestAvatar(ANONYMOUS, facts, IRelaySession)
    assert interface is IRelaySession
    assert session.principal == "Anonymous Logon"
    assert session.is_anonymous
    assert session.user is None
    assert session.accepts_any_recipient
    assert session.rights.labels()[:2] == ("SMTPSubmit", "SMTPAcceptAnyRecipient")
    logout()


def test_an_externally_secured_session(make_config: Any, make_facts: Any) -> None:
    facts = make_facts(auth_mechanism=["ExternalAuthoritative"], permission_groups=["ExchangeServers"])
    session = RelayRealm(make_config()).session(ANONYMOUS, facts)
    assert session.principal == "Externally Secured Servers"
    assert session.is_anonymous
    assert session.accepts_any_recipient
    assert session.bypasses_size_limit


def test_a_login_replaces_the_anonymous_rights(make_config: Any, make_facts: Any, make_user: Any) -> None:
    realm = RelayRealm(make_config())
    facts = make_facts(
        permission_groups=["AnonymousUsers", "ExchangeUsers"], extended_rights={"Anonymous Logon": ["Bypass-Message-Size-Limit"]}
    )
    assert realm.session(ANONYMOUS, facts).accepts_any_sender
    user = make_user("User@Akkaya.local", ("info@akkaya.local",))
    session = realm.session(AvatarId(user.address, user), facts)
    assert session.principal == session.login == "User@Akkaya.local"
    assert session.user is user
    assert not session.is_anonymous
    assert session.own_addresses == {("user", "akkaya.local"), ("info", "akkaya.local")}
    assert session.rights == Rights.SUBMIT | Rights.ACCEPT_ANY_RECIPIENT | Rights.ACCEPT_HEADERS_ROUTING | Rights.BYPASS_ANTI_SPAM
    assert (session.may_submit, session.accepts_any_sender, session.bypasses_size_limit) == (True, False, False)


def test_the_groups_of_a_login_count(make_config: Any, make_facts: Any, make_user: Any) -> None:
    facts = make_facts(permission_groups=["ExchangeUsers"], extended_rights={"group:Relay": ["Accept-Any-Sender"]})
    realm, user = RelayRealm(make_config()), make_user("user@akkaya.local")
    assert realm.session(AvatarId(user.address, user, ("relay",)), facts).accepts_any_sender
    assert not realm.session(AvatarId(user.address, user, ("other",)), facts).accepts_any_sender


def test_a_login_on_a_connector_without_its_group_may_do_nothing(make_config: Any, make_facts: Any) -> None:
    session = RelayRealm(make_config()).session(b"user@akkaya.local", make_facts())
    assert session.rights is Rights.NONE
    assert not session.may_submit


def test_a_login_by_a_foreign_checker(make_config: Any, make_facts: Any) -> None:
    realm = RelayRealm(make_config())
    assert realm.session(b"User@akkaya.local", make_facts()).own_addresses == {("user", "akkaya.local")}
    nameless = realm.session(b"scanner", make_facts())
    assert nameless.principal == "scanner"
    assert nameless.own_addresses == frozenset()
    for empty in (b"", ""):
        with pytest.raises(UnauthorizedLogin):
            realm.session(empty, make_facts(permission_groups=["ExchangeUsers"]))


def test_no_session_without_facts_or_for_other_interfaces(make_config: Any, make_facts: Any) -> None:
    realm = RelayRealm(make_config())
    with pytest.raises(TypeError, match="SessionFacts"):
        realm.requestAvatar(ANONYMOUS, None, IRelaySession)
    with pytest.raises(TypeError, match="IRelaySession"):
        realm.requestAvatar(ANONYMOUS, make_facts(), IRealm)
    with pytest.raises(TypeError, match="avatar id"):
        realm.session(5, make_facts())


def test_message_delivery_is_an_aspect(make_config: Any, make_facts: Any) -> None:
    realm = RelayRealm(make_config())
    interface, delivery, _ = realm.requestAvatar(ANONYMOUS, make_facts(), IMessageDelivery, IRelaySession)
    assert interface is IMessageDelivery
    assert verifyObject(IMessageDelivery, delivery)
    assert IMessageDelivery(realm.session(ANONYMOUS, make_facts())).session.is_anonymous


def test_the_repr_holds_no_secret_and_no_loop(make_config: Any, make_facts: Any, make_user: Any) -> None:
    user = make_user("user@akkaya.local")
    assert len(repr(RelayRealm(make_config()).session(AvatarId(user.address, user), make_facts()))) < 500


def test_nothing_here_installs_a_reactor() -> None:
    program = (
        "import sys, twisted.plugins.twistedrelay_cred\n"
        "assert 'twistedrelay' not in sys.modules\n"
        "import twistedrelay.policy.checkers, twistedrelay.policy.acceptance, twistedrelay.policy.throttle\n"
        "assert 'twisted.mail.interfaces' not in sys.modules\n"
        "import twistedrelay.policy.messagedelivery\n"
        "assert 'twisted.internet.reactor' not in sys.modules\n"
        "assert 'twisted.mail.smtp' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=PATIENCE)
