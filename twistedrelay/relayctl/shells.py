"""Completion in shells, where names with blanks, brackets and colons are the usual case.

It decides how a half-typed word is found and what is put in its place.  bash takes words apart at colons and other characters
(C{COMP_WORDBREAKS}), so the line itself is read; and it only replaces what stands behind the last of them, so only that is answered.
zsh and fish replace the whole word, C{--option=} included.

Source: Bash Reference Manual, Programmable Completion.
"""

from __future__ import annotations

import os
import re
from typing import Any

from click.shell_completion import CompletionItem, FishComplete, ShellComplete, ZshComplete, add_completion_class, split_arg_string

_SCRIPT = """\
%(complete_func)s() {
    local type value
    COMPREPLY=()
    while IFS=, read -r type value; do
        case $type in
            plain) COMPREPLY+=("$value") ;;
            file) compopt -o default ;;
            dir) compopt -o dirnames ;;
        esac
    done < <(env COMP_LINE="${COMP_LINE:0:COMP_POINT}" COMP_WORD="${COMP_WORDS[COMP_CWORD]}" \\
        COMP_WORDBREAKS="$COMP_WORDBREAKS" %(complete_var)s=bash_complete "${1/#\\~\\//$HOME/}" 2>/dev/null)
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""

#: Where bash takes a word apart; an at sign belongs to the part behind it.
_BREAKS = {":": 1, "=": 1, "@": 0}
_SPECIAL = re.compile(r"""([\s"'\\$&;()<>|*?`!#~{}\[\]])""")
_ASSIGNMENT = re.compile(r"\w+=.*", re.DOTALL)
_OPTION = re.compile(r"--[\w-]+=")


class Bash(ShellComplete):
    """See the module."""

    name = "bash"
    source_template = _SCRIPT

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words of the line, and the one that has only begun."""
        words = split_arg_string(os.environ.get("COMP_LINE", "") + "x")  # which makes a word of nothing
        while len(words) > 1 and _ASSIGNMENT.fullmatch(words[0]):
            del words[0]
        *words, incomplete = words
        return words[1:], incomplete[:-1]

    def format_completion(self, item: CompletionItem[Any]) -> str:
        """What bash puts in the place of the word, or of its last part."""
        return f"{item.type},{self._rest(str(item.value)) if item.type == 'plain' else item.value}"

    def _rest(self, value: str) -> str:
        if os.environ.get("COMP_WORD", "")[:1] in ('"', "'"):  # in quotes nothing is taken apart
            return value
        _, begun = self.get_completion_args()
        breaks = {each: length for each, length in _BREAKS.items() if each in os.environ.get("COMP_WORDBREAKS", "")}
        option = _option(begun, value)
        begun = begun[len(option) :]
        front = "" if "=" in breaks else option
        there = begun[: max((begun.rfind(each) + length for each, length in breaks.items() if each in begun), default=0)]
        if there and value.lower().startswith(there.lower()):
            front, value = "", value[len(there) :]
        return front + _SPECIAL.sub(r"\\\1", value)


class Zsh(ZshComplete):
    """See the module."""

    def format_completion(self, item: CompletionItem[Any]) -> str:
        """What zsh puts in the place of the word; beside a help it reads a backslash as one that makes a colon a colon."""
        whole = _whole(item, self.get_completion_args()[1])
        if whole.help:
            whole.value = whole.value.replace("\\", "\\\\")
        return super().format_completion(whole)


class Fish(FishComplete):
    """See the module."""

    source_template = FishComplete.source_template.replace('string split ","', 'string split -m 1 ","')  # values may hold commas

    def format_completion(self, item: CompletionItem[Any]) -> str:
        """What fish puts in the place of the word."""
        return super().format_completion(_whole(item, self.get_completion_args()[1]))


def _option(begun: str, value: str) -> str:
    """The option that a word begins with, where a value of it is offered."""
    option = _OPTION.match(begun)
    return option[0] if option is not None and not value.startswith("--") else ""


def _whole(item: CompletionItem[Any], begun: str) -> CompletionItem[Any]:
    value = str(item.value)
    return CompletionItem(_option(begun, value) + value, item.type, item.help)


for _shell in (Bash, Zsh, Fish):
    add_completion_class(_shell)
