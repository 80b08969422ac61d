"""Run by an environment of the OpenTelemetry SDK: sends the same trace by each of its own exporters."""
# mypy: ignore-errors

from __future__ import annotations

import json
import os

from opentelemetry import trace
from opentelemetry.exporter.otlp.json.http.trace_exporter import OTLPSpanExporter as JsonExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as ProtobufExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, SpanContext, Status, StatusCode, TraceFlags

URL = os.environ["HH_API_URL"]
KEY = f"Bearer {os.environ['HH_API_KEY']}"


def send(exporter: object) -> list[object]:
    """Send a trace of three spans. Returns its id and whether all was taken."""
    provider = TracerProvider(resource=Resource.create({"service.name": "shop", "deployment.id": 7}))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    tracer = provider.get_tracer("shop.orders", "2.1")
    other = SpanContext(0xABC, 0xDEF, is_remote=True, trace_flags=TraceFlags(1))
    with tracer.start_as_current_span("order", links=[Link(other, {"why": "retry"})]) as root:
        root.set_attribute("user.id", "user-7")
        root.add_event("paid", {"amount": 2**53 + 1})
        with tracer.start_as_current_span("chat", kind=trace.SpanKind.CLIENT) as chat:
            chat.set_attributes(
                {
                    "gen_ai.operation.name": "chat",
                    "gen_ai.provider.name": "local",
                    "gen_ai.request.model": "small",
                    "gen_ai.usage.input_tokens": 12,
                    "gen_ai.usage.output_tokens": 5,
                    "flags": (True, False),
                }
            )
        with tracer.start_as_current_span("ship") as ship:
            ship.set_status(Status(StatusCode.ERROR, "no lorry"))
    was_taken = provider.force_flush(20_000)
    provider.shutdown()
    return [format(root.get_span_context().trace_id, "032x"), was_taken]


if __name__ == "__main__":
    headers = {"authorization": KEY}
    exporters = {
        "http protobuf": ProtobufExporter(f"{URL}/v1/traces", headers=headers, compression=Compression.Gzip),
        "http json": JsonExporter(f"{URL}/v1/traces", headers=headers),
        "grpc": GrpcExporter(os.environ["GRPC_ADDRESS"], insecure=True, headers=headers),
    }
    print(json.dumps({name: send(exporter) for name, exporter in exporters.items()}))
