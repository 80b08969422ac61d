"""Talking to a running app as a client would; runs inside the app's network with the standard library alone."""
