"""What an answer's headers say about an app: protection, disclosure, cookies, and who may read it from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from referee.core.vocabulary import Severity
from referee.tools.curl_transfers import Answer
from referee.tools.reading import shorten

__all__ = [
    "FOREIGN_ORIGIN",
    "Observation",
    "judge_cookies",
    "judge_cors",
    "judge_disclosure",
    "judge_protection",
]

FOREIGN_ORIGIN: Final = "https://evil.example"
"""An origin that no app has reason to trust (RFC 2606 reserves the name)."""

_SESSION_COOKIE: Final = re.compile(r"sess|sid\b|^sid|token|auth|jwt|remember|login", re.IGNORECASE)
_READABLE_COOKIE: Final = re.compile(r"csrf|xsrf", re.IGNORECASE)
"""Cookies that scripts are meant to read: the double-submit pattern."""
_VERSION: Final = re.compile(r"\d+\.\d+")


@dataclass(frozen=True, slots=True)
class Observation:
    """One thing that is wrong, before it has an address."""

    rule_id: str
    message: str
    evidence: str = ""
    parameter: str = ""
    severity: Severity | None = None
    """Where it differs from the rule's."""


def judge_protection(answer: Answer, *, is_secure: bool) -> Iterator[Observation]:
    """Yield what is missing or weak among the headers that protect a page.

    What only matters for pages is judged for pages only; that browsers must not guess a type, for all.

    Args:
        answer: The page, or another answer of the app.
        is_secure: Whether it came over HTTPS.
    """
    if answer.get_header("x-content-type-options").strip().lower() != "nosniff":
        yield Observation("missing-nosniff", "The header X-Content-Type-Options: nosniff is missing.")
    if is_secure and not answer.get_header("strict-transport-security"):
        yield Observation("missing-hsts", "The header Strict-Transport-Security is missing.")
    old = answer.get_header("x-xss-protection").strip()
    if old and not old.startswith("0"):
        yield Observation(
            "deprecated-xss-protection",
            "The header X-XSS-Protection does no good in any browser of today.",
            old,
        )
    if not answer.is_page:
        return
    policy = _parse_policy(answer.get_header("content-security-policy"))
    if not policy:
        yield Observation("missing-csp", "The header Content-Security-Policy is missing.")
    else:
        yield from _judge_policy(policy, answer.get_header("content-security-policy"))
    framing = answer.get_header("x-frame-options").strip().lower()
    if "frame-ancestors" not in policy and framing not in ("deny", "sameorigin"):
        yield Observation(
            "missing-frame-protection",
            "Neither X-Frame-Options nor frame-ancestors says who may frame the page.",
            framing,
        )
    if not answer.get_header("referrer-policy"):
        yield Observation("missing-referrer-policy", "The header Referrer-Policy is missing.")


def judge_disclosure(answer: Answer) -> Iterator[Observation]:
    """Yield which software and version an answer names."""
    server, powered = answer.get_header("server"), answer.get_header("x-powered-by")
    if _VERSION.search(server):
        yield Observation("server-version", "The header Server names software and version.", server)
    if powered:
        yield Observation("powered-by", "The header X-Powered-By names what the app is made with.", powered)


def judge_cookies(answer: Answer, *, is_secure: bool) -> Iterator[Observation]:
    """Yield which flags the cookies lack that an answer sets.

    Args:
        answer: Any answer.
        is_secure: Whether it came over HTTPS; over plain HTTP a missing Secure is told at the lowest severity.
    """
    for text in answer.list_headers("set-cookie"):
        pair, *rest = text.split(";")
        name = pair.partition("=")[0].strip()
        if not name or not name.isprintable():
            continue
        flags = {
            word.partition("=")[0].strip().lower(): word.partition("=")[2].strip().lower() for word in rest
        }
        name = shorten(name, limit=100)
        shown = "; ".join((f"{name}=…", *(word.strip() for word in rest)))
        is_session = _SESSION_COOKIE.search(name) is not None
        if "httponly" not in flags and not _READABLE_COOKIE.search(name):
            severity = Severity.medium if is_session else Severity.low
            yield Observation(
                "cookie-without-httponly", f"Scripts can read the cookie {name}.", shown, name, severity
            )
        if "secure" not in flags:
            severity = Severity.medium if is_secure and is_session else Severity.low
            yield Observation(
                "cookie-without-secure",
                f"The cookie {name} may travel over plain HTTP.",
                shown,
                name,
                severity,
            )
        site = flags.get("samesite", "")
        if site not in ("lax", "strict"):
            severity = Severity.medium if site == "none" and "secure" not in flags else Severity.low
            yield Observation(
                "cookie-without-samesite",
                f"The cookie {name} is sent along from other sites.",
                shown,
                name,
                severity,
            )


def judge_cors(answer: Answer) -> Iterator[Observation]:
    """Yield whether an app lets pages of ``FOREIGN_ORIGIN`` read its answers."""
    allowed = answer.get_header("access-control-allow-origin").strip()
    has_credentials = answer.get_header("access-control-allow-credentials").strip().lower() == "true"
    shown = f"Access-Control-Allow-Origin: {allowed}" + (
        "; Access-Control-Allow-Credentials: true" if has_credentials else ""
    )
    if allowed == FOREIGN_ORIGIN:
        if has_credentials:
            yield Observation(
                "cors-any-origin-with-credentials",
                "Any site may read the app's answers with the cookies of whoever visits that site.",
                shown,
            )
        else:
            yield Observation("cors-any-origin-reflected", "Whatever origin asks is allowed to read.", shown)
    elif allowed == "*":
        # Browsers refuse credentials with a star, so this opens only what is public anyway.
        yield Observation("cors-wildcard", "Any site may read the app's public answers.", shown)


def _parse_policy(text: str) -> dict[str, tuple[str, ...]]:
    policy: dict[str, tuple[str, ...]] = {}
    for directive in text.lower().replace(",", ";").split(";"):
        words = directive.split()
        if words:
            policy.setdefault(words[0], tuple(words[1:]))
    return policy


def _judge_policy(policy: dict[str, tuple[str, ...]], text: str) -> Iterator[Observation]:
    scripts = policy.get("script-src", policy.get("default-src"))
    if scripts is None:
        yield Observation("weak-csp", "The Content-Security-Policy says nothing about scripts.", text)
        return
    # A nonce or digest makes browsers ignore 'unsafe-inline' (CSP Level 3, section 6.7.3.2).
    is_strict = any(word.startswith(("'nonce-", "'sha256-", "'sha384-", "'sha512-")) for word in scripts)
    weak = [word for word in scripts if word in ("'unsafe-eval'", "*", "http:", "https:", "data:")]
    if "'unsafe-inline'" in scripts and not is_strict:
        weak.append("'unsafe-inline'")
    if weak:
        yield Observation(
            "weak-csp", f"The Content-Security-Policy allows scripts from {', '.join(weak)}.", text
        )
