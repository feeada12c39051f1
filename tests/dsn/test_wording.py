"""Tests for L{twistedrelay.dsn.wording}, and of the languages themselves."""

from __future__ import annotations

import re

import pytest

from twistedrelay.config.schema import SystemMessage
from twistedrelay.dsn.kinds import KINDS
from twistedrelay.dsn.wording import Language, Wording, language
from twistedrelay.values.languages import SHIPPED

CODES = ["5.1.1", "5.1.10", "5.2.2", "5.3.4", "5.4.4", "5.4.6", "5.7.54", "5.7.999", "4.4.7", "5.0.0", "5.9.9", "5", ""]


@pytest.mark.parametrize("tag", SHIPPED)
@pytest.mark.parametrize("code", CODES)
def test_every_code_has_words(tag: str, code: str) -> None:
    what, advice = language(tag).explanation(code).paragraphs
    assert what.endswith(".")
    assert advice.endswith(".")


def all_texts(tongue: Language) -> list[str]:
    texts = [tongue.message, tongue.more]
    for words in tongue.kinds.values():
        texts += [words.title, words.introduction, *(words.explanation.paragraphs if words.explanation else ())]
    return texts + [text for code in sorted(tongue.words) for text in tongue.words[code].paragraphs]


@pytest.mark.parametrize("tag", SHIPPED)
def test_a_language_is_complete(tag: str) -> None:
    """It has the codes and the places of English, and nothing that was forgotten in English."""
    tongue, english = language(tag), language("en")
    assert set(tongue.words) == set(english.words)
    assert list(tongue.kinds) == [kind.action for kind in KINDS]
    assert [bool(words.explanation) for words in tongue.kinds.values()] == [False, True, True, True]
    theirs, ours = all_texts(english), all_texts(tongue)
    for text, translated in zip(theirs, ours, strict=True):
        assert re.findall(r"\{\w+\}", text) == re.findall(r"\{\w+\}", translated)
        assert tag == "en" or text != translated
        assert translated.strip() == translated
        assert all(character.isprintable() or character == "\n" for character in translated)


def test_our_own_refusal_is_explained_as_ours() -> None:
    assert language("en").explanation("5.7.1", own=True) is not language("en").explanation("5.7.1")
    assert language("en").explanation("5.1.1", own=True) is language("en").explanation("5.1.1")


def test_the_class_of_a_code_does_not_matter() -> None:
    assert language("en").explanation("4.2.2") is language("en").explanation("5.2.2")
    assert language("en").explanation("5.1.10") is not language("en").explanation("5.1.1")


@pytest.mark.parametrize(
    ("wanted", "default", "chosen"),
    [
        ([], "en", "en"),
        ([], "de-AT", "de"),
        (["fr-CA"], "en", "fr"),
        (["nl", "tr", "de"], "en", "tr"),
        (["nl"], "es", "es"),
        (["xx"], "xx", "en"),
    ],
)
def test_which_language(wanted: list[str], default: str, chosen: str) -> None:
    assert Wording().voice(wanted, default, internal=False).language.tag == chosen


OWN = Wording(
    [
        SystemMessage(dsn_code="5.7.1", text="Call 4711.\n\nOr come to room 7."),
        SystemMessage(dsn_code="5.7.1", language="nl", text="Bel 4711."),
        SystemMessage(dsn_code="5.7.1", internal=True, text="Call Jo."),
        SystemMessage(dsn_code="5.1.1", language="de-AT", internal=False, text="Servus."),
    ]
)


@pytest.mark.parametrize(
    ("wanted", "internal", "code", "first"),
    [
        ([], False, "5.7.1", "Call 4711."),
        ([], True, "5.7.1", "Call Jo."),
        (["en-GB"], True, "5.7.1", "Call Jo."),
        (["nl-BE"], True, "5.7.1", "Bel 4711."),
        (["de"], False, "5.7.1", "Das Mailsystem des Empfängers nimmt diese Nachricht von Ihnen nicht an."),
        (["nl", "de"], False, "5.7.1", "Bel 4711."),
        (["de", "nl"], False, "5.7.1", "Das Mailsystem des Empfängers nimmt diese Nachricht von Ihnen nicht an."),
        (["de-AT"], False, "5.1.1", "Servus."),
        (["de-AT"], True, "5.1.1", "Diese Adresse gibt es am Ziel nicht."),
        (["de"], False, "5.1.1", "Diese Adresse gibt es am Ziel nicht."),
        ([], False, "4.7.1", "The recipient's mail system does not accept this message from you."),
    ],
)
def test_texts_of_our_own(wanted: list[str], internal: bool, code: str, first: str) -> None:
    voice = OWN.voice(wanted, "en", internal=internal)
    assert voice.explanation("failed", code, own=False).paragraphs[0] == first


def test_an_own_text_has_any_number_of_paragraphs_and_is_no_good_news() -> None:
    voice = OWN.voice([], "en", internal=False)
    assert voice.explanation("failed", "5.7.1", own=True).paragraphs == ("Call 4711.", "Or come to room 7.")
    assert voice.explanation("delivered", "5.7.1", own=True).paragraphs[0] == "The message is in the mailbox."
