"""The reasons in an explanation."""

from __future__ import annotations

from typing import Any

import pytest

from tests.answers.explain.asking import by_file, explained
from tests.net.relay import FakeUsers, Relay, configuration
from twistedrelay.answers.explain.document import Explanation
from twistedrelay.answers.explain.question import Question, QuestionError
from twistedrelay.answers.explain.stage import Passing
from twistedrelay.answers.explain.text import story
from twistedrelay.config.pressure import BackPressure as Settings
from twistedrelay.policy.pressure import BackPressure, Reading
from twistedrelay.policy.throttle import ConnectionRate

DEVICE = "192.168.1.55"
RELAYING = {"remote_ip_ranges": [DEVICE], "extended_rights": {"Anonymous Logon": ["Accept-Any-Recipient"]}}
MAIL: dict[str, Any] = {"sender": "a@client.example", "recipients": ("someone@gmail.com",)}


def ask(
    connectors: dict[str, dict[str, Any]] | None = None, *, client: str = DEVICE, keys: dict[str, Any] | None = None, **asked: Any
) -> Explanation:
    """The answer about some connectors."""
    return by_file(configuration(connectors, None, **(keys or {})), client=client, **asked)


def reasons(told: Explanation) -> dict[str, str]:
    """Why each connector was chosen or not."""
    return {one.name: one.reason for one in told.candidates}


def last(told: Explanation) -> tuple[str, str]:
    """The last reply and its reason."""
    return told.dialogue[-1].reply, told.dialogue[-1].reason


# -- the connector -------------------------------------------------------------------------------------------------------------


def test_why_a_connector_won_over_each_other() -> None:
    told = ask(
        {
            "Default Frontend": {},
            "IP_Relay": RELAYING,
            "Middle": {"remote_ip_ranges": ["192.168.1.0/24"]},
            "Elsewhere": {"remote_ip_ranges": ["10.0.0.0/8"]},
            "Off": {"enabled": False},
            "Inner": {"bindings": ["192.168.1.5:25"], "remote_ip_ranges": ["10.0.0.0/8"]},
            "Old": {"remote_ip_ranges": [{"range": "192.168.1.54-192.168.1.56", "owner": "the lab", "expires": "2020-01-31"}]},
            "IPv6": {"bindings": ["[::]:25"]},
            "Other port": {"bindings": ["0.0.0.0:26"]},
        }
    )
    assert told.receive_connector == "IP_Relay"
    assert told.candidates[0].chosen
    assert reasons(told) == {
        "IP_Relay": "its range 192.168.1.55 (1 address) is the smallest that holds the client",
        "Old": "its range 192.168.1.54-192.168.1.56 of the lab holds the client, but expired after 2020-01-31",
        "Middle": "its range 192.168.1.0/24 (256 addresses) is larger than 192.168.1.55 (1 address)",
        "Default Frontend": "its range 0.0.0.0/0 (4,294,967,296 addresses) is larger than 192.168.1.55 (1 address)",
        "Elsewhere": "none of its ranges holds the client",
        "Off": "it is disabled",
        "Inner": "it is bound to 192.168.1.5",
        "IPv6": "it has no binding for IPv4 on this port",
    }
    assert told.notes == ["Connections to 192.168.1.5:25 meet other connectors first: ask with --to for those."]
    old = next(one for one in told.candidates if one.name == "Old")
    assert (old.owner, str(old.expires)) == ("the lab", "2020-01-31")


def test_a_specific_address_beats_the_wildcard() -> None:
    connectors = {"Default Frontend": {}, "Inner": {"bindings": ["192.168.1.5:25"]}, "IP_Relay": RELAYING}
    told = ask(connectors, to="192.168.1.5:25")
    assert told.receive_connector == "Inner"
    assert "bound to 192.168.1.5 itself, which comes before the wildcard" in reasons(told)["Inner"]
    assert reasons(told)["IP_Relay"] == "it is bound to the wildcard, and Inner to 192.168.1.5 itself"
    assert ask(connectors, to=":25").receive_connector == "IP_Relay"


def test_a_mapped_address_is_its_ipv4_address() -> None:
    told = ask({"Default Frontend": {}, "IP_Relay": RELAYING}, client=f"::ffff:{DEVICE}")
    assert (told.question.client, told.receive_connector) == (DEVICE, "IP_Relay")


def test_nobody_takes_the_client() -> None:
    told = ask({"Default Frontend": {"remote_ip_ranges": ["10.0.0.0/8"]}})
    assert not told.accepted
    assert last(told) == ("421 4.3.2 Service not available", "no receive connector for this address")
    assert told.at_connect is None
    assert told.limits == []


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"to": ":26"}, "Nobody listens on port 26: the connection would be refused. Ports that exist: 25 (Default Frontend), 27 (Two)"),
        ({"to": ":25", "client": "2001:db8::1"}, "Nobody listens on port 25 for IPv6; there is only 25 (Default Frontend)"),
        ({"to": ":27"}, "Port 27 is bound to several addresses (192.168.1.5, 192.168.1.6): say which one"),
        ({"to": "192.168.1.9:27"}, "Nobody listens on 192.168.1.9 port 27"),
        ({"to": "[2001:db8::5]:25"}, "A client with an IPv4 address does not connect to 2001:db8::5"),
        ({"to": "relay.example:25"}, "'relay.example' is no IP address of this relay"),
        ({"to": "Tow"}, "'Tow' is no port and no receive connector. Did you mean: Two?"),
    ],
)
def test_a_door_that_is_not_there(asked: dict[str, str], said: str) -> None:
    with pytest.raises(QuestionError) as caught:
        ask({"Default Frontend": {}, "Two": {"bindings": ["192.168.1.5:27", "192.168.1.6:27"]}}, **asked)
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize("to", [":25", "25", "*:25", "0.0.0.0:25", "Default Frontend", "excserver\\default frontend"])
def test_names_of_a_door(to: str) -> None:
    assert ask(to=to).binding == "0.0.0.0:25"


# -- rights --------------------------------------------------------------------------------------------------------------------


def test_where_each_right_comes_from() -> None:
    told = ask({"IP_Relay": RELAYING})
    assert told.at_connect is not None
    sources = {right.name: right.sources for right in told.at_connect.rights}
    assert sources["SMTPAcceptAnyRecipient"] == ["extended right of Anonymous Logon"]
    assert sources["SMTPSubmit"] == ["permission group AnonymousUsers (Anonymous Logon)"]


def test_externally_secured_peers() -> None:
    told = ask({"A": {"auth_mechanism": ["Tls", "ExternalAuthoritative"], "permission_groups": ["ExchangeServers"]}}, **MAIL)
    assert told.at_connect is not None
    assert told.at_connect.principal == "Externally Secured Servers"
    assert "ExternalAuthoritative" in told.at_connect.reason
    assert told.dialogue[-1].command == "DATA"


def test_rights_after_auth_replace_those_before() -> None:
    granted = {FakeUsers.address: ["Accept-Any-Sender"], "group:staff": ["Bypass-Anti-Spam"]}
    relay = Relay({"A": {"extended_rights": granted}})
    told = explained(relay, Question(client=DEVICE, user=FakeUsers.address, groups=("staff",), **MAIL))
    assert told.after_login is not None
    sources = {right.name: right.sources for right in told.after_login.rights}
    assert sources["SMTPAcceptAnySender"] == ["extended right of cengiz@akkaya.local"]
    assert sources["BypassAntiSpam"] == ["permission group ExchangeUsers (Authenticated Users)", "extended right of group:staff"]
    mail = next(step for step in told.dialogue if step.command.startswith("MAIL"))
    assert (mail.accepted, mail.reason) == (True, "the login may send as anybody (Accept-Any-Sender)")
    assert "The password is taken as right." in told.notes


@pytest.mark.parametrize("mechanism", ["BasicAuth", "ScramSha256", "CramMd5", "XOAuth2"])
def test_every_login_is_rehearsed(mechanism: str) -> None:
    """The exchange is a real one, so that it cannot succeed where the mechanism is not offered."""
    told = explained(Relay({"A": {"auth_mechanism": ["Tls", mechanism]}}), Question(client=DEVICE, tls="any", user=FakeUsers.address))
    assert told.dialogue[-1].reply == "235 2.7.0 Authentication successful"
    unknown = explained(Relay({"A": {"auth_mechanism": ["Tls", mechanism]}}), Question(client=DEVICE, tls="any", user="nobody"))
    assert unknown.dialogue[-1].reply.startswith("535")
    assert unknown.dialogue[-1].reason == "the users file has no such user"
    assert unknown.dialogue[-1].delay_seconds == 0.0


def test_logins_that_others_may_vouch_for() -> None:
    config = configuration({"A": {}}, None, credential_checkers=["file:/etc/passwd"])
    told = by_file(config, client=DEVICE, user="ann@elsewhere.example", sender="ann@elsewhere.example")
    assert told.after_login is not None
    assert "another checker" in told.after_login.reason


# -- verdicts ------------------------------------------------------------------------------------------------------------------

AUTHORITATIVE = {"permission_groups": ["Custom"], "extended_rights": {"Anonymous Logon": ["Submit"]}}
LOGIN_ONLY = {"permission_groups": ["ExchangeUsers"]}
WITH_TLS = {"auth_mechanism": ["Tls", "BasicAuth", "BasicAuthRequireTLS"]}


@pytest.mark.parametrize(
    ("connector", "asked", "code", "reason"),
    [
        ({}, MAIL, "550 5.7.54", "gmail.com is not an accepted domain, and the session has no right Accept-Any-Recipient"),
        ({}, {"recipients": ("a%b@akkaya.local",)}, "550 5.7.54", "a%b asks to send on to somewhere else"),
        (LOGIN_ONLY, MAIL, "530 5.7.57", "without a login the session has no right Submit"),
        (AUTHORITATIVE, {"sender": "x@akkaya.local"}, "550 5.7.60", "akkaya.local is ours"),
        ({}, {"sender": "a@b.example", "size": 99_000_000}, "552 5.3.4", "max_message_size"),
        ({"require_tls": True}, MAIL, "530 5.7.0", "require_tls"),
        (WITH_TLS, {"user": "u"}, "538 5.7.11", "no login in clear text (auth_mechanism)"),
        ({"auth_mechanism": ["Tls"]}, {"user": "u"}, "504 5.7.4", "the connector offers no login"),
        ({"auth_mechanism": ["BasicAuth"]}, {"tls": "any"}, "502 5.5.1", "the connector offers no STARTTLS"),
        ({"tls_minimum_version": "TLSv1.3"}, {"tls": "TLSv1.2"}, "", "unsupported protocol (tls_minimum_version)"),
        ({"tls_maximum_version": "TLSv1.2"}, {"tls": "TLSv1.3"}, "", "unsupported protocol"),
        ({"implicit_tls": True}, MAIL, "", "implicit_tls"),
        ({"require_ehlo_domain": True}, {"helo": ""}, "501 5.5.4", "require_ehlo_domain"),
        ({"proxy_protocol_from": [DEVICE]}, MAIL, "", "proxy_protocol_from"),
        ({}, {"sender": "a@b.example", "require_tls": True}, "555 5.5.4", "only under TLS"),
        ({"smtp_utf8_enabled": False}, {"sender": "ü@b.example"}, "501 5.1.7", "does not offer SMTPUTF8"),
        ({"smtp_utf8_enabled": False}, {"sender": "a@b.example", "recipients": ("ü@b.example",)}, "501 5.1.3", "does not offer SMTPUTF8"),
        ({}, {"sender": "postmaster"}, "501 5.1.7", "nobody can be answered"),
        ({"lenient_syntax_enabled": False}, {"helo": "!"}, "501 5.5.4", "no domain"),
        ({"reject_single_label_recipient_domains": True}, {"recipients": ("a@b",)}, "550 5.1.6", "reject_single_label_recipient_domains"),
    ],
)
def test_why_something_is_refused(connector: dict[str, Any], asked: dict[str, Any], code: str, reason: str) -> None:
    told = ask({"A": connector}, **asked)
    assert not told.accepted
    assert told.summary.startswith("Refused: ")
    reply, because = last(told)
    assert reply[: len(code)] == code
    assert reason in because
    assert "\n".join(story(told))


def test_reasons_do_not_need_enhanced_codes() -> None:
    told = ask({"Default Frontend": {"enhanced_status_codes_enabled": False}}, **MAIL)
    reply, reason = last(told)
    assert reply == "550 SMTP; Unable to relay recipient in non-accepted domain"
    assert "gmail.com is not an accepted domain" in reason


def test_resources_that_run_short() -> None:
    relay = Relay({"Default Frontend": RELAYING | {"remote_ip_ranges": ["0.0.0.0/0"]}})
    pressure = BackPressure(Settings())
    relay.replace(pressure=pressure, connection_rate=ConnectionRate(1))
    for readings, reply, reason in (
        ({"used_disk_space": 95.0}, "452 4.3.1 Insufficient system resources", "used_disk_space is Medium (95 %)"),
        ({"used_disk_space": 10.0, "submission_queue_length": 12_000.0}, "354", ""),
    ):
        pressure.sample({name: Reading(value) for name, value in readings.items()})
        told = explained(relay, Question(client=DEVICE, **MAIL), live=True)
        assert told.dialogue[-1].reply.startswith(reply)
        assert told.dialogue[-1].reason == reason
        assert told.notes == [f"Resources run short: {pressure.reason}."]
    assert max(step.delay_seconds for step in told.dialogue) == pressure.delay > 0.0
    assert (pressure.refused, pressure.delayed) == (0, 0), "asking is not counted"
    relay.connect()
    refused = explained(relay, Question(client=DEVICE, **MAIL), live=True)
    assert refused.dialogue[0].reason == "max_connection_rate_per_minute"


def test_a_tarpit_is_told_and_takes_no_time() -> None:
    told = ask({"A": {"tarpit_interval": "5s"}}, **MAIL)
    assert told.dialogue[-1].delay_seconds == 5.0


def test_behind_a_load_balancer() -> None:
    connectors = {"Default Frontend": {"proxy_protocol_from": ["10.0.0.9"]}, "IP_Relay": RELAYING}
    told = ask(connectors, through="10.0.0.9", **MAIL)
    assert (told.receive_connector, told.dialogue[-1].command) == ("IP_Relay", "DATA")
    alone = ask(connectors, client="10.0.0.9", **MAIL)
    assert last(alone)[0] == ""
    assert alone.candidates == []
    stranger = ask(connectors, through="10.0.0.8", **MAIL)
    assert not stranger.accepted, "who is no load balancer may not speak for others"


def test_a_health_probe_needs_no_header_until_it_says_more_than_a_probe_does() -> None:
    connectors = {"Default Frontend": {"proxy_protocol_from": ["10.0.0.9"], "health_probe_from": ["10.0.0.9"]}}
    probe = ask(connectors, client="10.0.0.9")
    assert (probe.accepted, probe.receive_connector) == (True, "Default Frontend")
    assert probe.dialogue[0].reply.startswith("220 ") and probe.dialogue[0].delay_seconds == 0.3
    mail = ask(connectors, client="10.0.0.9", **MAIL)
    assert (mail.dialogue[-1].command[:4], last(mail)) == ("MAIL", ("", "proxy_protocol_from (no header)"))


def test_what_ehlo_does_not_offer() -> None:
    told = ask(
        {"A": {**WITH_TLS, "binary_mime_enabled": True, "chunking_enabled": False, "size_enabled": "Disabled"}},
        size=10,
        sender="a@b.example",
    )
    missing = {one.keyword: one.reason for one in told.extensions if not one.offered}
    assert missing["AUTH"] == "no login in clear text: auth_mechanism has BasicAuthRequireTLS"
    assert missing["BINARYMIME"] == "it needs CHUNKING (chunking_enabled)"
    assert missing["CHUNKING"] == "chunking_enabled is false"
    assert missing["SIZE"] == "size_enabled is Disabled"
    assert missing["REQUIRETLS"] == "only under TLS"
    assert "SIZE is not offered: a message that is too large is refused at its end only." in told.notes
    secured = {one.keyword: one.reason for one in ask({"A": {}}, tls="any").extensions if not one.offered}
    assert secured["STARTTLS"] == "the connection is under TLS"


def test_asking_changes_nothing() -> None:
    relay = Relay({"A": {"message_rate_limit": 1, "max_inbound_connection_per_source": 1}})
    relay.replace(certificates=Passing())
    question = Question(client=DEVICE, user=FakeUsers.address, sender=FakeUsers.address, recipients=("someone@gmail.com",))
    first = explained(relay, question, live=True)
    assert first == explained(relay, question, live=True)
    assert relay.counts.open == relay.counts.total("A") == 0
    assert relay.spool.stored == relay.events == relay.submitted == []
    assert relay.sessions.count() == 0


def test_a_lock_is_seen_and_not_forgotten() -> None:
    relay = Relay({"A": {"max_logon_failures": 0}}, logon_lockout_threshold=2)
    for _ in range(2):
        client = relay.connect(DEVICE)
        client.command("EHLO x")
        client.login("wrong")
    for _ in range(2):
        told = explained(relay, Question(client=DEVICE, user=FakeUsers.address), live=True)
        assert told.dialogue[-1].reply.startswith("454 4.7.0")
        assert next(one for one in told.limits if one.name == "server.logon_lockout_threshold").reached
    assert relay.connect(DEVICE).command("EHLO x")


# -- routes --------------------------------------------------------------------------------------------------------------------

SENDING = {
    "Internet": {"address_spaces": ["*;5"]},
    "Cheap": {"address_spaces": ["*"]},
    "Google": {"address_spaces": ["gmail.com"], "max_message_size": "1MB", "require_tls": True},
    "Others": {"address_spaces": ["*"], "sender_address_spaces": ["akkaya.local"]},
    "Off": {"enabled": False, "address_spaces": ["*"]},
    "Elsewhere": {"address_spaces": ["other.example"]},
}


def test_why_a_send_connector_won_over_each_other() -> None:
    told = ask({"A": RELAYING}, keys={"send_connectors": SENDING}, **MAIL)
    [route] = told.routes
    assert told.accepted
    assert (route.action, route.send_connector, route.next_hop, route.tls_level) == ("send", "Google", "gmail.com", "encrypt")
    assert {one.name: one.reason for one in route.candidates} == {
        "Google": "it has the address space gmail.com with cost 1",
        "Cheap": "its address space * is less specific than gmail.com of Google",
        "Internet": "its address space * is less specific than gmail.com of Google",
        "Others": "none of its sender_address_spaces holds the sender",
        "Elsewhere": "none of its address_spaces holds the recipient's domain",
        "Off": "it is disabled",
    }
    [large] = ask({"A": RELAYING}, keys={"send_connectors": SENDING}, size=2_000_000, **MAIL).routes
    assert large.send_connector == "Cheap"
    why = {one.name: one.reason for one in large.candidates}
    assert why["Google"] == "its max_message_size is less than the message"
    assert why["Internet"] == "its cost 5 is higher than the 1 of Cheap"
    ours = ask({"A": RELAYING}, keys={"send_connectors": SENDING}, sender="x@akkaya.local", recipients=("someone@gmail.com",)).routes[0]
    assert ours.send_connector == "Others"
    assert ours.candidates[0].reason.startswith("it is for this sender")


def test_no_way_and_linked_ways() -> None:
    told = ask({"A": RELAYING}, **MAIL)
    assert not told.accepted
    assert told.routes[0].action == "wait"
    assert told.summary.startswith("Accepted, but someone@gmail.com waits: 451 4.4.4")
    [linked] = ask({"A": {**RELAYING, "linked_send_connector": "Internet"}}, keys={"send_connectors": SENDING}, **MAIL).routes
    assert linked.send_connector == "Internet"
    assert linked.candidates[0].reason == "the receive connector is linked with it (linked_send_connector)"


def test_the_next_hop_of_an_accepted_domain_and_what_is_rewritten() -> None:
    rewriting = {
        "Internet": {"address_spaces": ["*"], "sender_rewrite": {"*": "noreply@akkaya.local"}, "redirect_all_to": "test@akkaya.local"},
    }
    told = ask({"A": RELAYING}, keys={"send_connectors": rewriting}, sender="a@b.example", recipients=("u@akkaya.local", "x@gmail.com"))
    ours, theirs = told.routes
    assert (ours.next_hop, ours.accepted_domain, ours.domain_type) == ("mailbox.akkaya.local", "akkaya.local", "Authoritative")
    assert "comes before every send connector" in ours.reason
    assert (theirs.envelope_sender, theirs.envelope_recipient) == ("noreply@akkaya.local", "test@akkaya.local")
    assert (ours.envelope_sender, ours.envelope_recipient) == ("a@b.example", "u@akkaya.local")


def test_a_login_is_named_and_no_secret_is_read() -> None:
    login = {"username": "relay", "password_file": "/nonexistent/secret"}
    sending = {"Internet": {"address_spaces": ["*"], "smart_hosts": ["a.example:587"], "smart_host_auth_mechanism": "BasicAuthRequireTLS"}}
    sending["Internet"] |= {"authentication_credential": login}
    [route] = ask({"A": RELAYING}, keys={"send_connectors": sending}, **MAIL).routes
    assert (route.login, route.login_source) == ("relay", "/nonexistent/secret")
    assert "valid certificate" in route.tls


def test_recipients_of_lists_and_those_that_would_be_asked(tmp_path: Any) -> None:
    listed = tmp_path / "recipients"
    listed.write_text("user@akkaya.local\n")
    domains = {
        "akkaya.local": {"next_hop": "maildir:/m", "recipients": {"file": str(listed)}},
        "asked.example": {"next_hop": "mailbox.example:25", "recipients": {"call_ahead": True}},
        "gone.example": {"next_hop": "maildir:/m", "recipients": {"file": str(tmp_path / "gone")}},
    }
    told = ask(
        keys={"accepted_domains": domains},
        sender="a@b.example",
        recipients=("user@akkaya.local", "u@asked.example", "u@gone.example", "x@akkaya.local"),
    )
    codes = [step.reply[:3] for step in told.dialogue if step.command.startswith("RCPT")]
    assert codes == ["250", "250", "250", "550"]
    refused = next(step for step in told.dialogue if not step.accepted)
    assert refused.reason == "it is not among the recipients of akkaya.local"
    assert any("mailbox.example:25 would be asked whether u@asked.example exists" in note for note in told.notes)
    assert any(note.startswith("The recipients of gone.example cannot be read") for note in told.notes)


def test_the_story_has_no_controls_and_all_parts() -> None:
    told = ask(
        {"A": {**RELAYING, "remote_ip_ranges": [{"range": DEVICE, "owner": "bad\x1b[31m"}]}}, keys={"send_connectors": SENDING}, **MAIL
    )
    text = "\n".join(story(told))
    assert "\x1b" not in text
    for title in ("Receive connector", "Rights at connect", "Dialogue", "Route of someone@gmail.com", "Limits"):
        assert f"\n{title}\n" in text
