"""What of a configuration is kept from those who look at its changes: passwords that stand in it.

Most secrets are in files of their own, and the configuration only names these.  What may hold one all the same: descriptions of credential
checkers, addresses of web pages (a login, a token in the query), those of webhooks (many receivers have a token for a path), keys that do
not belong there but look like a secret, and comments.
Everything that shows a configuration or its text to somebody goes by this module; the files and their history keep what they hold.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml

from twistedrelay.config.edit_nodes import Node, parse
from twistedrelay.values.printable import public_url

MASK = "***"
UNREADABLE = f"{MASK} (what is no YAML is not shown)\n"

#: Keys whose values are secrets, and not the names of files that hold them.
_SECRET = re.compile(r"(?i)(?:.*[_-])?(?:password|passwd|passphrase|secret|token|api[_-]?key)s?")

#: The same words with a value, in a comment.
_SAID = re.compile(r"(?i)(\b(?:\w+_)?(?:password|passwd|passphrase|secret|token|api[_-]?key)s?\s*[:=]\s*)[^\s,}\]]+")
_MEMORY = re.compile(r"\b(memory):[^\"'\]\s]+")
_HOOK = re.compile(r"(?is)\s*(https?://[^/?#]+)[/?#].+")
_HOOK_SAID = re.compile(r"(?i)(\burl[\"']?\s*[:=]\s*[\"']?https?://[^\s/?#\"']+)[/?#][^\s\"',}]+")
_COMMENT = re.compile(r"(?m)(?:^|(?<=\s))#.*$")


def checker_text(description: str) -> str:
    """A checker of C{credential_checkers} as it may be shown: a file by its name, others, which may hold passwords, by their kind."""
    kind, separator, _ = description.partition(":")
    return f"{kind}:{MASK}" if separator and kind != "file" else description


def webhook_text(url: str) -> str:
    """The address of a webhook as it may be shown: where it is, and not what is said to get in."""
    found = _HOOK.fullmatch(url)
    return public_url(f"{found[1]}/{MASK}" if found else url)


def hidden(text: str) -> str:
    """The text of a file without the secrets in it.  What cannot be read as YAML is not shown at all."""
    bare = text.removeprefix("\ufeff")
    try:
        root = parse(bare)
        spans = sorted(_secrets(root)) if root is not None else []
    except (yaml.YAMLError, ValueError, RecursionError):
        return UNREADABLE
    shown, position = [], 0
    for start, end, written in spans:
        if start >= position:
            shown += [bare[position:start], written]
            position = end
    masked = "".join([*shown, bare[position:]])
    return public_url(_COMMENT.sub(lambda found: _comment(found[0]), masked))


def _comment(text: str) -> str:
    """A comment, which may be what was configuration before."""
    return _MEMORY.sub(rf"\1:{MASK}", _SAID.sub(rf"\1{MASK}", _HOOK_SAID.sub(rf"\1/{MASK}", text)))


def _secrets(root: Node) -> Iterator[tuple[int, int, str]]:
    """Where secrets stand in a text, and what is shown instead."""
    for node in root.walk():
        for key, value in node.entries if node.kind == "mapping" else ():
            if _SECRET.fullmatch(key.text or ""):
                yield from ((leaf.open, leaf.end, MASK) for leaf in _leaves(value))
            elif key.text == "credential_checkers":
                for leaf in _leaves(value):
                    if (shown := checker_text(leaf.text or "")) != leaf.text:
                        yield leaf.open, leaf.end, f'"{shown}"'
            elif key.text == "webhooks":
                for leaf in _leaves(value):
                    if (shown := webhook_text(leaf.text or "")) != leaf.text:
                        yield leaf.open, leaf.end, f'"{shown}"'


def _leaves(node: Node) -> Iterator[Node]:
    """The texts that a value consists of."""
    for each in node.walk():
        target = each.target or each
        if target is not each:
            yield from _leaves(target)
        elif each.kind == "scalar" and each.text is not None:
            yield each
