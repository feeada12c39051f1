"""What every request needs: the values of its query, and the document that says what was wrong (RFC 9457).

What an operation takes, and within which bounds, was checked before (L{twistedrelay.control.queries}); what a schema cannot say is checked
here.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from http import HTTPStatus

from twisted.web.iweb import IRequest

from twistedrelay.control.documents import Finding, Problem, ProblemPart


class RequestProblem(Exception):
    """A request that is answered by an error: C{status} and a sentence for people.

    @ivar errors: what is wrong with the body, where it is that.
    @ivar parameter: the parameter of the query that is wrong, or C{""}.
    """

    def __init__(self, status: HTTPStatus, detail: str, errors: Sequence[ProblemPart] = (), *, parameter: str = "") -> None:
        super().__init__(detail)
        self.status = status
        self.errors = [*errors, *([ProblemPart(detail=detail, parameter=parameter)] if parameter else [])]


def answer(request: IRequest, content_type: bytes, text: str) -> bytes:
    """A text as the body of an answer."""
    # Lone surrogates cannot be written as UTF-8; nothing that got this far is worth a failed answer.
    body = text.encode("utf-8", "backslashreplace")
    request.setHeader(b"content-type", content_type)
    request.setHeader(b"content-length", b"%d" % len(body))
    return body


def problem(request: IRequest, status: int, detail: str, errors: Sequence[ProblemPart] = (), findings: Sequence[Finding] = ()) -> bytes:
    """Make the request's answer an error."""
    title = HTTPStatus(status).phrase
    request.setResponseCode(status, title.encode("ascii"))  # Twisted does not know the words of each
    request.setHeader(b"cache-control", b"no-store")
    path = request.path.decode("utf-8", "backslashreplace")
    document = Problem(title=title, status=status, detail=detail, instance=path, errors=list(errors), findings=list(findings))
    return answer(request, b"application/problem+json", document.model_dump_json())


def integer(request: IRequest, name: bytes, default: int) -> int:
    """A number from the query."""
    given = argument(request, name)
    return default if given is None else int(given)


def moment(request: IRequest, name: bytes, default: float) -> float:
    """A time from the query (RFC 3339, with its offset), in seconds since the epoch."""
    given = argument(request, name)
    if given is None:
        return default
    try:
        found = datetime.datetime.fromisoformat(given)
        if found.tzinfo is not None:
            seconds = found.timestamp()
            datetime.datetime.fromtimestamp(seconds, datetime.UTC)  # what cannot be shown again is no time either
            return seconds
    except (ValueError, OverflowError):
        pass
    word = name.decode("ascii")
    raise RequestProblem(HTTPStatus.BAD_REQUEST, f"{word} must be a time such as 2026-11-22T12:00:00Z.", parameter=word)


def boolean(request: IRequest, name: bytes, default: bool) -> bool:
    """C{true} or C{false} from the query."""
    given = argument(request, name)
    return default if given is None else given == "true"


def text(request: IRequest, name: bytes, most: int) -> str:
    """A text from the query, C{""} where there is none: one line."""
    value = argument(request, name) or ""
    if len(value) > most or not value.isprintable():
        word = name.decode("ascii")
        raise RequestProblem(HTTPStatus.BAD_REQUEST, f"{word} must be one line of at most {most} characters.", parameter=word)
    return value


def argument(request: IRequest, name: bytes) -> str | None:
    """A value from the query as it is, None where there is none."""
    values = request.args.get(name)
    return values[0].decode("utf-8") if values else None
