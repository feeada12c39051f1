"""What reports say to people: for each enhanced status code what happened, and what to do, in the languages that there are.

The sender of a message is rarely an administrator, so the words are plain; the exact replies follow below them in the report, in English,
which is what those who search for them need.  The words of each language are in C{languages/*.toml}, and an administrator's own texts
(Exchange's New-SystemMessage) come before them.

The language is the one that the sender of the message likes best, by its header, of those that reports are written in.  A text of our own
in a language that reports are not written in is used for who likes that best, inside a report in the default language.

Sources: RFC 3463 and the IANA registry of enhanced status codes for the meanings, RFC 3282; the wording is ours.
"""

from __future__ import annotations

import functools
import importlib.resources
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import attrs

from twistedrelay.dsn.kinds import KINDS
from twistedrelay.values.languages import best, shipped


class OwnText(Protocol):
    """An administrator's text for a code (L{twistedrelay.config.schema.SystemMessage}).

    @ivar internal: for senders of accepted domains, or for others; None: for both.
    """

    @property
    def dsn_code(self) -> str: ...

    @property
    def language(self) -> str: ...

    @property
    def internal(self) -> bool | None: ...

    @property
    def text(self) -> str: ...


@attrs.frozen(slots=True)
class Explanation:
    """What happened to a message, and what its sender can do: a few paragraphs."""

    paragraphs: tuple[str, ...]


@attrs.frozen(slots=True)
class KindWords:
    """The words of one kind of report.

    @ivar title: in front of the subject.
    @ivar introduction: the first words; a delay notice says there until when it is tried.
    @ivar explanation: for each recipient, None where its status explains it.
    """

    title: str
    introduction: str
    explanation: Explanation | None


@attrs.frozen(slots=True)
class Language:
    """All that reports say in one language.

    @ivar message: in the place of a subject.
    @ivar more: what is said of recipients that are not shown.
    """

    tag: str
    message: str
    more: str
    kinds: Mapping[str, KindWords]
    words: Mapping[str, Explanation]

    def explanation(self, status: str, *, own: bool = False) -> Explanation:
        """The words for an enhanced status code, whatever its class: C{"5.1.1"}.

        @param own: this relay refused, and nobody else.
        """
        subject, _, detail = status.partition(".")[2].partition(".")
        code = f"{subject}.{detail}"
        found = self.words.get(f"own {code}") if own else None
        return found or self.words.get(code) or self.words.get(subject) or self.words[""]


def _explanation(table: Mapping[str, Any]) -> Explanation:
    return Explanation((table["what"], table["advice"]))


@functools.cache
def language(tag: str) -> Language:
    """One of those in L{twistedrelay.values.languages.SHIPPED}.  Reads a small file, once."""
    file = importlib.resources.files("twistedrelay.dsn") / "languages" / f"{tag}.toml"
    table = tomllib.loads(file.read_text(encoding="utf-8"))
    kinds = {}
    for kind in KINDS:
        part = table[kind.action]
        kinds[kind.action] = KindWords(part["title"], part["introduction"], _explanation(part) if "what" in part else None)
    words = {code: _explanation(entry) for entry in table["words"] for code in entry["codes"]}
    return Language(tag, table["message"], table["more"], kinds, words)


@attrs.frozen(slots=True)
class Voice:
    """The words of one report.

    @ivar language: of all that no text of our own replaces.
    """

    language: Language
    _texts: Mapping[str, Explanation]

    def explanation(self, action: str, status: str, *, own: bool) -> Explanation:
        """What is said to a recipient's fate."""
        found = self._texts.get(status) if action in ("failed", "delayed") else None
        return found or self.language.kinds[action].explanation or self.language.explanation(status, own=own)


@attrs.frozen(slots=True)
class Wording:
    """The texts of one configuration."""

    own: Sequence[OwnText] = ()

    def voice(self, wanted: Iterable[str], default: str, *, internal: bool) -> Voice:
        """The words for a sender.

        @param wanted: the languages that the sender likes, the best first.
        @param default: for who likes none that there is.
        @param internal: whether the sender is of an accepted domain.
        """
        wanted = list(wanted)
        tag = next((found for each in wanted if (found := shipped(each)) is not None), shipped(default) or "en")
        chosen: dict[str, Explanation] = {}
        for code in {text.dsn_code for text in self.own}:
            text = self._text(code, [*wanted, default], tag, internal)
            if text is not None:
                chosen[code] = Explanation(tuple(line for line in text.text.split("\n") if line.strip()))
        return Voice(language(tag), chosen)

    def _text(self, code: str, wanted: Sequence[str], tag: str, internal: bool) -> OwnText | None:
        """The text of our own for a code: in a language that is liked no less than that of the report, where there is one."""
        fitting = {text.language: text for text in self.own if text.dsn_code == code and text.internal in (None, internal)}
        fitting |= {text.language: text for text in self.own if text.dsn_code == code and text.internal is internal}  # the closer one
        for each in wanted:
            found = best(each, fitting)
            if found is not None:
                return fitting[found]
            if shipped(each) == tag:
                return None
        return None
