"""Steps of the schema.

A file ``NNNN_<what>.py`` has ``revision = "NNNN_<what>"``, and each follows the one before.
A downgrade that would lose what people did raises ``referee.core.errors.Conflict`` with the reason.
"""
