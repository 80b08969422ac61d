"""The app shell that all pages and APIs of all rooms stand on.

The door. Names are loaded when first asked for, so that the filter grammar and
the formats can be used by the command line without loading a web framework.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from referee.core.doors import open_door

if TYPE_CHECKING:
    from referee.foundation.web.answers import PageModel, answer_page
    from referee.foundation.web.application import create_shell
    from referee.foundation.web.filters import Filter, FilterField, parse_filter, to_order, to_where
    from referee.foundation.web.lists import ListView, build_facet, read_list_query
    from referee.foundation.web.live import LiveHub, publish
    from referee.foundation.web.navigation import JumpHit, NavigationEntry
    from referee.foundation.web.rendering import Crumb, render_page
    from referee.foundation.web.shell import Shell, get_principal, get_shell

__all__ = [
    "Crumb",
    "Filter",
    "FilterField",
    "JumpHit",
    "ListView",
    "LiveHub",
    "NavigationEntry",
    "PageModel",
    "Shell",
    "answer_page",
    "build_facet",
    "create_shell",
    "get_principal",
    "get_shell",
    "parse_filter",
    "publish",
    "read_list_query",
    "render_page",
    "to_order",
    "to_where",
]

__getattr__ = open_door(
    __name__,
    {
        "answers": (
            "PageModel",
            "answer_page",
        ),
        "application": ("create_shell",),
        "filters": (
            "Filter",
            "FilterField",
            "parse_filter",
            "to_order",
            "to_where",
        ),
        "lists": (
            "ListView",
            "build_facet",
            "read_list_query",
        ),
        "live": (
            "LiveHub",
            "publish",
        ),
        "navigation": (
            "JumpHit",
            "NavigationEntry",
        ),
        "rendering": (
            "Crumb",
            "render_page",
        ),
        "shell": (
            "Shell",
            "get_principal",
            "get_shell",
        ),
    },
)
