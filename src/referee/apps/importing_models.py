"""Reading lists of models: the ``/models`` of an OpenAI-compatible server, one with prices, and CSV.

A list is foreign text: it is bounded, each entry is read by itself, and one that cannot be
used is told and left out.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from referee.apps.catalogue import ModelEntry, make_model_slug
from referee.core.errors import InvalidInput, Unavailable
from referee.core.findings import JsonValue
from referee.core.web_addresses import read_web_address

if TYPE_CHECKING:
    from referee.foundation.outgoing import OutgoingGuard

__all__ = ["ModelListKind", "fetch_model_list", "read_model_list"]

ModelListKind: TypeAlias = Literal["openai", "openrouter", "csv"]
"""``openrouter`` is the list with prices and context."""

MAX_LIST_BYTES: Final = 16_000_000
"""The longest public list has about 1 MB."""
_MAX_MODELS: Final = 20_000
_MAX_CHARACTERS: Final = 200
_TIMEOUT_S: Final = 30.0
_TOKENS_IN_A_MILLION: Final = 1_000_000
_CSV_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "model_name": ("model_name", "model", "id"),
    "slug": ("slug",),
    "name": ("name",),
    "provider": ("provider", "owned_by"),
    "input": ("input_usd_per_mtok",),
    "output": ("output_usd_per_mtok",),
    "context": ("context_tokens", "context_length"),
}
"""What is read → names of columns, the first that is there."""


def read_model_list(
    data: bytes, *, is_csv: bool = False
) -> tuple[list[ModelEntry], ModelListKind, list[str]]:
    """Return the models of a list, of which kind it is, and sentences about entries that were left out.

    Args:
        data: JSON, an object with ``data`` or a list; or CSV with a line of names first.
        is_csv: Which of them.

    Raises:
        InvalidInput: It is no such list, or too long.
    """
    if len(data) > MAX_LIST_BYTES:
        raise _invalid(f"it has more than {MAX_LIST_BYTES:,} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _invalid("it is not UTF-8") from error
    if "\0" in text:
        raise _invalid("it holds a NUL character")
    return _read_csv(text) if is_csv else _read_json(text)


async def fetch_model_list(url: str, guard: OutgoingGuard, api_key: str | None = None) -> bytes:
    """Return what a server answers for its list of models.

    Args:
        url: Of the list, such as ``http://127.0.0.1:8080/v1/models``.
        guard: Judges where it leads.
        api_key: Sent as a bearer token.

    Raises:
        InvalidInput: The address is none, or the answer is too long.
        Forbidden: The address is not public, and no setting allows it.
        Unavailable: There is no answer, or it is no success.
    """
    import httpx  # noqa: PLC0415 - only where a list is fetched

    from referee.foundation.outgoing import GuardedTransport, RefusedAddressError  # noqa: PLC0415 - likewise

    read_web_address(url)
    headers = {"accept": "application/json", "accept-encoding": "identity"}
    if api_key is not None:
        headers["authorization"] = f"Bearer {api_key}"
    body = bytearray()
    try:
        async with (
            httpx.AsyncClient(
                timeout=_TIMEOUT_S, headers=headers, follow_redirects=False, transport=GuardedTransport(guard)
            ) as client,
            client.stream("GET", url) as response,
        ):
            if not response.is_success:
                raise Unavailable(
                    "model.list_refused",
                    f"The server of the list of models answered {response.status_code}.",
                    "Check the address and, if it asks for one, the key in REFEREE_GENERATOR_API_KEY.",
                )
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > MAX_LIST_BYTES:
                    raise _invalid(f"it has more than {MAX_LIST_BYTES:,} bytes")
    except RefusedAddressError as error:
        raise error.reason from error
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise Unavailable(
            "model.list_unreachable",
            f"The list of models cannot be fetched ({type(error).__name__}).",
            "Check the address and that the server runs.",
        ) from error
    return bytes(body)


def _read_json(text: str) -> tuple[list[ModelEntry], ModelListKind, list[str]]:
    try:
        document: JsonValue = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _invalid(f"it is not JSON ({str(error)[:120]})") from error
    listed = document.get("data", document.get("models")) if isinstance(document, dict) else document
    if not isinstance(listed, list):
        raise _invalid("it has no list of models under `data`")
    if len(listed) > _MAX_MODELS:
        raise _invalid(f"it has more than {_MAX_MODELS:,} models")
    entries: list[ModelEntry] = []
    problems: list[str] = []
    has_prices = False
    for number, value in enumerate(listed, start=1):
        if not isinstance(value, dict):
            problems.append(f"Entry {number} is left out: it is not an object.")
            continue
        pricing = value.get("pricing")
        prices = pricing if isinstance(pricing, dict) else {}
        has_prices = has_prices or bool(prices)
        top = value.get("top_provider")
        context = value.get("context_length") or (
            top.get("context_length") if isinstance(top, dict) else None
        )
        _add(
            entries,
            problems,
            f"Entry {number}",
            {
                "model_name": value.get("id"),
                "name": value.get("name"),
                "provider": value.get("owned_by"),
                "input": _per_million(prices.get("prompt")),
                "output": _per_million(prices.get("completion")),
                "context": context,
            },
        )
    return entries, "openrouter" if has_prices else "openai", problems


def _read_csv(text: str) -> tuple[list[ModelEntry], ModelListKind, list[str]]:
    try:
        rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise _invalid(f"it is not CSV ({error})") from error
    if len(rows) > _MAX_MODELS:
        raise _invalid(f"it has more than {_MAX_MODELS:,} models")
    columns = {str(name).strip().lower(): name for name in (rows[0] if rows else {}) if name}
    if not any(name in columns for name in _CSV_NAMES["model_name"]):
        raise _invalid("its first line names no column `model_name`, or no model follows")
    entries: list[ModelEntry] = []
    problems: list[str] = []
    for number, row in enumerate(rows, start=2):
        values: dict[str, JsonValue] = {}
        for key, names in _CSV_NAMES.items():
            column = next((columns[name] for name in names if name in columns), None)
            cell = row.get(column) if column is not None else None
            values[key] = cell.strip() if isinstance(cell, str) and cell.strip() else None
        _add(entries, problems, f"Line {number}", values)
    return entries, "csv", problems


def _add(entries: list[ModelEntry], problems: list[str], place: str, values: Mapping[str, JsonValue]) -> None:
    """Read one entry, or say why it is left out."""
    model_name = _text(values.get("model_name"))
    slug = _text(values.get("slug")) or make_model_slug(model_name)
    if not model_name or not slug or make_model_slug(slug) != slug:
        problems.append(f"{place} is left out: it names no model, or its slug cannot be a folder's name.")
        return
    numbers: dict[str, float | None] = {}
    for key in ("input", "output", "context"):
        value = values.get(key)
        number = _number(value)
        if number is None and value is not None and not (key != "context" and _is_variable(value)):
            problems.append(
                f"{place}, {model_name}: its {key} of {str(value)[:40]!r} is no number and not kept."
            )
        numbers[key] = number
    context = numbers["context"]
    entries.append(
        ModelEntry(
            model_name=model_name,
            slug=slug,
            name=_text(values.get("name")),
            provider=_text(values.get("provider")) or (model_name.split("/")[0] if "/" in model_name else ""),
            input_usd_per_mtok=numbers["input"],
            output_usd_per_mtok=numbers["output"],
            context_tokens=int(context) if context is not None and 1 <= context < 2**31 else None,
        )
    )


def _per_million(value: JsonValue) -> JsonValue:
    """Return a price for one token as one for a million; what is no number stays, to be told."""
    number = _number(value)
    return value if number is None else round(number * _TOKENS_IN_A_MILLION, 9)


def _is_variable(value: JsonValue) -> bool:
    """Return whether a price is the -1 by which a router of models says that it depends."""
    try:
        return float(str(value)) == -1
    except ValueError:
        return False


def _number(value: JsonValue) -> float | None:
    """Return a number of at least 0, also one that is written as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _text(value: JsonValue) -> str:
    text = " ".join(value.split()) if isinstance(value, str) else ""
    printable = "".join(letter for letter in text if letter.isprintable())
    return printable if len(printable) <= _MAX_CHARACTERS else ""


def _invalid(what: str) -> InvalidInput:
    return InvalidInput(
        "model.list_invalid",
        f"The list of models cannot be used: {what}.",
        "Give the JSON of a server's /models, or CSV whose first line is "
        "model_name,name,provider,input_usd_per_mtok,output_usd_per_mtok,context_tokens.",
    )
