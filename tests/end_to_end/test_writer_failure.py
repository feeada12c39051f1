"""What fails inside the relay: the spool's thread, which ends it as a failure for the next start to go on, and a part at the end."""

from __future__ import annotations

import os
from pathlib import Path

from tests.end_to_end.relay import Relay, article
from tests.end_to_end.sink import Sink
from tests.network import PATIENCE, eventually
from tests.programs import ROOT

#: Loaded by the interpreter before twistd: the thread fails as soon as a file is there.
DEFECT = """
import os
from twistedrelay.spool.writer import Writer

def take(self, before=Writer._take):
    if os.path.exists(os.environ["DEFECT"]):
        raise MemoryError("no memory is left")
    return before(self)

Writer._take = take
"""


def test_a_relay_that_can_write_no_more_ends_and_is_started_again(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(DEFECT)
    trigger = tmp_path / "now"
    environment = {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)]), "DEFECT": str(trigger)}
    with Sink() as sink:
        configuration, ports = article(sink.hop)
        configuration["transport"]["shutdown_timeout"] = "10m"
        sink.stop()
        relay = Relay(configuration, ports, environment=environment)
        try:
            relay.start()
            relay.submit(["first@akkaya.local"])
            idle = relay.dialogue()
            with relay.dialogue(source="127.0.0.2") as session:
                for command in ("EHLO client", "MAIL FROM:<a@akkaya.local>", "RCPT TO:<second@akkaya.local>"):
                    assert session.command(command).startswith("250")
                assert session.command("DATA").startswith("354")
                trigger.touch()
                session.send(b"Subject: second\r\n\r\nx\r\n.\r\n")
                assert not session.reply().startswith("250")
            assert relay.process is not None
            assert relay.process.wait(PATIENCE) == 1  # though sessions and transactions had ten minutes
            idle.close()
            output = relay.output()
            assert "MemoryError: no memory is left" in output
            assert "the relay ends with exit status 1, to be started again" in output
            trigger.unlink()
            sink.start()
            relay.start()
            eventually(lambda: [mail.recipients for mail in sink.delivered] == [("first@akkaya.local",)], "what was stored is delivered")
            eventually(relay.is_empty, "nothing is left")
        finally:
            relay.close(check=False)


#: A part of the relay that cannot be stopped.
STUBBORN = """
from twistedrelay.observe.logins import LoginRecord

def stop(self, patience):
    raise RuntimeError("a defect at the end")

LoginRecord.stop = stop
"""


def test_a_part_that_cannot_be_stopped_keeps_no_other_from_its_end(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(STUBBORN)
    with Sink() as sink:
        relay = Relay(*article(sink.hop), environment={"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])})
        try:
            relay.start()
            assert relay.stop() == 0
            assert "a defect at the end" in relay.output()
            relay.start()
            assert relay.stop() == 0
            assert "did not end in good order" not in relay.output()
        finally:
            relay.close(check=False)
