"""Whether this host's clock can be believed: certificates, queues, expiry and logs all go by it.

Without asking anybody only this can be told: that the kernel knows no time server, and that files are from the future.

Source: adjtimex(2).
"""

from __future__ import annotations

import ctypes
import os

from twistedrelay.answers.audit.case import Case, Findings
from twistedrelay.answers.audit.finding import Severity

_TIME_ERROR = 5  #: what adjtimex returns for a clock that is not kept
_SIZE_OF_TIMEX = 512  #: more than it is anywhere

#: Seconds that a file may be newer than now.
_SLACK = 86400.0


def synchronised() -> bool | None:
    """Whether the kernel's clock is kept by a time server; None where it does not say."""
    try:
        ask = ctypes.CDLL(None, use_errno=True).adjtimex
    except (AttributeError, OSError):
        return None
    state = ask(ctypes.create_string_buffer(_SIZE_OF_TIMEX))  # modes = 0: only asked
    return None if state < 0 else state != _TIME_ERROR


def clock_findings(case: Case) -> Findings:
    """All about the clock."""
    if case.facts.synchronised is False:
        reason = "the clock of this host is not kept by a time server: certificates, retries and logs go by it"
        yield case.finding("clock-not-kept", Severity.LOW, ("server",), reason, "timedatectl set-ntp true")
    for path in (*case.places.files, case.config.server.state_directory):
        try:
            newer = os.stat(path).st_mtime - case.facts.now
        except OSError:
            continue
        if newer > _SLACK:
            reason = f"{path} was changed {int(newer // 86400)} days in the future: the clock of this host is wrong, or was"
            yield case.finding("clock-wrong", Severity.MEDIUM, ("server",), reason, "timedatectl status")
            return
