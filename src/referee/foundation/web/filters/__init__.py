r"""The filter grammar: one text for pages, API and command line.

::

    query      = { term }
    term       = [ "-" ] ( key ":" values | "is:" word | text ) | "sort:" [ "-" ] key
    values     = value | "(" value { "OR" value } ")"
    value      = [ ">=" | "<=" | ">" | "<" ] text
    text       = word | '"' any characters, \\" and \\\\ '"'

``*`` in an unquoted word stands for any characters; ``\\`` takes the next one
as it is. Terms are joined by *and*. What cannot be expressed is an
``InvalidInput`` that names the position and, where there is one, the nearest
thing that can: nothing is ever dropped.

The door: ``parse_filter`` (text and fields to a ``Filter``), ``str(filter)``
(canonical text), ``to_where`` and ``to_order`` (to SQLAlchemy expressions).
"""

from referee.foundation.web.filters.fields import FilterField
from referee.foundation.web.filters.parser import parse_filter
from referee.foundation.web.filters.sql import build_sort_key, to_order, to_where
from referee.foundation.web.filters.tree import (
    Comparison,
    Filter,
    FlagValue,
    IdValue,
    NumberValue,
    Sort,
    Term,
    TextValue,
    TimeValue,
    Value,
    WordValue,
)

__all__ = [
    "Comparison",
    "Filter",
    "FilterField",
    "FlagValue",
    "IdValue",
    "NumberValue",
    "Sort",
    "Term",
    "TextValue",
    "TimeValue",
    "Value",
    "WordValue",
    "build_sort_key",
    "parse_filter",
    "to_order",
    "to_where",
]
