"""Run by an environment of OpenInference: an agent asks a local model by OpenAI's client, and its spans are sent."""
# mypy: ignore-errors

from __future__ import annotations

import json
import os

from openai import BadRequestError, OpenAI
from openinference.instrumentation.openai import OpenAIInstrumentor
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

if __name__ == "__main__":
    provider = TracerProvider()
    exporter = OTLPSpanExporter(
        f"{os.environ['HH_API_URL']}/v1/traces",
        headers={"authorization": f"Bearer {os.environ['HH_API_KEY']}"},
    )
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    OpenAIInstrumentor().instrument(tracer_provider=provider)
    client = OpenAI(base_url=os.environ["MODEL_URL"], api_key="none", max_retries=0)
    with provider.get_tracer("agents").start_as_current_span("agent") as root:
        messages = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Name a cat."}]
        said = client.chat.completions.create(model="scripted-1", messages=messages, temperature=0.5)
        try:
            client.chat.completions.create(model="scripted-1", messages=[{"role": "user", "content": "fail"}])
        except BadRequestError:
            root.set_attribute("is_refused", True)
    trace_id = format(root.get_span_context().trace_id, "032x")
    print(json.dumps({"trace_id": trace_id, "said": said.choices[0].message.content}))
