"""What a server answers: the parser of replies, and the client engine with a hostile server."""

from __future__ import annotations

import re

from tests.proof.targets.target import packets, target
from twistedrelay.values.reply import Reply
from twistedrelay.wire.client import SMTPClient
from twistedrelay.wire.client_replies import MAX_OCTETS, ReplyError, ReplyParser
from twistedrelay.wire.client_values import Broken, ClientSettings, Finished, SendContent, StartHandshake, Transaction

REPLIES = (
    b"220 mx.test ESMTP\r\n",
    b"250-mx.test\r\n250-PIPELINING\r\n250 LIMITS RCPTMAX=1 MAILMAX=1 RCPTDOMAINMAX=1\r\n",
    b"250-mx.test\r\n250-PIPELINING\r\n250-STARTTLS\r\n250-CHUNKING\r\n250-DSN\r\n250-SMTPUTF8\r\n250-SIZE 1000\r\n250 8BITMIME\r\n",
    b"250 mx.test\r\n",
    b"250 2.1.0 ok\r\n",
    b"354 go on\r\n",
    b"250-a\r\n251 b\r\n",
    b"421 4.3.2 bye\r\n",
    b"451 4.0.0 later\r\n",
    b"550-5.1.1 no\r\n550 5.1.1 such user\r\n",
    b"250\n",
    b"25",
    b"503 5.5.1 no\r\n",
    b"999 x\r\n",
    b"250-" + b"x" * 600 + b"\r\n",
    b"\x1b[31m\0\xff\r\n",
)
_CONTENT = b".c\r\n..\r\nx"
_LINE = re.compile(rb"(\d{3})(?:([ -])(.*?))?\r?\n", re.DOTALL)
_COMMAND = re.compile(rb"(?:EHLO|HELO|STARTTLS|MAIL FROM:<s@a\.test>|RCPT TO:<r\d@b\.test>|DATA|RSET|QUIT|BDAT \d+( LAST)?)[ -~]*|\.")


@target("replies", *REPLIES)
def replies(data: bytes) -> None:
    """Replies out of packets: the same whatever the packets, bounded, and safe to show."""
    seen = []
    for parts in packets(data):
        parser, found, failed = ReplyParser(), list[tuple[int, list[bytes]]](), ""
        for part in parts:
            parser.feed(part)
            try:
                while (raw := parser.next()) is not None:
                    found.append((raw.code, raw.lines))
            except ReplyError as error:
                failed = str(error)
                break
        for code, raw_lines in found:
            assert 200 <= code <= 599
            assert sum(map(len, raw_lines)) <= MAX_OCTETS
            assert not any(b"\n" in line for line in raw_lines)
            reply = Reply.parse(code, [line.decode("utf-8", "replace") for line in raw_lines])
            assert all(line.isprintable() for line in reply.lines)
            assert reply.status[0] == str(code)[0]
            assert len(reply.wire.split(b"\r\n")) == len(raw_lines) + 1
        seen.append((found, bool(failed)))
    # A line that is too long is found out as soon as that is certain, so before or behind replies that came with it.
    assert all(one == seen[0] for one in seen) or any(failed for _, failed in seen)


@target("client", *REPLIES)
def client(data: bytes) -> None:
    """The client engine: it says nothing but commands, ends each transaction once, and gives each recipient one verdict."""
    for parts in packets(data):
        engine = SMTPClient(ClientSettings("relay.test", starttls="may"))
        open_ones: list[Transaction] = []
        begun = 0
        in_content = False
        for part in parts:
            engine.receive_data(part)
            while True:
                progress = False
                while (event := engine.next_event()) is not None:
                    progress = True
                    if isinstance(event, StartHandshake):
                        engine.data_to_send()
                        engine.tls_started()
                    elif isinstance(event, SendContent):
                        by_chunk = engine.data_to_send().endswith(b"BDAT 9 LAST\r\n")
                        assert by_chunk == ("CHUNKING" in engine.features)
                        for piece in (_CONTENT[:begun], _CONTENT[begun:]):
                            engine.content(piece)
                        engine.end_content()
                        if not engine.closed:
                            assert engine.data_to_send() == (_CONTENT if by_chunk else b"..c\r\n...\r\nx\r\n.\r\n")
                        in_content = True
                    elif isinstance(event, Finished):
                        assert all(verdict is not None for verdict in event.transaction.verdicts)
                        open_ones.remove(event.transaction)
                    elif isinstance(event, Broken):
                        assert engine.closed
                        assert engine.next_event() is None
                if engine.can_begin and begun < 3:
                    progress = True
                    begun += 1
                    open_ones.append(Transaction("s@a.test", ("r1@b.test", "r2@b.test"), len(_CONTENT)))
                    engine.begin(open_ones[-1])
                sent = engine.data_to_send()
                if not in_content:
                    assert all(_COMMAND.fullmatch(line) for line in sent.split(b"\r\n")[:-1]), sent
                if not progress:
                    break
        engine.lost(Reply(451, "4.4.2", "Connection lost"))
        while (event := engine.next_event()) is not None:
            assert not isinstance(event, Finished) or all(verdict is not None for verdict in event.transaction.verdicts)
