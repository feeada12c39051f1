"""The filter language: its grammar, its values, its errors, and that it means what a plain evaluation means."""

from __future__ import annotations

import datetime
import fnmatch
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistedrelay.control.filters import Filter, FilterError, Kind, Property, compile_filter
from twistedrelay.control.properties import MESSAGE_PROPERTIES, may_fit
from twistedrelay.schedule.places import Place, RecipientPlace

NOW = datetime.datetime(2026, 11, 22, 12, 0, tzinfo=datetime.UTC)
PROPERTIES = (
    Property("from_address"),
    Property("status", Kind.CHOICE, ("Ready", "Retry", "Suspended")),
    Property("size", Kind.SIZE),
    Property("retry_count", Kind.NUMBER),
    Property("incoming_rate", Kind.DECIMAL),
    Property("date_received", Kind.MOMENT),
    Property("message_latency", Kind.SPAN),
    Property("redirected", Kind.FLAG),
    Property("recipients", many=True),
    Property("last_error"),
)
MESSAGE = {
    "from_address": "Cengiz@CozumPark.com",
    "status": "Retry",
    "size": 2048,
    "retry_count": 3,
    "incoming_rate": 0.5,
    "date_received": datetime.datetime(2026, 11, 22, 10, 0, tzinfo=datetime.UTC),
    "message_latency": 7200.0,
    "redirected": False,
    "recipients": ["a@x.example", "b@y.example"],
    "last_error": "",
}


def made(text: str) -> Filter:
    return compile_filter(text, PROPERTIES, NOW)


@pytest.mark.parametrize(
    "text",
    [
        "FromAddress -eq 'cengiz@cozumpark.com'",
        "from_address -like '*@COZUMPARK.com'",
        "fromaddress -notlike '*@other.example'",
        '{Status -eq "Retry"}',
        "Status -eq Retry -and Size -gt 1KB",
        "Size -eq 2KB",
        "Size -lt '3 KB' -and Size -ge 2048B",
        "Status -eq 'Ready' -or Status -eq 'Retry' -and RetryCount -ge 3",
        "-not Status -eq 'Ready'",
        "-NOT (Status -EQ 'Ready' -OR RetryCount -LT 3)",
        "-not -not Status -eq 'retry'",
        "DateReceived -lt '2026-11-22T11:00:00Z' -and DateReceived -gt 2026-11-22",
        "DateReceived -lt '11/22/2026 11:00 AM'",
        "DateReceived -lt now-1h",
        "DateReceived -gt 'now - 3h'",
        "DateReceived -gt '2026-11-22T11:00:00+02:00'",
        "MessageLatency -gt 01:00:00 -and MessageLatency -le 2h",
        "Redirected -eq $false",
        "IncomingRate -lt 1.5",
        "Recipients -eq 'b@y.example'",
        "Recipients -like 'A@*'",
        "Recipients -ne 'c@z.example'",
        "LastError -eq $null",
        "FromAddress -ne $null",
        "  ( ( Status -eq 'Retry' ) )  ",
    ],
)
def test_fits(text: str) -> None:
    assert made(text).matches(MESSAGE.__getitem__)


@pytest.mark.parametrize(
    "text",
    [
        "Status -eq 'Ready'",
        "Status -ne 'retry'",
        "(Status -eq 'Retry' -or Status -eq 'Ready') -and RetryCount -gt 3",
        "Recipients -ne 'a@x.example'",
        "Recipients -notlike '*example'",
        "LastError -ne $null",
        "FromAddress -like 'cozumpark.com'",
        "Size -gt 2KB",
    ],
)
def test_does_not_fit(text: str) -> None:
    assert not made(text).matches(MESSAGE.__getitem__)


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("", 1, "where a property should be"),
        ("Stat -eq 'x'", 1, "did you mean Status?"),
        ("Nonsense -eq 'x'", 1, "allowed: FromAddress, Status, Size"),
        ("Status -is 'x'", 8, "allowed: -eq, -ne"),
        ("Status = 'x'", 8, "an operator"),
        ("Status -eq 'Active'", 12, "allowed: Ready, Retry, Suspended"),
        ("Status -gt 'Ready'", 1, "has no order"),
        ("Status -eq", 11, "the value for Status"),
        ("Status -eq 'Ready' Size -gt 1", 20, "-and, -or or the end"),
        ("Status -eq 'Ready", 12, "a quote that is not closed"),
        ("(Status -eq 'Ready'", 20, "the end where the ( of column 1"),
        ("(Status -eq 'Ready'}", 20, "'}' where the ( of column 1"),
        ("Size -gt 'much'", 10, "is no size"),
        ("Size -like '1*'", 1, "-like is for texts"),
        ("RetryCount -gt 1.5", 16, "is no number"),
        ("RetryCount -eq 9999999999999999999", 16, "is more than 9223372036854775807"),
        ("Size -gt 99999999999999GB", 10, "is more than 9223372036854775807"),
        ("DateReceived -gt yesterday", 18, "is no time"),
        ("MessageLatency -gt 5", 20, "is no time span"),
        ("Redirected -eq maybe", 16, "neither $true nor $false"),
        ("LastError -gt $null", 1, "$null goes with"),
        ("-not " * 60 + "Size -gt 1", 256, "nested too deep"),
        ("(" * 60 + "Size -gt 1", 52, "nested too deep"),
        ("a" * 5000, 4097, "too long"),
    ],
)
def test_errors_say_where_and_what_is_allowed(text: str, column: int, words: str) -> None:
    with pytest.raises(FilterError) as caught:
        made(text)
    assert caught.value.column == column
    assert words in str(caught.value)


def test_quotes_are_doubled_and_a_quoted_null_is_a_text() -> None:
    assert made("LastError -eq 'it''s'").matches({"last_error": "It's"}.get)
    assert made('LastError -eq "say ""no"""').matches({"last_error": 'say "no"'}.get)
    assert made("LastError -eq '$null'").matches({"last_error": "$NULL"}.get)


def test_what_is_required_of_each_that_fits() -> None:
    found = made("(FromAddress -like 'a*' -and Size -gt 1KB) -and (Status -eq 'Ready' -or RetryCount -eq 1)")
    assert [(each.name, each.operator, each.operand) for each in found.required] == [("from_address", "like", "a*"), ("size", "gt", 1024)]
    assert made("-not Size -gt 1KB").required == ()
    assert found.names == {"from_address", "size", "status", "retry_count"}


def test_nothing_is_neither_greater_nor_smaller() -> None:
    for operator in ("-gt", "-lt", "-ge", "-le", "-eq"):
        assert not made(f"Size {operator} 1").matches({}.get)
    assert made("Size -ne 1").matches({}.get)


@given(st.text("ab*?.\n", max_size=8), st.text("ab.\n", max_size=12))
def test_wildcards_mean_what_they_mean_elsewhere(pattern: str, text: str) -> None:
    assert made(f"LastError -like '{pattern}'").matches({"last_error": text}.get) is fnmatch.fnmatchcase(text, pattern)


def test_many_wildcards_take_no_time() -> None:
    assert not made(f"LastError -like '{'*a' * 1000}*b'").matches({"last_error": "a" * 5000}.get)


def leaves() -> st.SearchStrategy[tuple[Any, str]]:
    """A comparison as the oracle knows it, and as it is written."""
    sizes = st.tuples(st.sampled_from(["eq", "ne", "gt", "ge", "lt", "le"]), st.integers(0, 4))
    texts = st.tuples(st.sampled_from(["eq", "ne", "like", "notlike"]), st.sampled_from(["a", "A", "b*", "*"]))
    return st.one_of(
        sizes.map(lambda leaf: (("size", *leaf), f"Size -{leaf[0]} {leaf[1]}")),
        texts.map(lambda leaf: (("last_error", *leaf), f"last_error -{leaf[0]} '{leaf[1]}'")),
    )


def trees() -> st.SearchStrategy[tuple[Any, str]]:
    def grown(children: st.SearchStrategy[tuple[Any, str]]) -> st.SearchStrategy[tuple[Any, str]]:
        pairs = st.tuples(children, children)
        return st.one_of(
            pairs.map(lambda pair: (("and", pair[0][0], pair[1][0]), f"({pair[0][1]}) -and ({pair[1][1]})")),
            pairs.map(lambda pair: (("or", pair[0][0], pair[1][0]), f"{{{pair[0][1]}}} -OR ({pair[1][1]})")),
            children.map(lambda child: (("not", child[0]), f"-not ({child[1]})")),
        )

    return st.recursive(leaves(), grown, max_leaves=8)


def oracle(tree: Any, size: int, error: str) -> bool:
    """The plain meaning."""
    match tree:
        case ("and", one, other):
            return oracle(one, size, error) and oracle(other, size, error)
        case ("or", one, other):
            return oracle(one, size, error) or oracle(other, size, error)
        case ("not", one):
            return not oracle(one, size, error)
        case ("size", operator, value):
            return {
                "eq": size == value,
                "ne": size != value,
                "gt": size > value,
                "ge": size >= value,
                "lt": size < value,
                "le": size <= value,
            }[operator]
        case (_, operator, value):
            fits = fnmatch.fnmatchcase(error.lower(), value.lower()) if "like" in operator else error.lower() == value.lower()
            return fits is (operator in ("eq", "like"))
    raise AssertionError(tree)


@given(trees(), st.integers(0, 4), st.sampled_from(["a", "b", "ba", "B"]))
def test_it_means_what_a_plain_evaluation_means(tree: tuple[Any, str], size: int, error: str) -> None:
    found = made(tree[1])
    values = {"size": size, "last_error": error}
    assert found.matches(values.get) is oracle(tree[0], size, error)
    if found.matches(values.get):
        for condition in found.required:
            assert oracle(
                (condition.name, condition.operator, str(condition.operand) if condition.name == "last_error" else condition.operand),
                size,
                error,
            )


@given(st.text(max_size=60))
def test_any_text_is_a_filter_or_an_error_with_a_column(text: str) -> None:
    columns = []
    try:
        made(text)
    except FilterError as error:
        columns.append(error.column)
    assert all(1 <= column <= len(text) + 1 for column in columns)


@pytest.mark.parametrize(
    ("text", "may"),
    [
        ("Queue -eq 'a.example'", True),
        ("Queue -eq 'EXCSERVER\\B.EXAMPLE' -and Size -gt 1", True),
        ("Queue -eq 'c.example'", False),
        ("Queue -eq '127.0.0.1:2600'", True),
        ("Queue -eq 'excserver\\[127.0.0.1]:2600'", True),
        ("Queue -eq '127.0.0.1'", False),
        ("Queue -eq 'c.example' -or Size -gt 1", True),
        ("Queue -ne 'a.example'", True),
        ("-not (Queue -eq 'c.example')", True),
        ("Queue -like 'c*'", True),
        ("Queue -eq $null", True),
        ("Status -eq 'retry'", True),
        ("Status -eq 'Active' -and Size -gt 1", False),
    ],
)
def test_a_place_alone_may_tell_that_a_message_does_not_fit(text: str, may: bool) -> None:
    queues = ("a.example", "b.example", "", "[127.0.0.1]:2600")
    place = Place("Retry", dict(enumerate(map(RecipientPlace, queues))))
    now = datetime.datetime(2026, 11, 22, tzinfo=datetime.UTC)
    assert may_fit(compile_filter(text, MESSAGE_PROPERTIES, now), "EXCSERVER", place) is may


def test_turkish_letters_have_no_case_in_a_search() -> None:
    for pattern in ("*istanbul*", "*İSTANBUL ŞUBESİ", "?stanbul*"):
        assert made(f"LastError -like '{pattern}'").matches({"last_error": "İstanbul şubesi"}.get)
