"""The reset matrix: what each event leaves behind, told by the reply to each next command.

Each row begins with an open transaction (EHLO, MAIL, RCPT), lets its event happen, and then, in a session of its own for each column, says
one more command.  Three digits are the code of its reply; C{--} is a closed connection, where nothing is answered any more.

The sources are RFC 5321 section 4.1.4 (RSET, EHLO, the end of DATA, STARTTLS in RFC 3207 section 4.2, AUTH in RFC 4954 section 4): what
ends a transaction ends both MAIL and RCPT, and what does not ends neither.
"""

from __future__ import annotations

import attrs

from tests.proof.logins import BAD_LOGIN, GOOD_LOGIN, SCRAM, SCRAM_GUESS, SCRAM_PROOF
from tests.proof.model import MAIL, RCPT

TABLE = """
event                          EHLO HELO MAIL RCPT DATA BDAT AUTH TLS  XCL  RSET NOOP VRFY HELP QUIT
nothing                        250  250  503  250  354  250  503  503  503  250  250  252  214  221
NOOP                           250  250  503  250  354  250  503  503  503  250  250  252  214  221
VRFY                           250  250  503  250  354  250  503  503  503  250  250  252  214  221
HELP                           250  250  503  250  354  250  503  503  503  250  250  252  214  221
unknown command                250  250  503  250  354  250  503  503  503  250  250  252  214  221
line too long                  250  250  503  250  354  250  503  503  503  250  250  252  214  221
RSET with an argument          250  250  503  250  354  250  503  503  503  250  250  252  214  221
EHLO refused                   250  250  503  250  354  250  503  503  503  250  250  252  214  221
second MAIL refused            250  250  503  250  354  250  503  503  503  250  250  252  214  221
second RCPT refused            250  250  503  250  354  250  503  503  503  250  250  252  214  221
second RCPT malformed          250  250  503  250  354  250  503  503  503  250  250  252  214  221
DATA with an argument          250  250  503  250  354  250  503  503  503  250  250  252  214  221
DATA refused                   250  250  503  250  354  250  503  503  503  250  250  252  214  221
AUTH refused in between        250  250  503  250  354  250  503  503  503  250  250  252  214  221
STARTTLS refused in between    250  250  503  250  354  250  503  503  503  250  250  252  214  221
XCLIENT refused in between     250  250  503  250  354  250  503  503  503  250  250  252  214  221
RSET                           250  250  250  503  503  503  235  220  220  250  250  252  214  221
EHLO                           250  250  250  503  503  503  235  220  220  250  250  252  214  221
HELO                           250  250  250  503  503  502  235  220  220  250  250  252  214  221
end of data accepted           250  250  250  503  503  503  235  220  220  250  250  252  214  221
end of data refused, transient 250  250  250  503  503  503  235  220  220  250  250  252  214  221
end of data refused, permanent 250  250  250  503  503  503  235  220  220  250  250  252  214  221
bare line end in the message   250  250  250  503  503  503  235  220  220  250  250  252  214  221
message too large              250  250  250  503  503  503  235  220  220  250  250  252  214  221
BDAT, more to come             250  250  503  503  503  250  503  503  503  250  250  252  214  221
BDAT LAST accepted             250  250  250  503  503  503  235  220  220  250  250  252  214  221
BDAT LAST refused              250  250  250  503  503  503  235  220  220  250  250  252  214  221
first BDAT refused             250  250  250  503  503  452  235  220  220  250  250  252  214  221
BDAT too large                 250  250  250  503  503  552  235  220  220  250  250  252  214  221
bare line end in a chunk       250  250  250  503  503  550  235  220  220  250  250  252  214  221
BDAT without a recipient       250  250  250  503  503  503  235  220  220  250  250  252  214  221
BDAT without MAIL              250  250  250  503  503  503  235  220  220  250  250  252  214  221
BDAT malformed                 --   --   --   --   --   --   --   --   --   --   --   --   --   --
MAIL refused                   250  250  250  503  503  503  235  220  220  250  250  252  214  221
MAIL malformed                 250  250  250  503  503  503  235  220  220  250  250  252  214  221
RCPT refused                   250  250  503  250  554  554  503  503  503  250  250  252  214  221
RCPT malformed                 250  250  503  250  554  554  503  503  503  250  250  252  214  221
AUTH succeeded                 250  250  250  503  503  503  503  503  220  250  250  252  214  221
AUTH failed                    250  250  250  503  503  503  235  220  220  250  250  252  214  221
AUTH failed for a while        250  250  250  503  503  503  235  220  220  250  250  252  214  221
AUTH cancelled                 250  250  250  503  503  503  235  220  220  250  250  252  214  221
AUTH malformed                 250  250  250  503  503  503  235  220  220  250  250  252  214  221
SCRAM succeeded                250  250  250  503  503  503  503  503  220  250  250  252  214  221
SCRAM failed                   250  250  250  503  503  503  235  220  220  250  250  252  214  221
SCRAM refused for a while      250  250  250  503  503  503  235  220  220  250  250  252  214  221
SCRAM cancelled                250  250  250  503  503  503  235  220  220  250  250  252  214  221
SCRAM disagreed at the end     250  250  250  503  503  503  235  220  220  250  250  252  214  221
SCRAM proof inside of PLAIN    250  250  250  503  503  503  235  220  220  250  250  252  214  221
STARTTLS refused for a while   250  250  250  503  503  503  235  220  220  250  250  252  214  221
STARTTLS                       250  250  503  503  503  503  503  503  503  250  250  252  214  221
XCLIENT                        250  250  503  503  503  503  503  503  503  250  250  252  214  221
STARTTLS with words behind it  --   --   --   --   --   --   --   --   --   --   --   --   --   --
421                            --   --   --   --   --   --   --   --   --   --   --   --   --   --
QUIT                           --   --   --   --   --   --   --   --   --   --   --   --   --   --
connection lost                250  250  503  503  503  503  503  503  503  250  250  252  214  221
"""

#: The commands of the columns.
NEXT: dict[str, bytes] = {
    "EHLO": b"EHLO client.example",
    "HELO": b"HELO client.example",
    "MAIL": MAIL,
    "RCPT": RCPT,
    "DATA": b"DATA",
    "BDAT": b"BDAT 3 LAST\r\nabc",
    "AUTH": GOOD_LOGIN,
    "TLS": b"STARTTLS",
    "XCL": b"XCLIENT ADDR=192.0.2.77",
    "RSET": b"RSET",
    "NOOP": b"NOOP",
    "VRFY": b"VRFY user",
    "HELP": b"HELP",
    "QUIT": b"QUIT",
}

HELLO = b"EHLO client.example"
ENVELOPE = (MAIL, RCPT)
CONTENT = b"Subject: x\r\n\r\nhello\r\n."
REFUSED_RCPT = b"RCPT TO:<user@outside.example>"


@attrs.frozen
class Scene:
    """How an event is brought about.

    @ivar lines: what the client says behind EHLO, one packet each, CRLF to be added (but behind the octets of a chunk).
    @ivar replies: the code of each reply.
    @ivar decide: what the session must answer, by the name of the question (L{tests.proof.model.Asked}), from the C{after}-th on.
    @ivar after: how many questions of that name are answered as usual first.
    @ivar then: C{"tls"} for a handshake, C{"lost"} for a new connection, both without a hello.
    """

    lines: tuple[bytes, ...]
    replies: tuple[int, ...]
    decide: dict[str, int] = attrs.Factory(dict)
    after: int = 0
    then: str = ""


def _behind_rcpt(*said: tuple[bytes, int], decide: dict[str, int] | None = None, after: int = 0, then: str = "") -> Scene:
    """Something that happens in an open transaction."""
    lines, replies = zip(*said, strict=True) if said else ((), ())
    return Scene((*ENVELOPE, *lines), (250, 250, *replies), decide or {}, after, then)


def _behind_hello(*said: tuple[bytes, int], decide: dict[str, int] | None = None, then: str = "") -> Scene:
    """Something that cannot happen in one: it begins where there is none."""
    lines, replies = zip(*said, strict=True)
    return Scene(lines, replies, decide or {}, 0, then)


SCENES: dict[str, Scene] = {
    "nothing": _behind_rcpt(),
    "NOOP": _behind_rcpt((b"NOOP", 250)),
    "VRFY": _behind_rcpt((b"VRFY user", 252)),
    "HELP": _behind_rcpt((b"HELP", 214)),
    "unknown command": _behind_rcpt((b"WHATISTHIS", 500)),
    "line too long": _behind_rcpt((b"NOOP " + b"x" * 600, 500)),
    "RSET with an argument": _behind_rcpt((b"RSET now", 501)),
    "EHLO refused": _behind_rcpt((b"EHLO two words", 501)),
    "second MAIL refused": _behind_rcpt((MAIL, 503)),
    "second RCPT refused": _behind_rcpt((REFUSED_RCPT, 550), decide={"Rcpt": 550}, after=1),
    "second RCPT malformed": _behind_rcpt((b"RCPT TO:<user@>", 501)),
    "DATA with an argument": _behind_rcpt((b"DATA now", 501)),
    "DATA refused": _behind_rcpt((b"DATA", 452), decide={"Data": 452}),
    "AUTH refused in between": _behind_rcpt((GOOD_LOGIN, 503)),
    "STARTTLS refused in between": _behind_rcpt((b"STARTTLS", 503)),
    "RSET": _behind_rcpt((b"RSET", 250)),
    "EHLO": _behind_rcpt((HELLO, 250)),
    "HELO": _behind_rcpt((b"HELO client.example", 250)),
    "end of data accepted": _behind_rcpt((b"DATA", 354), (CONTENT, 250)),
    "end of data refused, transient": _behind_rcpt((b"DATA", 354), (CONTENT, 452), decide={"EndOfContent": 452}),
    "end of data refused, permanent": _behind_rcpt((b"DATA", 354), (b"Received: x\r\n" * 80 + CONTENT, 554), decide={"EndOfContent": 554}),
    "bare line end in the message": _behind_rcpt((b"DATA", 354), (b"one\ntwo\r\n.", 550)),
    "message too large": _behind_rcpt((b"DATA", 354), (b"x" * 1_100_000 + b"\r\n.", 552)),
    "BDAT, more to come": _behind_rcpt((b"BDAT 3\r\nabc", 250)),
    "BDAT LAST accepted": _behind_rcpt((b"BDAT 3 LAST\r\nabc", 250)),
    "BDAT LAST refused": _behind_rcpt((b"BDAT 3 LAST\r\nabc", 452), decide={"EndOfContent": 452}),
    "first BDAT refused": _behind_rcpt((b"BDAT 3\r\nabc", 452), decide={"Bdat": 452}),
    "BDAT too large": _behind_rcpt((b"BDAT 1100000\r\n" + b"x" * 1_100_000, 552)),
    "bare line end in a chunk": _behind_rcpt((b"BDAT 4\r\na\nbc", 550)),
    "BDAT without a recipient": Scene((MAIL, b"BDAT 3 LAST\r\nabc"), (250, 503)),
    "BDAT without MAIL": _behind_hello((b"BDAT 3\r\nabc", 503)),
    "BDAT malformed": _behind_rcpt((b"BDAT x\r\nabc", 501)),
    "MAIL refused": _behind_hello((b"MAIL FROM:<postmaster@akkaya.local>", 550), decide={"Mail": 550}),
    "MAIL malformed": _behind_hello((b"MAIL FROM:<", 501)),
    "RCPT refused": _behind_hello((MAIL, 250), (REFUSED_RCPT, 550), decide={"Rcpt": 550}),
    "RCPT malformed": _behind_hello((MAIL, 250), (b"RCPT TO:<user@>", 501)),
    "AUTH succeeded": _behind_hello((GOOD_LOGIN, 235)),
    "AUTH failed": _behind_hello((BAD_LOGIN, 535), decide={"Authenticate": 535}),
    "AUTH failed for a while": _behind_hello((GOOD_LOGIN, 454), decide={"Authenticate": 454}),
    "AUTH cancelled": _behind_hello((b"AUTH PLAIN", 334), (b"*", 501)),
    "AUTH malformed": _behind_hello((b"AUTH PLAIN", 334), (b"?", 501)),
    "SCRAM succeeded": _behind_hello((SCRAM, 334), (SCRAM_PROOF, 334), (b"", 235)),
    "SCRAM failed": _behind_hello((SCRAM, 334), (SCRAM_GUESS, 535), decide={"Authenticate": 535}),
    "SCRAM refused for a while": _behind_hello((SCRAM, 454), decide={"ScramChallenge": 454}),
    "SCRAM cancelled": _behind_hello((SCRAM, 334), (b"*", 501)),
    "SCRAM disagreed at the end": _behind_hello((SCRAM, 334), (SCRAM_PROOF, 334), (b"*", 501)),
    "SCRAM proof inside of PLAIN": _behind_hello((b"AUTH PLAIN", 334), (SCRAM_PROOF, 501)),
    "STARTTLS refused for a while": _behind_hello((b"STARTTLS", 454), decide={"StartTLS": 454}),
    "STARTTLS": _behind_hello((b"STARTTLS", 220), then="tls"),
    "XCLIENT refused in between": _behind_rcpt((b"XCLIENT ADDR=192.0.2.77", 503)),
    "XCLIENT": _behind_hello((b"XCLIENT ADDR=192.0.2.77", 220)),
    "STARTTLS with words behind it": _behind_hello((b"STARTTLS\r\nRSET", 503)),
    "421": _behind_rcpt((b"WHATISTHIS", 421), decide={"ProtocolError": 421}),
    "QUIT": _behind_rcpt((b"QUIT", 221)),
    "connection lost": _behind_rcpt(then="lost"),
}


def packet(line: bytes) -> bytes:
    """A line of a scene as it is sent: CRLF behind commands, nothing behind the octets of a chunk."""
    return line if line.startswith(b"BDAT") else line + b"\r\n"


def _read(table: str) -> dict[tuple[str, str], int | None]:
    """The expected code for each event and next command, None for a closed connection."""
    head, *rows = table.strip().splitlines()
    columns = head.split()[1:]
    expected: dict[tuple[str, str], int | None] = {}
    for row in rows:
        *event, codes = row.rsplit(maxsplit=len(columns))[0], row.split()[-len(columns) :]
        for column, code in zip(columns, codes, strict=True):
            expected[str(event[0]), column] = None if code == "--" else int(code)
    return expected


EXPECTED = _read(TABLE)

#: What the live session adds: XCLIENT is for once (the engine may be told so by new settings).
LIVE = {("XCLIENT", "XCL"): 500}
EVENTS = list(dict.fromkeys(event for event, _ in EXPECTED))
