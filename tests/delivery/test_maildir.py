"""Delivery into maildirs."""

from __future__ import annotations

import email
import errno
import os
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred, gatherResults, inlineCallbacks
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.delivery.peers import Disk, Lane, Memory, job
from tests.network import PATIENCE
from twistedrelay.delivery import maildir
from twistedrelay.delivery.fit import Fitter
from twistedrelay.delivery.maildir import MaildirFile, MaildirRun, MaildirWriter, unique_name
from twistedrelay.interfaces import SpoolError
from twistedrelay.values.envelope import OutcomeKind
from twistedrelay.values.reply import SYSTEM_RESOURCES, Reply
from twistedrelay.values.route import Route

reactor: Any = installed


class MaildirTests(TestCase):
    """Runs over lanes whose next hop is a maildir."""

    timeout = PATIENCE

    def setUp(self) -> None:
        made = tempfile.TemporaryDirectory()
        self.addCleanup(made.cleanup)
        self.path = os.path.join(made.name, "Maildir")
        self.route = Route("", f"maildir:{self.path}", "MaildirDelivery", kind="maildir", path=self.path)
        self.writer = MaildirWriter(reactor, Fitter(reactor))

    def run_lane(self, lane: Lane) -> Deferred[Reply | None]:
        run = MaildirRun(lane, self.writer)
        run.start()
        return run.finished

    def files(self, part: str = "new") -> list[bytes]:
        return [file.read_bytes() for file in sorted(Path(self.path, part).iterdir())]

    @inlineCallbacks
    def test_one_file_for_each_transaction(self) -> Any:
        lane = Lane(self.route, job("a@b.test", "c@b.test"), job("d@b.test", sender=""))
        assert (yield self.run_lane(lane)) is None
        first = b"Return-Path: <s@a.test>\nDelivered-To: a@b.test\nDelivered-To: c@b.test\nSubject: test\n\nhello\n"
        second = b"Return-Path: <>\nDelivered-To: d@b.test\nSubject: test\n\nhello\n"
        assert sorted(self.files()) == sorted([first, second])
        assert self.files("tmp") == []
        assert os.path.isdir(os.path.join(self.path, "cur"))
        assert [(one.kind, one.remote) for one in lane.outcomes] == [(OutcomeKind.DELIVERED, self.path)] * 3

    @inlineCallbacks
    def test_success_is_delivery(self) -> Any:
        lane = Lane(self.route, job(notify="SUCCESS"), job(notify="FAILURE"))
        yield self.run_lane(lane)
        assert [one.action for one in lane.outcomes] == ["delivered", ""]

    @inlineCallbacks
    def test_binary_content_is_encoded_before_its_line_ends_change(self) -> Any:
        octets = b"\x89PNG\r\n\x1a\n\0\xff"
        head = b"MIME-Version: 1.0\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: binary\r\n\r\n"
        signed = b"Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n\0\r\n--b--\r\n"
        lane = Lane(self.route, job(content=Memory(head + octets), body="BINARYMIME"), job(content=Memory(signed), body="BINARYMIME"))
        yield self.run_lane(lane)
        (written,) = self.files()
        assert email.message_from_bytes(written).get_payload(decode=True) == octets
        assert [(one.kind, one.reply.enhanced) for one in lane.outcomes] == [
            (OutcomeKind.DELIVERED, "2.0.0"),
            (OutcomeKind.FAILED, "5.6.3"),
        ]

    @inlineCallbacks
    def test_modes_keep_others_out(self) -> Any:
        yield self.run_lane(Lane(self.route, job()))
        (file,) = Path(self.path, "new").iterdir()
        assert file.stat().st_mode & 511 == 384
        assert file.parent.stat().st_mode & 511 == 448

    @inlineCallbacks
    def test_large_content_is_read_in_pieces(self) -> Any:
        data = b"a: b\r\n\r\n" + b"x" * 997 + b"\r\n" + b"12345\r\n" * 100000
        content = Disk(reactor, data)
        lane = Lane(self.route, job(content=content))
        yield self.run_lane(lane)
        (written,) = self.files()
        assert written.endswith(data.replace(b"\r\n", b"\n"))
        assert len(content.reads) == 3

    @inlineCallbacks
    def test_a_return_path_of_the_sender_does_not_stay(self) -> Any:
        forged = b"Return-Path: <forged@x.test>\r\n"
        head = b"Received: x\r\n" + forged + b"Subject: test\r\nRETURN-PATH :\r\n <forged@y.test>\r\nX-Return-Path: stays\r\n"
        kept = b"Received: x\r\nSubject: test\r\nX-Return-Path: stays\r\n"
        for content, left in (
            (head + b"\r\n" + forged, kept + b"\r\n" + forged),
            (head, kept),
            (b"\r\nbody\r\n\r\n" + forged + b"\r\n", b"\r\nbody\r\n\r\n" + forged + b"\r\n"),
        ):
            for cut in range(0, len(content), 5):
                file = MaildirFile(self.path, b"")
                yield deferToThread(file.deliver, [content[:cut], content[cut:]])
                (made,) = Path(self.path, "new").iterdir()
                assert made.read_bytes() == left.replace(b"\r\n", b"\n")
                made.unlink()

    @inlineCallbacks
    def check_failure(self, error: BaseException, expected: Reply | int) -> Any:
        def refuse(descriptor: int) -> None:
            raise error

        patch: Any = self.patch
        patch(os, "fsync", refuse)
        os.makedirs(os.path.join(self.path, "tmp"))
        os.makedirs(os.path.join(self.path, "new"))
        os.makedirs(os.path.join(self.path, "cur"))
        lane = Lane(self.route, job())
        yield self.run_lane(lane)
        (outcome,) = lane.outcomes
        assert (outcome.kind, outcome.uncertain) == (OutcomeKind.DEFERRED, False)
        assert (outcome.reply if isinstance(expected, Reply) else outcome.reply.code) == expected
        assert (self.files("new"), self.files("tmp")) == ([], [])

    def test_full_disk_is_452(self) -> Any:
        return self.check_failure(OSError(errno.ENOSPC, "No space left on device"), SYSTEM_RESOURCES)

    def test_quota_is_452(self) -> Any:
        return self.check_failure(OSError(errno.EDQUOT, "Quota"), SYSTEM_RESOURCES)

    def test_failed_fsync_is_451(self) -> Any:
        return self.check_failure(OSError(errno.EIO, "Input/output error"), 451)

    def test_anything_else_is_451(self) -> Any:
        return self.check_failure(ZeroDivisionError("oops"), 451)

    @inlineCallbacks
    def test_failure_behind_the_rename_is_uncertain(self) -> Any:
        """The mailbox may show it to its reader already: a second copy must not come without a word."""
        yield self.run_lane(Lane(self.route, job()))  # makes the directories

        def refuse(path: str) -> None:
            raise OSError(errno.EIO, "Input/output error")

        patch: Any = self.patch
        patch(maildir, "_sync_directory", refuse)
        lane = Lane(self.route, job())
        yield self.run_lane(lane)
        (outcome,) = lane.outcomes
        assert (outcome.kind, outcome.reply.code, outcome.uncertain) == (OutcomeKind.DEFERRED, 451, True)
        assert (len(self.files("new")), self.files("tmp")) == (2, [])

    @inlineCallbacks
    def test_directory_that_cannot_be_made(self) -> Any:
        Path(self.path).write_text("a file")
        lane = Lane(self.route, job())
        yield self.run_lane(lane)
        assert lane.codes == [451]

    @inlineCallbacks
    def test_content_that_cannot_be_read(self) -> Any:
        lane = Lane(self.route, job(content=Disk(reactor, b"x" * 600000, SpoolError("EIO", SYSTEM_RESOURCES), 300000)))
        yield self.run_lane(lane)
        assert [outcome.reply for outcome in lane.outcomes] == [SYSTEM_RESOURCES]
        assert (self.files("new"), self.files("tmp")) == ([], [])

    @inlineCallbacks
    def test_content_shorter_than_its_size(self) -> Any:
        content = Disk(reactor, b"x" * 10)
        content.size = 11
        lane = Lane(self.route, job(content=content))
        yield self.run_lane(lane)
        assert (lane.codes, self.files("new")) == ([451], [])

    @inlineCallbacks
    def test_many_runs_at_once(self) -> Any:
        lanes = [Lane(self.route, *(job() for _ in range(3))) for _ in range(10)]
        yield gatherResults([self.run_lane(lane) for lane in lanes])
        assert len(self.files()) == 30

    @inlineCallbacks
    def test_stop_takes_no_more(self) -> Any:
        lane = Lane(self.route, job(), job())
        run = MaildirRun(lane, self.writer)
        run.start()
        run.stop()
        yield run.finished
        assert (lane.codes, len(lane.jobs)) == ([250], 1)

    @inlineCallbacks
    def test_a_lane_that_breaks_ends_the_run(self) -> Any:
        class Broken(Lane):
            def take(self) -> Any:
                raise ZeroDivisionError("oops")

        assert (yield self.run_lane(Broken(self.route))).is_transient

    def test_line_ends_at_every_split(self) -> None:
        content = b"a\r\nb\rc\nd\r\n\r\r\ne\r"
        for place in range(len(content) + 1):
            file = MaildirFile(self.path, b"")
            file.deliver([content[:place], content[place:]])
        assert set(self.files()) == {b"a\nb\rc\nd\n\r\ne\r"}


@given(st.floats(min_value=0, max_value=2**33))
def test_unique_names(now: float) -> None:
    first, second = unique_name(now), unique_name(now)
    assert first != second
    assert "/" not in first
    assert ":" not in first
