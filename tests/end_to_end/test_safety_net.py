"""The safety net of the running daemon: what was delivered is kept and sent again."""

from __future__ import annotations

from tests.end_to_end.relay import Relay, article
from tests.end_to_end.sink import Sink
from tests.network import eventually

LARGE = b"Subject: large\r\n\r\n" + b"0123456789\r\n" * 20_000
SMALL = b"Subject: small\r\n\r\nTesting\r\n"


def test_what_was_delivered_is_sent_again() -> None:
    with Sink() as sink:
        configuration, ports = article(sink.hop)
        configuration["transport"]["safety_net_hold_time"] = "1h"
        with Relay(configuration, ports) as relay:
            for content, recipient in ((SMALL, "one@akkaya.local"), (LARGE, "two@akkaya.local")):
                relay.submit([recipient], content)
            eventually(lambda: len(sink.delivered) == 2 and relay.is_empty(), "both are delivered")
            relay.kill()  # what is kept survives the hardest end
            relay.start()
            listed = relay.listed("safety-net", "list")
            assert sorted(row["recipients"][0] for row in listed) == ["one@akkaya.local", "two@akkaya.local"]
            said = relay.relayctl("safety-net", "resubmit", "--start", "1h", "--recipient", "two@akkaya.local", "--what-if")
            assert "1 message would be sent again" in said.stdout
            said = relay.relayctl("safety-net", "resubmit", "--start", "1h", "--recipient", "two@akkaya.local")
            assert (said.returncode, said.stdout) == (0, "Resubmit request 1 is completed: 1 message is in the queue again.\n")
            eventually(lambda: len(sink.delivered) == 3 and relay.is_empty(), "it is delivered again")
            again = sink.delivered[-1]
            assert again.recipients == ("two@akkaya.local",)
            assert again.content.endswith(LARGE)
            (request,) = relay.listed("safety-net", "requests")
            assert (request["state"], request["resubmitted"]) == ("Completed", 1)
            assert "RESUBMIT" in relay.output()
            assert relay.relayctl("safety-net", "cancel", "1").returncode == 1


def test_a_safety_net_that_is_off_says_which_key_turns_it_on() -> None:
    configuration, ports = article("127.0.0.1:9")
    with Relay(configuration, ports) as relay:
        for verb in (["list"], ["resubmit", "--start", "1h"]):
            said = relay.relayctl("safety-net", *verb)
            assert said.returncode == 1
            assert "transport.safety_net_hold_time" in said.stderr
        assert relay.relayctl("safety-net", "resubmit").returncode == 2
        assert relay.relayctl("safety-net", "list", "--start", "soon").returncode == 2
