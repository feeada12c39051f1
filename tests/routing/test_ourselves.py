"""Who we are, and next hops that are us."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from twistedrelay.config.schema import AcceptedDomain, Config, ReceiveConnector, SendConnector, Server
from twistedrelay.config.units import BindingValue, NextHopValue
from twistedrelay.routing.checks import loop_problems, way_doubts
from twistedrelay.routing.ourselves import Ourselves, has_address

INTERFACES = {"192.0.2.10", "2001:db8::10"}


def listener(*bindings: str, **keys: Any) -> ReceiveConnector:
    places = [BindingValue(text.rpartition(":")[0].strip("[]"), int(text.rpartition(":")[2])) for text in bindings]
    return ReceiveConnector.model_construct(bindings=places, **keys)


def config(domains: dict[str, AcceptedDomain] | None = None, sending: dict[str, SendConnector] | None = None, **more: Any) -> Config:
    return Config.model_construct(
        server=Server.model_construct(fqdn="Relay.Akkaya.local"),
        accepted_domains=domains or {},
        receive_connectors=more,
        send_connectors=sending or {},
    )


def ourselves(**connectors: ReceiveConnector) -> Ourselves:
    return Ourselves(config(**connectors), lambda address: address in INTERFACES or address in ("127.0.0.1", "::1"))


def test_our_names() -> None:
    sending = {
        "Out": SendConnector.model_construct(address_spaces=["*"], fqdn="out.akkaya.local"),
        "Off": SendConnector.model_construct(address_spaces=["*"], fqdn="off.akkaya.local", enabled=False),
    }
    made = Ourselves(config(None, sending, In=listener("0.0.0.0:25", fqdn="Mail.Akkaya.local."), Quiet=listener(enabled=False, fqdn="x.y")))
    assert made.names == {"relay.akkaya.local", "mail.akkaya.local", "out.akkaya.local"}


@pytest.mark.parametrize(
    ("address", "port", "is_ours"),
    [
        ("192.0.2.10", 25, True),
        ("::ffff:192.0.2.10", 25, True),
        ("192.0.2.11", 25, False),
        ("192.0.2.10", 26, False),  # another server beside us
        ("127.0.0.1", 25, True),
        ("0.0.0.0", 25, True),
        ("2001:db8::10", 25, False),  # only IPv4 is bound
        ("::1", 25, False),
        ("192.0.2.77", 587, True),  # this one address, whether the host has it or not
        ("192.0.2.10", 587, False),
        ("2001:db8::10", 2525, True),
        ("::", 2525, True),
        ("192.0.2.10", 2600, False),  # a disabled connector
    ],
)
def test_where_we_listen(address: str, port: int, is_ours: bool) -> None:
    made = ourselves(
        All=listener("0.0.0.0:25"), One=listener("192.0.2.77:587"), Six=listener("[::]:2525"), Off=listener("0.0.0.0:2600", enabled=False)
    )
    assert made.listens(address, port) is is_ours
    assert made.has_port(25)
    assert made.has_port(587)
    assert not made.has_port(2600)


def test_the_kernel_knows_our_addresses() -> None:
    assert has_address("127.0.0.1")
    assert has_address("127.3.2.1")
    assert has_address("::1")
    assert not has_address("192.0.2.1")
    assert not has_address("2001:db8::1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return  # a host without a network
        assert has_address(probe.getsockname()[0])


@pytest.mark.parametrize(
    ("hop", "is_loop"),
    [
        (NextHopValue("smtp", "127.0.0.1", 25), True),
        (NextHopValue("smtp", "localhost", 25), True),
        (NextHopValue("smtp", "relay.akkaya.local", 25), True),
        (NextHopValue("smtp", "mail.akkaya.local", 25), True),
        (NextHopValue("smtp", "0.0.0.0", 25), True),
        (NextHopValue("smtp", "192.0.2.77", 587), True),
        (NextHopValue("smtp", "192.0.2.77", 26), False),
        (NextHopValue("lmtp", "localhost", 24), False),
        (NextHopValue("smtp", "relay.akkaya.local", 2525), False),
        (NextHopValue("smtp", "smtp.provider.example", 25), False),
        (NextHopValue("smtp", "out.akkaya.local", 25), False),  # the EHLO name may be the provider's gift
        (NextHopValue("lmtp", path="/run/lmtp"), False),
        (NextHopValue("maildir", path="/var/mail"), False),
    ],
)
def test_a_next_hop_that_is_this_relay_is_an_error(hop: NextHopValue, is_loop: bool) -> None:
    sending = {
        "Out": SendConnector.model_construct(
            address_spaces=["*"], smart_hosts=[NextHopValue("smtp", "a.example", 25), hop], fqdn="out.akkaya.local"
        ),
        "Off": SendConnector.model_construct(address_spaces=["*"], smart_hosts=[hop], enabled=False),
    }
    domains = {"box.example": AcceptedDomain.model_construct(next_hop=hop), "none.example": AcceptedDomain.model_construct()}
    both = config(domains, sending, In=listener("0.0.0.0:25", fqdn="mail.akkaya.local"), One=listener("192.0.2.77:587"))
    paths = [problem.path for problem in loop_problems(both)]
    assert paths == ([("accepted_domains", "box.example", "next_hop"), ("send_connectors", "Out", "smart_hosts", 1)] if is_loop else [])
    assert all(f"{str(hop)!r} is this relay itself" in problem.text for problem in loop_problems(both))


def test_what_is_doubtful_about_ways() -> None:
    out = SendConnector.model_construct(address_spaces=["*"], source_ip_address=["127.0.0.3", "192.0.2.1"])
    off = SendConnector.model_construct(address_spaces=["*"], enabled=False, source_ip_address=["192.0.2.1"])
    receiving = {
        "A": listener("0.0.0.0:25", linked_send_connector="Off"),
        "B": listener("0.0.0.0:26", linked_send_connector="Out"),
        "C": listener("0.0.0.0:27", linked_send_connector="Off", enabled=False),
        "D": listener("0.0.0.0:28"),
    }
    found = {problem.path: problem.text for problem in way_doubts(config(None, {"Out": out, "Off": off}, **receiving))}
    assert found == {
        ("receive_connectors", "A", "linked_send_connector"): "the send connector 'Off' is disabled: mail from here waits",
        ("send_connectors", "Out", "source_ip_address", 1): (
            "'192.0.2.1' is no address of this host at the moment: nothing can be sent from there"
        ),
    }
