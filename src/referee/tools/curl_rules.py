"""What the curl probes can find: severity, CWE numbers and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from referee.core.findings import Rule
from referee.core.vocabulary import Severity

__all__ = ["PROBE_RULES", "ProbeRule"]

_H, _M, _L, _I = Severity.high, Severity.medium, Severity.low, Severity.info


@dataclass(frozen=True, slots=True)
class ProbeRule:
    """A rule and its remedy."""

    severity: Severity
    cwe_ids: tuple[int, ...]
    summary: str
    solution: str

    def as_rule(self, rule_id: str) -> Rule:
        """Return the rule as reports name it."""
        return Rule(rule_id, rule_id, self.summary, self.severity, None, self.cwe_ids)


PROBE_RULES: Final[dict[str, ProbeRule]] = {
    "exposed-git-repository": ProbeRule(
        _H,
        (527,),
        "The repository's own files can be fetched, and with them the source and its history.",
        "Serve a build folder, never the working copy.",
    ),
    "exposed-environment-file": ProbeRule(
        _H,
        (538, 200),
        "A file of environment variables can be fetched.",
        "Keep it outside of what is served, and replace every secret that was in it.",
    ),
    "exposed-password-file": ProbeRule(
        _H, (538,), "A file of password hashes can be fetched.", "Keep it outside of what is served."
    ),
    "exposed-backup": ProbeRule(
        _H,
        (530,),
        "A backup or the database itself can be fetched.",
        "Keep backups and databases outside of what is served.",
    ),
    "exposed-source-code": ProbeRule(
        _H,
        (540,),
        "Source code of the server can be fetched.",
        "Serve only the build folder of the frontend.",
    ),
    "path-traversal": ProbeRule(
        _H,
        (22,),
        "A path with .. leaves the folder that is served.",
        "Resolve the path and refuse what lies outside of the folder.",
    ),
    "open-configuration": ProbeRule(
        _M,
        (200,),
        "The app's configuration can be read, with names of secrets in it.",
        "Remove the route or ask for a login of an administrator.",
    ),
    "open-admin-page": ProbeRule(
        _L,
        (425,),
        "The administrator's page is shown without a login.",
        "Ask for a login before the page, not only in its scripts.",
    ),
    "open-server-status": ProbeRule(
        _M, (497,), "The web server shows its status to everybody.", "Allow it for the machine itself only."
    ),
    "open-debug-page": ProbeRule(
        _M, (489,), "A debugging page answers.", "Leave debugging routes out of what runs for people."
    ),
    "open-debug-console": ProbeRule(
        _H,
        (489, 94),
        "A debugger's console answers: whoever unlocks it runs code on the server.",
        "Never run with the debugger on.",
    ),
    "exposed-folder-listing": ProbeRule(
        _L, (548,), "The names of a folder's files can be read.", "Switch folder listings off."
    ),
    "open-api-description": ProbeRule(
        _I, (200,), "The description of the API is public.", "Fine for a public API; else ask for a login."
    ),
    "open-metrics": ProbeRule(
        _L, (497,), "The app's own metrics are public.", "Allow them for the machine that collects them only."
    ),
    "exposed-project-file": ProbeRule(
        _L,
        (538,),
        "A file of the project that names its dependencies can be fetched.",
        "Serve only the build folder.",
    ),
    "exposed-source-map": ProbeRule(
        _L,
        (540,),
        "A source map gives the frontend's source away.",
        "Build without source maps, or keep them off the server.",
    ),
    "missing-csp": ProbeRule(
        _M,
        (693,),
        "No Content-Security-Policy limits what an injected script can do.",
        "Send one, beginning with default-src 'self'.",
    ),
    "weak-csp": ProbeRule(
        _L,
        (693,),
        "The Content-Security-Policy does not keep injected scripts out.",
        "Use nonces or digests instead of 'unsafe-inline' and wildcards.",
    ),
    "missing-nosniff": ProbeRule(
        _L,
        (693,),
        "Browsers may guess another content type.",
        "Send X-Content-Type-Options: nosniff with every answer.",
    ),
    "missing-frame-protection": ProbeRule(
        _M,
        (1021,),
        "Other sites may show the app in a frame and have its buttons clicked.",
        "Send frame-ancestors 'none' or X-Frame-Options: DENY.",
    ),
    "missing-referrer-policy": ProbeRule(
        _I,
        (200,),
        "Addresses of pages may be told to other sites.",
        "Send Referrer-Policy: same-origin or stricter.",
    ),
    "missing-hsts": ProbeRule(
        _L, (319,), "Browsers may come back over plain HTTP.", "Send Strict-Transport-Security over HTTPS."
    ),
    "deprecated-xss-protection": ProbeRule(
        _I, (), "X-XSS-Protection is obsolete.", "Send Content-Security-Policy instead."
    ),
    "server-version": ProbeRule(
        _L,
        (497,),
        "Software and version are told to everybody.",
        "Run behind a server that names no version.",
    ),
    "powered-by": ProbeRule(
        _L,
        (497,),
        "The framework is told to everybody.",
        "Switch the header off, as Express does with app.disable('x-powered-by').",
    ),
    "cookie-without-httponly": ProbeRule(_M, (1004,), "Scripts can read a cookie.", "Set HttpOnly."),
    "cookie-without-secure": ProbeRule(_L, (614,), "A cookie may travel over plain HTTP.", "Set Secure."),
    "cookie-without-samesite": ProbeRule(
        _L, (1275,), "A cookie is sent along from other sites.", "Set SameSite=Lax or Strict."
    ),
    "cors-any-origin-with-credentials": ProbeRule(
        _H, (942,), "Any site may act as the person who visits it.", "Allow a fixed list of origins."
    ),
    "cors-any-origin-reflected": ProbeRule(
        _M, (942,), "Any origin is allowed to read.", "Allow a fixed list of origins."
    ),
    "cors-wildcard": ProbeRule(
        _L,
        (942,),
        "Every site may read public answers.",
        "Allow a fixed list of origins unless the API is public.",
    ),
    "trace-enabled": ProbeRule(_M, (693,), "TRACE repeats the request with its cookies.", "Refuse TRACE."),
    "debugger-enabled": ProbeRule(
        _H, (489, 94), "An error is shown in a debugger that can run code.", "Never run with the debugger on."
    ),
    "stack-trace": ProbeRule(
        _M,
        (209,),
        "An error shows the app's inside.",
        "Answer errors with a sentence and keep the trace in the log.",
    ),
    "server-error": ProbeRule(
        _L, (755,), "A malformed request makes the server fail.", "Check the request and answer 400."
    ),
}
"""By rule id."""
