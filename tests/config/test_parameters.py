"""Every parameter of Exchange's receive connector is a key here, or is refused with a reason; its default and its range are Exchange's."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.programs import ROOT
from twistedrelay.config import later
from twistedrelay.config.keys import snake_case
from twistedrelay.config.schema import ReceiveConnector

if TYPE_CHECKING:
    from conftest import Files

#: Set-ReceiveConnector's, New-ReceiveConnector's, and what Get-ReceiveConnector shows besides.
NAMES = """
    Name Identity Server Enabled Comment TransportRole Usage Custom Internet Internal Client Partner DefaultDomain ServiceDiscoveryFqdn
    AdvertiseClientSettings DomainController Confirm WhatIf ProxyEnabled LiveCredentialEnabled AcceptConsumerMail Guid WhenCreated
    WhenChanged WhenCreatedUTC WhenChangedUTC ObjectState IsValid
    Bindings RemoteIPRanges Fqdn Banner
    MaxMessageSize MaxHeaderSize MaxRecipientsPerMessage MaxHopCount MaxLocalHopCount MaxInboundConnection MaxInboundConnectionPerSource
    MaxInboundConnectionPercentagePerSource MessageRateLimit MessageRateSource MaxProtocolErrors MaxLogonFailures
    ConnectionInactivityTimeout ConnectionTimeout TarpitInterval AuthTarpitInterval MaxAcknowledgementDelay
    AuthMechanism EnableAuthGSSAPI ExtendedProtectionPolicy SuppressXAnonymousTls PermissionGroups
    RequireTLS TlsCertificateName DomainSecureEnabled TlsDomainCapabilities ProtocolLoggingLevel
    SizeEnabled PipeliningEnabled DeliveryStatusNotificationEnabled EnhancedStatusCodesEnabled EightBitMimeEnabled BinaryMimeEnabled
    ChunkingEnabled SmtpUtf8Enabled OrarEnabled LongAddressesEnabled
    RequireEHLODomain RejectReservedTopLevelRecipientDomains RejectReservedSecondLevelRecipientDomains RejectSingleLabelRecipientDomains
    BareLinefeedRejectionEnabled
"""
PARAMETERS = NAMES.split()

CONNECTOR = "  A:\n    bindings: ['0.0.0.0:2525']\n    permission_groups: [AnonymousUsers]\n"

#: What a fresh Exchange Server 2019 shows, where it makes sense for every connector.
DEFAULTS = {
    "Enabled": True,
    "Banner": "",
    "MaxMessageSize": 37_748_736,
    "MaxHeaderSize": 262_144,
    "MaxRecipientsPerMessage": 200,
    "MaxHopCount": 60,
    "MaxLocalHopCount": 5,
    "MaxInboundConnection": 5000,
    "MaxInboundConnectionPerSource": 20,
    "MaxInboundConnectionPercentagePerSource": 2,
    "MessageRateLimit": None,
    "MessageRateSource": "IPAddress",
    "MaxProtocolErrors": 5,
    "MaxLogonFailures": 3,
    "ConnectionInactivityTimeout": 300.0,
    "ConnectionTimeout": 600.0,
    "TarpitInterval": 5.0,
    "AuthTarpitInterval": 5.0,
    "RequireTLS": False,
    "ProtocolLoggingLevel": "None",
    "SizeEnabled": "Enabled",
    "PipeliningEnabled": True,
    "DeliveryStatusNotificationEnabled": True,
    "EnhancedStatusCodesEnabled": True,
    "EightBitMimeEnabled": True,
    "BinaryMimeEnabled": True,
    "ChunkingEnabled": True,
    "SmtpUtf8Enabled": True,
    "RequireEHLODomain": False,
    "RejectReservedTopLevelRecipientDomains": False,
    "RejectReservedSecondLevelRecipientDomains": False,
    "RejectSingleLabelRecipientDomains": False,
    "BareLinefeedRejectionEnabled": True,  # Exchange: false, which SMTP smuggling forbids
}

#: What is allowed, and what is just not.
RANGES = {
    "max_message_size": (("64KB", "2147483647"), ("65535", "2GB", "unlimited", "-1")),
    "max_header_size": (("1", "2147483647"), ("0", "2147483648")),
    "max_recipients_per_message": (("1", "512000"), ("0", "512001")),
    "max_hop_count": (("1", "500"), ("0", "501")),
    "max_local_hop_count": (("0", "50"), ("51", "-1")),
    "max_inbound_connection": (("1", "2147483647", "unlimited"), ("0", "2147483648")),
    "max_inbound_connection_per_source": (("1", "10000", "unlimited"), ("0", "10001")),
    "max_inbound_connection_percentage_per_source": (("1", "100"), ("0", "101", "unlimited")),
    "message_rate_limit": (("1", "2147483647", "unlimited"), ("0", "2147483648")),
    "message_rate_source": (("None", "IPAddress", "User", "All"), ("Ip", "all")),
    "max_protocol_errors": (("0", "2147483647", "unlimited"), ("-1", "2147483648")),
    "max_logon_failures": (("0", "10"), ("11", "unlimited")),
    "connection_timeout": (("301s", "1d", "00:10:00", "1.00:00:00"), ("0s", "25h", "600")),
    "connection_inactivity_timeout": (("1s", "00:00:01", "9m"), ("0s", "2d")),
    "tarpit_interval": (("0s", "00:00:05"), ("5", "2h")),
    "auth_tarpit_interval": (("0s", "5s"), ("5", "-1s")),
    "size_enabled": (("Enabled", "Disabled", "EnabledWithoutValue"), ("true", "enabled")),
    "protocol_logging_level": (("None", "Verbose"), ("verbose", "All")),
    "require_ehlo_domain": (("true", "false"), ("yes", "1")),
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_parameter_is_a_key_or_is_refused_with_a_reason(files: Files, name: str) -> None:
    key = snake_case(name)
    if key in ReceiveConnector.model_fields:
        return
    [problem] = files.problems(f"receive_connectors:\n{CONNECTOR}    {name}: x\n")
    assert problem.endswith(f"has no place here: {later.NO_PLACE['receive_connectors'][key]}")
    assert len(later.NO_PLACE["receive_connectors"][key]) > 20


def test_defaults_are_those_of_a_fresh_server() -> None:
    fields = ReceiveConnector.model_fields
    assert {name: fields[snake_case(name)].default for name in DEFAULTS} == DEFAULTS
    assert not [name for name in PARAMETERS if name in DEFAULTS and snake_case(name) not in fields]


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, (allowed, _) in RANGES.items() for value in allowed])
def test_what_is_in_range(files: Files, key: str, value: str) -> None:
    assert files.load(f"receive_connectors:\n{CONNECTOR}    {key}: {value}\n").receive_connectors["A"]


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, (_, wrong) in RANGES.items() for value in wrong])
def test_what_is_not_in_range(files: Files, key: str, value: str) -> None:
    [problem] = files.problems(f"receive_connectors:\n{CONNECTOR}    {key}: {value}\n")
    assert problem.startswith(f"relay.yaml:6: receive_connectors.A.{key}: ")
    assert "allowed: " in problem


def documented() -> dict[str, str]:
    """The text about each parameter in the manual."""
    text = (ROOT / "docs/parameters.rst").read_text(encoding="utf-8")
    found: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        row = re.match(r"``([A-Z]\w+)`` ", line)
        name = row[1] if row else name if line.startswith(" ") else ""
        if name:
            found[name] = found.get(name, "") + " " + line.removeprefix(f"``{name}``").strip()
    return found


def test_the_manual_has_every_parameter_and_says_which_have_no_place() -> None:
    texts = documented()
    assert sorted(texts) == sorted(PARAMETERS)
    for name, text in texts.items():
        has_no_place = snake_case(name) not in ReceiveConnector.model_fields and name != "Name"
        assert ("no place here: " in text or text.endswith("likewise")) is has_no_place, name


def test_the_manuals_defaults_are_the_defaults() -> None:
    compared = 0
    for name, text in documented().items():
        literal = re.match(r" ``([^`]+)``", text)
        if literal is None or name in ("AuthMechanism", "Fqdn"):
            continue
        key = snake_case(name)
        needed = {"bindings": ["0.0.0.0:25"], "permission_groups": ["AnonymousUsers"]}
        made = ReceiveConnector.model_validate({**needed, key: literal[1]})
        assert getattr(made, key) == getattr(ReceiveConnector.model_validate(needed), key), name
        compared += 1
    assert compared > 30
