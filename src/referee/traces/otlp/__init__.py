"""OTLP: bytes of a trace export request to spans, and the answers it prescribes."""
