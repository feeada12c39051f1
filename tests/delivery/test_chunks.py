"""Delivery by BDAT over real sockets: packets, large content, content that is not what was said, and the switch."""

from __future__ import annotations

from typing import Any

import attrs
from twisted.internet.defer import inlineCallbacks

from tests.delivery.agent_case import AUTHORITY, AgentCase, reactor
from tests.delivery.peers import BODY, Disk, Lane, Memory, Server, ServerCreator, job
from twistedrelay.delivery.content import PIECE
from twistedrelay.interfaces import IContent
from twistedrelay.values.route import Route

CHUNKING = b"250-mx.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-CHUNKING\r\n250 SIZE\r\n"
LARGE = (b"x" * 70 + b"\r\n.dot\r\n") * 20_000


class Lying(Disk):
    """Content on the disk whose size is another than it says."""

    def __init__(self, data: bytes, said: int) -> None:
        super().__init__(reactor, data)
        self.size = said


def lying(said: int, *chunks: bytes) -> Memory:
    """Content in memory whose size is another than it says."""
    content = Memory(*chunks)
    content.size = said
    return content


class ChunkTests(AgentCase):
    """A next hop that offers CHUNKING."""

    def hop(self, lmtp: bool = False, **replies: Any) -> tuple[Server, Route]:
        server = Server(lmtp=lmtp, replies={"EHLO": [CHUNKING], "LHLO": [CHUNKING], **replies})
        route = self.serve(server)
        return server, attrs.evolve(route, kind="lmtp") if lmtp else route

    @inlineCallbacks
    def test_octet_for_octet_without_stuffing(self) -> Any:
        server, route = self.hop()
        lane = Lane(route, job(content=Memory(b"a: b\r\n\r\n", b".dot\r\n..\r\nend")))
        yield self.agent.run(lane)
        assert server.messages == [([b"r@b.test"], b"a: b\r\n\r\n.dot\r\n..\r\nend")]
        assert lane.codes == [250]
        assert "DATA" not in server.verbs

    @inlineCallbacks
    def test_chunk_and_next_envelope_share_a_packet(self) -> Any:
        """One round trip for a message, as by DATA."""
        server, route = self.hop()
        lane = Lane(route, job("one@b"), job("two@b"), job("three@b"))
        yield self.agent.run(lane)
        chunks = [packet for packet in server.packets if packet.startswith(b"BDAT")]
        assert len(chunks) == 3
        assert chunks[0] == b"BDAT %d LAST\r\n" % len(BODY) + BODY + b"MAIL FROM:<s@a.test> SIZE=%d\r\nRCPT TO:<two@b>\r\n" % len(BODY)
        assert lane.codes == [250] * 3

    @inlineCallbacks
    def test_large_content_from_disk_and_memory(self) -> Any:
        server, route = self.hop()
        yield self.agent.run(lane := Lane(route, job(content=Disk(reactor, LARGE)), job(content=Memory(LARGE)), job()))
        assert lane.codes == [250] * 3
        assert [content for _, content in server.messages] == [LARGE, LARGE, BODY]
        assert len(server.sessions) == 1

    @inlineCallbacks
    def test_large_content_over_tls(self) -> Any:
        server, route = self.hop()
        server.script.tls = ServerCreator(AUTHORITY, "mx.test")
        server.script.replies["EHLO"] = [CHUNKING.replace(b"250-8", b"250-STARTTLS\r\n250-8"), CHUNKING]
        yield self.agent.run(lane := Lane(route, job(content=Disk(reactor, LARGE)), job(content=Memory(LARGE))))
        assert lane.codes == [250] * 2
        assert lane.outcomes[0].tls
        assert [content for _, content in server.messages] == [LARGE, LARGE]

    @inlineCallbacks
    def test_lmtp(self) -> Any:
        server, route = self.hop(lmtp=True, **{".": [b"250 ok\r\n", b"452 4.2.2 full\r\n", b"250 ok\r\n"]})
        yield self.agent.run(lane := Lane(route, job("a@b", "c@b"), job("d@b")))
        assert lane.codes == [250, 452, 250]
        assert server.verbs.count("BDAT") == 2

    @inlineCallbacks
    def test_content_of_another_size_is_never_taken(self) -> Any:
        """In pieces or at once, short or long, also where a piece ends exactly at the size that was said."""
        even = LARGE[: 2 * PIECE]
        cases: list[IContent] = [
            Lying(LARGE, len(LARGE) + 1),
            Lying(LARGE, len(LARGE) - 1),
            Lying(LARGE, 2 * PIECE),
            Lying(even, 2 * PIECE + 1),
            lying(2 * PIECE, even, b"more\r\n"),
            lying(2 * PIECE, even[:-1]),
            lying(len(BODY) + 1, BODY),
            lying(len(BODY) - 1, BODY),
            lying(len(BODY), BODY, b"more\r\n"),
        ]
        for ehlo in (CHUNKING, CHUNKING.replace(b"250-CHUNKING\r\n", b"")):
            for content in cases:
                server, route = self.hop(EHLO=[ehlo])
                yield self.agent.run(lane := Lane(route, job(content=content), job()))
                (outcome,) = lane.outcomes[:1]
                assert (outcome.reply.code, outcome.remote, outcome.uncertain) == (451, "", False), content
                yield self.until(lambda server=server: server.closed)
                assert all(taken == BODY for _, taken in server.messages), "nothing but the message behind it"
                self.resolver.list.clear()

    @inlineCallbacks
    def test_bare_line_ends_are_not_sent(self) -> Any:
        for content in (Memory(b"a\nb"), Memory(LARGE + b"\0"), Disk(reactor, LARGE + b"\rx")):
            server, route = self.hop()
            yield self.agent.run(lane := Lane(route, job(content=content)))
            assert [(one.reply.code, one.remote) for one in lane.outcomes] == [(451, "")]
            assert server.messages == []
            self.resolver.list.clear()

    @inlineCallbacks
    def test_what_came_binary_is_repaired_by_data(self) -> Any:
        """What is around the parts of a message is not converted, and may hold anything."""
        head = b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
        content = head + b"bare\nand\0\r\n--b\r\n\r\ntext\r\n--b--\r\n"
        server, route = self.hop()
        yield self.agent.run(lane := Lane(route, job(content=Memory(content), body="BINARYMIME")))
        assert lane.codes == [250]
        assert "BDAT" not in server.verbs
        assert server.messages[0][1] == head + b"bare\r\nand \r\n--b\r\n\r\ntext\r\n--b--\r\n"

    @inlineCallbacks
    def test_the_switch(self) -> Any:
        server, route = self.hop()
        yield self.agent.run(Lane(route, job()))
        yield self.agent.run(lane := Lane(attrs.evolve(route, chunking=False), job()))
        assert lane.codes == [250]
        assert len(server.sessions) == 2, "a kept connection is not used for another way to speak"
        assert [verb for verb in server.verbs if verb in ("BDAT", "DATA")] == ["BDAT", "DATA"]

    @inlineCallbacks
    def test_a_large_chunk_that_is_cut_is_not_in_doubt(self) -> Any:
        server, route = self.hop(BDAT=[None])
        many = Memory(*[b"y" * 70 + b"\r\n"] * 300_000)
        finished = self.agent.run(lane := Lane(route, job(content=many)))
        yield self.until(lambda: server.sessions and server.sessions[0].buffer.startswith(b"BDAT"))
        server.sessions[0].transport.abortConnection()
        yield finished
        assert [(one.reply.code, one.uncertain) for one in lane.outcomes] == [(451, False)]

    @inlineCallbacks
    def test_a_server_that_does_not_know_what_it_offers(self) -> Any:
        """It takes the content for commands; the messages behind it are not lost either."""
        server, route = self.hop()
        server.knows_bdat = False
        work = [job("one@b", content=Memory(b"Subject: x\r\n\r\nMAIL FROM:<evil@x>\r\n")), job("two@b")]
        yield self.agent.run(lane := Lane(route, *work))
        assert all((one.reply.code, one.uncertain) == (451, False) for one in lane.outcomes)
        assert "offers CHUNKING but refuses BDAT" in lane.outcomes[0].reply.text
        assert server.messages == []

    @inlineCallbacks
    def test_what_was_refused_by_bdat_goes_by_data(self) -> Any:
        """Else it would be refused at each attempt, until it is given up."""
        server, route = self.hop()
        server.knows_bdat = False
        server.script.replies["EHLO"] = [CHUNKING.replace(b"250 SIZE", b"250-BINARYMIME\r\n250 SIZE")]
        content = b"Subject: x\r\n\r\nline\r\n"
        for body, number in (("8BITMIME", 1), ("8BITMIME", 2), ("BINARYMIME", 3)):
            yield self.agent.run(lane := Lane(route, job(content=Memory(content), body=body)))
            assert lane.codes == [451 if number == 1 else 250]
        assert [verb for verb in server.verbs if verb in ("BDAT", "DATA")] == ["BDAT", "DATA", "DATA"]
        assert len(server.messages) == 2
        self.resolver.list.clear()
        others, route = self.hop()
        yield self.agent.run(lane := Lane(route, job()))
        assert (lane.codes, "BDAT" in others.verbs) == ([250], True), "other servers get chunks"
