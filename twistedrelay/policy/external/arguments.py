"""What stands behind a checker's name in C{credential_checkers}: C{VALUE:option=value:option=value}.

Decides how it is taken apart.  Never looks at a file or a socket.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterator

from twisted.cred.strcred import InvalidAuthArgumentString

from twistedrelay.config.problems import suggestion
from twistedrelay.config.units import domain_name


def parse_argument(text: str, example: str, options: Collection[str]) -> tuple[str, dict[str, str]]:
    """The value, and the options that were given.

    @param example: how it is written, for the error.
    @param options: the options there are.
    @raise InvalidAuthArgumentString: it is not written so.
    """
    value, *rest = (part.strip() for part in text.split(":"))
    if not value:
        raise InvalidAuthArgumentString(f"an argument is required: {example}")
    given: dict[str, str] = {}
    for part in rest:
        key, separator, content = part.partition("=")
        if key not in options:
            raise InvalidAuthArgumentString(f"the option {key!r} is unknown{suggestion(key, options)}; allowed: {example}")
        if not separator or not content or key in given:
            raise InvalidAuthArgumentString(f"the option {key!r} needs one value; allowed: {example}")
        given[key] = content
    return value, given


def absolute_path(text: str, example: str) -> str:
    """A path that does not depend on the directory that the program was started in.

    @raise InvalidAuthArgumentString: it is relative.
    """
    if not text.startswith("/"):
        raise InvalidAuthArgumentString(f"{text!r} is no absolute path; allowed: {example}")
    return text


def option_domain(given: dict[str, str]) -> str:
    """The domain of C{domain=}, or nothing.

    @raise InvalidAuthArgumentString: it is no domain name.
    """
    try:
        return domain_name(given["domain"]) if "domain" in given else ""
    except ValueError as error:
        raise InvalidAuthArgumentString(str(error)) from None


def word(text: str, example: str) -> str:
    """A name that can be part of a file's name or of a protocol's line.

    @raise InvalidAuthArgumentString: it cannot.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", text):
        raise InvalidAuthArgumentString(f"{text!r} is no name; allowed: {example}")
    return text


def option_word(given: dict[str, str], key: str, default: str) -> str:
    """The name of an option, or its default.

    @raise InvalidAuthArgumentString: it is no name.
    """
    return word(given.get(key, default), f"{key}={default}")


@contextlib.contextmanager
def needs_extra(extra: str) -> Iterator[None]:
    """Say how to get what an import lacks.

    @raise InvalidAuthArgumentString: in the place of C{ImportError}.
    """
    try:
        yield
    except ImportError as error:
        raise InvalidAuthArgumentString(f"a module is missing ({error}): install twistedrelay[{extra}]") from None
