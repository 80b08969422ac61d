"""What each problem code means: the text behind ``/problems/<code>``.

A problem's ``type`` is an address that anyone can open. Rooms add a sentence
or two for the codes that need more than the answer itself says.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

__all__ = ["ProblemCatalogue", "ProblemExplanation", "is_problem_code", "problem_url"]

_CODE: Final = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)+")


@dataclass(frozen=True, slots=True)
class ProblemExplanation:
    """What one code means."""

    code: str
    title: str
    status: int
    explanation: str


def problem_url(code: str) -> str:
    """Return the stable ``type`` of a code."""
    return f"/problems/{code}"


def is_problem_code(text: str) -> bool:
    """Whether ``text`` has the shape of a code: dotted lower_snake words."""
    return len(text) <= 120 and _CODE.fullmatch(text) is not None


class ProblemCatalogue:
    """The explanations that the shell and the rooms have registered."""

    def __init__(self) -> None:
        self._by_code: dict[str, ProblemExplanation] = {}
        self.register(*_OWN)

    def register(self, *explanations: ProblemExplanation) -> None:
        """Add explanations; each code once."""
        for explanation in explanations:
            if not is_problem_code(explanation.code):
                raise ValueError(f"{explanation.code!r} is not a dotted code")
            if explanation.code in self._by_code:
                raise ValueError(f"{explanation.code} is already explained")
            self._by_code[explanation.code] = explanation

    def find(self, code: str) -> ProblemExplanation | None:
        """Return the explanation of a code, if one was registered."""
        return self._by_code.get(code)

    @property
    def explanations(self) -> tuple[ProblemExplanation, ...]:
        """Every explanation, by code."""
        return tuple(self._by_code[code] for code in sorted(self._by_code))


_OWN = (
    ProblemExplanation(
        "request.not_http",
        "Invalid input",
        400,
        "What arrived is no request of HTTP/1.1: TLS on a port without it, an address that is not percent-encoded, "
        "or a broken header. Nothing was done.",
    ),
    ProblemExplanation(
        "request.head_too_long",
        "Invalid input",
        400,
        "The address and the headers of a request have at most 64 KiB together. Long values belong into the body. "
        "Nothing was done.",
    ),
    ProblemExplanation(
        "request.invalid",
        "Invalid input",
        422,
        "The request's parameters or body do not have the documented form. The member errors names each "
        "field that is wrong, where it stands and what was expected.",
    ),
    ProblemExplanation(
        "request.not_found",
        "Not found",
        404,
        "No page or operation has this address. Addresses of pages begin with /ui, of the JSON interface with /v1.",
    ),
    ProblemExplanation(
        "request.method_not_allowed",
        "Method not allowed",
        405,
        "The address exists, and the method is not one of those in the answer's Allow header.",
    ),
    ProblemExplanation(
        "request.body_too_large",
        "Too large",
        413,
        "The body has more bytes than the limit in the answer. Send less at once, or use the upload that is "
        "documented for large files.",
    ),
    ProblemExplanation(
        "request.media_type_unknown",
        "Unsupported media type",
        415,
        "A body that is JSON says so in its header Content-Type. Programs such as curl name another type unless "
        "they are told: curl --json does it, or curl -H 'Content-Type: application/json'.",
    ),
    ProblemExplanation(
        "request.body_unreadable",
        "Invalid input",
        422,
        "The body ends too early, is nested too deep, or its parts cannot be told apart.",
    ),
    ProblemExplanation(
        "request.host_refused",
        "Host not accepted",
        403,
        "A server on the loopback address answers only to the names localhost, 127.0.0.1 and [::1], so that a "
        "foreign name pointed at this machine cannot reach it from a browser.",
    ),
    ProblemExplanation(
        "request.origin_refused",
        "Origin not accepted",
        403,
        "A browser sent this changing request from a page of another site. Only Referee's own pages, and "
        "programs that are no browsers, may change something.",
    ),
    ProblemExplanation(
        "request.csrf_token_invalid",
        "Form expired",
        403,
        "The form's token does not belong to the present session. Open the page again and repeat the action.",
    ),
    ProblemExplanation(
        "access.key_missing",
        "Key needed",
        401,
        "The server listens on more than the loopback address, so every request needs a key: as "
        "'Authorization: Bearer rfr_…', or by logging in with it. 'referee key create' makes one.",
    ),
    ProblemExplanation(
        "filter.unknown_key",
        "Invalid filter",
        422,
        "The filter names a key that this list does not have. The answer names the nearest one and its position.",
    ),
    ProblemExplanation(
        "internal.unexpected",
        "Internal error",
        500,
        "Something failed that Referee did not foresee. The server's log holds the details under the request id.",
    ),
)
