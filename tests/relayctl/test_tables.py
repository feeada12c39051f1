"""Tables: whole off a terminal, fitted on one."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable

import click
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from twistedrelay.relayctl import tables
from twistedrelay.relayctl.tables import folded, properties, table, width_of

ROW = ["EXCSERVER\\Default Frontend", "{" + ", ".join(f"10.0.0.{n}:25" for n in range(40)) + "}", "x [red]y[/red]"]

QUEUE = ["Identity", "DeliveryType", "Status", "MessageCount", "NextHopDomain", "NextRetryTime", "LastError"]
QUEUE_ROW = [
    "EXCSERVER\\mailbox.akkaya.local",
    "SmtpDeliveryToMailbox",
    "Retry",
    "12",
    "mailbox.akkaya.local",
    "2026-11-22T07:44:03.713196Z",
    "451 4.4.1 Cannot connect to mailbox.akkaya.local [10.0.0.1]:25: connection refused",
]

Terminal = Callable[[int], None]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Standard output becomes a terminal of so many columns."""

    def of_width(width: int) -> None:
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
        monkeypatch.setattr(tables.shutil, "get_terminal_size", lambda: os.terminal_size((width, 24)))

    return of_width


def test_off_a_terminal_nothing_is_cut_or_wrapped() -> None:
    lines = table(["Identity", "Bindings", "Note"], [ROW]).splitlines()
    assert len(lines) == 3
    assert all(cell in lines[2] for cell in ROW)


def test_no_rows_no_table() -> None:
    assert table(["Identity"], []) == ""


def test_what_fits_is_the_same_on_a_terminal(terminal: Terminal) -> None:
    before = table(QUEUE, [QUEUE_ROW])
    terminal(max(map(len, before.splitlines())))
    assert table(QUEUE, [QUEUE_ROW], (1, 4)) == before


def test_80_columns(terminal: Terminal) -> None:
    terminal(80)
    assert table(QUEUE, [QUEUE_ROW], (1, 4)).splitlines() == [
        "                              Message      NextRetry",
        "Identity              Status  Count        Time         LastError",
        "--------              ------  -------      ---------    ---------",
        "EXCSERVER\\            Retry   12           2026-11-22   451 4.4.1 Cannot connect",
        "mailbox.akkaya.local                       07:44:03     to mailbox.akkaya.local",
        "                                                        [10.0.0.1]:25:",
        "                                                        connection refused",
        "(A wider terminal also shows DeliveryType, NextHopDomain.)",
    ]


def test_titles_go_on_between_their_words(terminal: Terminal) -> None:
    terminal(24)
    assert table(["RemoteIPRanges", "MaxMessageSize"], [["10.0.0.1", "36"]]).splitlines() == [
        "RemoteIP     MaxMessage",
        "Ranges       Size",
        "--------     ----------",
        "10.0.0.1     36",
    ]


def test_where_no_table_fits_each_row_is_a_list(terminal: Terminal) -> None:
    terminal(40)
    assert table(QUEUE, [QUEUE_ROW, ["x"] * 7], (1, 4)).splitlines() == [
        "Identity      : EXCSERVER\\",
        "                mailbox.akkaya.local",
        "DeliveryType  : SmtpDeliveryToMailbox",
        "Status        : Retry",
        "MessageCount  : 12",
        "NextHopDomain : mailbox.akkaya.local",
        "NextRetryTime : 2026-11-22 07:44:03",
        "LastError     : 451 4.4.1 Cannot connect",
        "                to mailbox.akkaya.local",
        "                [10.0.0.1]:25:",
        "                connection refused",
        "",
        *(f"{title:<14}: x" for title in QUEUE),
    ]


def test_a_very_long_cell_ends_with_a_mark(terminal: Terminal) -> None:
    terminal(60)
    lines = table(["Identity", "Bindings", "Note"], [ROW]).splitlines()
    assert len(lines) == 2 + tables.MOST_LINES
    assert lines[-1].endswith("…")
    assert max(map(len, lines)) <= 60


def test_a_line_goes_on_under_its_last_column(terminal: Terminal) -> None:
    line = "  AcceptRoutingHeaders  " + click.style("permission group AnonymousUsers (Anonymous Logon)", fg="green")
    assert folded(line) == line
    terminal(200)
    assert folded(line) == line
    terminal(60)
    assert click.unstyle(folded(line)).splitlines() == [
        "  AcceptRoutingHeaders  permission group AnonymousUsers",
        "                        (Anonymous Logon)",
    ]
    assert folded("x" * 70) == "x" * 70


def test_wide_characters_take_two_columns() -> None:
    lines = table(["Address", "N"], [["用户@例子.广告", "1"], ["a@b", "2"]]).splitlines()
    assert width_of("用户@例子.广告") == 14
    assert [width_of(line[: line.rindex(number)]) for line, number in zip(lines[2:], "12", strict=True)] == [16, 16]


_cells = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")) | st.sampled_from(" @.\\,"), max_size=60)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(_cells, _cells, _cells, _cells, _cells), min_size=1, max_size=4),
    width=st.integers(40, 160),
    spare=st.sampled_from([(), (1,), (4, 0)]),
)
def test_nothing_is_wider_than_the_terminal_and_no_title_is_broken(
    terminal: Terminal, rows: list[tuple[str, ...]], width: int, spare: tuple[int, ...]
) -> None:
    terminal(width)
    titles = ["Identity", "RemoteIPRanges", "MessageCount", "NextRetryTime", "LastError"]
    text = table(titles, rows, spare)
    assert max(map(width_of, text.splitlines())) <= width
    head, dashes, _ = text.partition("---")
    if dashes:
        words = {word for title in titles for word in re.findall("IP|[A-Z][a-z]+", title)}
        assert set(re.findall("[A-Z][A-Za-z]*", re.sub("(IP)|([A-Z][a-z]+)", r"\1\2 ", head))) <= words


def test_properties_go_on_in_their_columns(terminal: Terminal) -> None:
    titles, cells = (
        ["Comment", "RemoteIPRanges", "MaxInboundConnectionPercentagePerSource"],
        ["", "{192.168.1.55, 10.1.2.0/28, 10.1.3.0/28}", "2"],
    )
    assert properties(titles, cells).splitlines() == [
        "Comment                                 :",
        "RemoteIPRanges                          : {192.168.1.55, 10.1.2.0/28, 10.1.3.0/28}",
        "MaxInboundConnectionPercentagePerSource : 2",
    ]
    whole = properties(titles, cells)
    terminal(max(map(len, whole.splitlines())) * 2)
    assert properties(titles, cells) == whole
    terminal(40)
    assert properties(titles, cells).splitlines() == [
        "Comment           :",
        "RemoteIPRanges    : {192.168.1.55,",
        "                    10.1.2.0/28,",
        "                    10.1.3.0/28}",
        "MaxInbound        : 2",
        "Connection",
        "PercentagePer",
        "Source",
    ]
