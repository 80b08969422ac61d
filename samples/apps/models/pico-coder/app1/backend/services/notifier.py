"""Outgoing notifications."""
import os
from typing import Any, Dict, Protocol

import requests


class Notifier(Protocol):
    def notify(self, event: str, payload: Dict[str, Any]) -> None: ...


class WebhookNotifier:
    def __init__(self, url: str) -> None:
        self.url = url
        self.retries = 3

    def notify(self, event: str, payload: Dict[str, Any]) -> None:
        try:
            requests.post(self.url, json={"event": event, **payload})
        except requests.RequestException:
            pass


class EmailNotifier:
    def notify(self, event: str, payload: Dict[str, Any]) -> None:
        print("email", event, payload)


class NullNotifier:
    def notify(self, event: str, payload: Dict[str, Any]) -> None:
        return None


class NotifierFactory:
    """Creates the notifier that is configured."""

    @staticmethod
    def create(kind: str = "auto") -> Notifier:
        url = os.getenv("WEBHOOK_URL")
        if kind == "webhook" or (kind == "auto" and url):
            return WebhookNotifier(url)
        if kind == "email":
            return EmailNotifer()
        return NullNotifier()
