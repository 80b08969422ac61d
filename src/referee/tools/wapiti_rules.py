"""What wapiti can find: its category names with our severity and CWE numbers, and its modules."""

from __future__ import annotations

from typing import Final

from referee.core.vocabulary import Severity

__all__ = ["CATEGORIES", "FULL_MODULES", "MODULES", "QUICK_MODULES", "STANDARD_MODULES"]

_C, _H, _M, _L, _I = Severity.critical, Severity.high, Severity.medium, Severity.low, Severity.info

CATEGORIES: Final[dict[str, tuple[str, Severity, tuple[int, ...]]]] = {
    "Backup file": ("backup-file", _M, (530,)),
    "Blind SQL Injection": ("blind-sql-injection", _C, (89,)),
    "Clickjacking Protection": ("clickjacking-protection", _M, (1021,)),
    "Command execution": ("command-execution", _C, (78,)),
    "Content Security Policy Configuration": ("content-security-policy", _M, (693,)),
    "CRLF Injection": ("crlf-injection", _M, (93,)),
    "Cross Site Request Forgery": ("cross-site-request-forgery", _M, (352,)),
    "Fingerprint web application framework": ("fingerprint-framework", _I, (200,)),
    "Fingerprint web server": ("fingerprint-server", _I, (200,)),
    "Fingerprint web technology": ("fingerprint-technology", _I, (200,)),
    "Htaccess Bypass": ("htaccess-bypass", _M, (538,)),
    "HTML Injection": ("html-injection", _M, (80,)),
    "HTTP Methods": ("http-methods", _I, ()),
    "HTTP Strict Transport Security (HSTS)": ("strict-transport-security", _L, (319,)),
    "HttpOnly Flag cookie": ("cookie-without-httponly", _L, (1004,)),
    "Internal Server Error": ("internal-server-error", _M, (755,)),
    "LDAP Injection": ("ldap-injection", _H, (90,)),
    "Log4Shell": ("log4shell", _C, (502, 917)),
    "MIME Type Confusion": ("mime-type-confusion", _L, (693,)),
    "Open Redirect": ("open-redirect", _M, (601,)),
    "Path Traversal": ("path-traversal", _H, (22,)),
    "Potentially dangerous file": ("dangerous-file", _M, (538,)),
    "Reflected Cross Site Scripting": ("reflected-cross-site-scripting", _H, (79,)),
    "Resource consumption": ("resource-consumption", _M, (400,)),
    "Review Webserver Metafiles for Information Leakage": ("server-metafiles", _I, (200,)),
    "Secure Flag cookie": ("cookie-without-secure", _L, (614,)),
    "Server Side Request Forgery": ("server-side-request-forgery", _H, (918,)),
    "Spring4Shell": ("spring4shell", _C, (94,)),
    "SQL Injection": ("sql-injection", _C, (89,)),
    "Stored Cross Site Scripting": ("stored-cross-site-scripting", _H, (79,)),
    "Stored HTML Injection": ("stored-html-injection", _M, (80,)),
    "Subdomain takeover": ("subdomain-takeover", _M, (672,)),
    "TLS/SSL misconfigurations": ("tls-configuration", _M, (326,)),
    "Unencrypted Channels": ("unencrypted-channel", _L, (319,)),
    "Unrestricted File Upload": ("unrestricted-file-upload", _H, (434,)),
    "Vulnerable software": ("vulnerable-software", _H, (1395,)),
    "Weak credentials": ("weak-credentials", _H, (521, 798)),
    "XML External Entity": ("xml-external-entity", _H, (611,)),
    "XPATH Injection": ("xpath-injection", _H, (91,)),
}
"""Our rule id, severity and CWE numbers by wapiti's own name of a category (3.2.3)."""

QUICK_MODULES: Final = ("cookieflags", "csp", "csrf", "http_headers", "redirect")
STANDARD_MODULES: Final = (*QUICK_MODULES, "exec", "file", "methods", "permanentxss", "sql", "xss")
FULL_MODULES: Final = (*STANDARD_MODULES, "backup", "crlf", "htaccess", "ldap", "timesql", "upload")
MODULES: Final = tuple(sorted({*FULL_MODULES, "https_redirect", "ssl"}))
"""Modules that may be chosen. Left out are those that need a server of wapiti's makers to hear back from
the app (ssrf, xxe, log4shell), a data base from the internet (wapp, cms, nikto) or other hosts (takeover)."""
