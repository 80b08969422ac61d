"""Configurations of models, in versions, and the tools that models may call."""
