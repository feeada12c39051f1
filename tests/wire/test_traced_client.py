"""What is told of a delivery dialogue, and what is not."""

from __future__ import annotations

import base64

from twistedrelay.wire.client_values import ClientSettings, Credentials
from twistedrelay.wire.traced import MASK
from twistedrelay.wire.traced_client import TracedClient

PASSWORD = "s3cret-w0rd"


def said(settings: ClientSettings, *replies: bytes) -> tuple[list[str], bytes]:
    """The lines that were told, and what was sent."""
    told: list[str] = []
    client = TracedClient(settings, lambda direction, text: told.append(f"{direction} {text}"))
    sent = client.data_to_send()
    for reply in replies:
        client.receive_data(reply)
        while client.next_event() is not None:
            pass
        sent += client.data_to_send()
    return told, sent


def test_a_session_is_told_line_by_line() -> None:
    told, sent = said(ClientSettings("us.example", starttls="never"), b"220 mx\r\n", b"250-mx\r\n250 PIPELINING\r\n")
    assert told == ["< 220 mx", "> EHLO us.example", "< 250-mx", "< 250 PIPELINING"]
    assert sent == b"EHLO us.example\r\n"


def test_a_login_is_masked() -> None:
    credentials = Credentials("relay", PASSWORD, requires_tls=False)
    for mechanism, replies in (
        ("PLAIN", [b"235 2.7.0 ok\r\n"]),
        ("LOGIN", [b"334 VXNlcm5hbWU6\r\n", b"334 UGFzc3dvcmQ6\r\n", b"235 ok\r\n"]),
    ):
        settings = ClientSettings("us.example", starttls="never", credentials=credentials)
        told, sent = said(settings, b"220 mx\r\n", f"250-mx\r\n250 AUTH {mechanism}\r\n".encode(), *replies)
        text = "\n".join(told)
        assert b"AUTH " + mechanism.encode() in sent
        assert f"> AUTH {mechanism}" in text
        assert MASK in text
        assert PASSWORD not in text
        for hidden in (PASSWORD, "relay", f"\0relay\0{PASSWORD}"):
            assert base64.b64encode(hidden.encode()).decode() not in text
        assert "VXNlcm5hbWU6" not in text
        assert "< 235" in text


def test_what_a_server_repeats_of_a_login_is_masked() -> None:
    credentials = Credentials("relay", PASSWORD, requires_tls=False)
    settings = ClientSettings("us.example", starttls="never", credentials=credentials)
    response = base64.b64encode(f"\0relay\0{PASSWORD}".encode()).decode()
    refusal = f'535-5.7.8 bad password {PASSWORD}\r\n535 5.7.8 "{response}"\r\n'.encode()
    told, _ = said(settings, b"220 mx\r\n", b"250-mx\r\n250 AUTH PLAIN\r\n", refusal)
    assert told[-2:] == ["< 535-5.7.8 bad password ***", '< 535 5.7.8 "***"']
