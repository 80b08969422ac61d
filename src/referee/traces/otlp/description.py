"""What OTLP over HTTP takes and answers, for the description of the API.

Source:
    OTLP specification 1.9, OTLP/HTTP; the mapping of protobuf messages to JSON.
"""

from __future__ import annotations

from typing import Any

from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field

from referee.foundation.web.problems import PROBLEM_MEDIA_TYPE

__all__ = ["ExportAnswer", "ExportRequest", "OtlpStatus", "PartialSuccess", "describe_otlp"]

_BYTES = {"application/x-protobuf": {"schema": {"type": "string", "format": "binary"}}}
_REFUSED = {
    400: "The body cannot be decoded.",
    413: "The body, or what it holds unpacked, has more bytes than the limit.",
    415: "The body is neither protobuf nor JSON.",
    429: "The queue is full and nothing was taken; Retry-After says when to send again.",
    503: "Nothing was taken; Retry-After says when to send again.",
    507: "The disk took no more bytes; nothing was taken.",
}


class ExportRequest(BaseModel):
    """``ExportTraceServiceRequest`` as JSON: ids as hex or base64, 64-bit integers as text or number."""

    model_config = ConfigDict(extra="allow")

    resourceSpans: list[dict[str, Any]] = Field(
        default_factory=list,
        description="Resource, scopes and spans.",
        examples=[
            [
                {
                    "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "agent"}}]},
                    "scopeSpans": [
                        {
                            "scope": {"name": "example"},
                            "spans": [
                                {
                                    "traceId": "5b8efff798038103d269b633813fc60c",
                                    "spanId": "eee19b7ec3c1b174",
                                    "name": "answer",
                                    "kind": "SPAN_KIND_INTERNAL",
                                    "startTimeUnixNano": "1796000000000000000",
                                    "endTimeUnixNano": "1796000000250000000",
                                }
                            ],
                        }
                    ],
                }
            ]
        ],
    )


class PartialSuccess(BaseModel):
    """How many spans were refused, and why."""

    rejectedSpans: str = Field(description="A 64-bit integer as text, as protobuf's JSON has it.")
    errorMessage: str


class ExportAnswer(BaseModel):
    """``ExportTraceServiceResponse``: empty when every span was taken."""

    partialSuccess: PartialSuccess | None = Field(default=None, exclude_if=lambda value: value is None)


class OtlpStatus(BaseModel):
    """``google.rpc.Status``: why nothing was taken."""

    code: int = Field(description="Of google.rpc.Code.")
    message: str
    errorCode: str = Field(description="The code as text, for clients that show it.")


def describe_otlp() -> dict[str, Any]:
    """Return what ``add_api_route`` is told of the routes that take spans."""
    refused = {
        status: {
            "description": description,
            "content": {
                "application/json": {"schema": {"$ref": "#/components/schemas/OtlpStatus"}},
                PROBLEM_MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}},
                **_BYTES,
            },
        }
        for status, description in _REFUSED.items()
    }
    request = ExportRequest.model_json_schema()
    return {
        "response_class": Response,
        "responses": {
            200: {
                "description": "What was not refused is on disk.",
                "model": ExportAnswer,
                "content": _BYTES,
            },
            **refused,
            400: {**refused[400], "model": OtlpStatus},
        },
        "openapi_extra": {
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": request}, **_BYTES},
            }
        },
    }
