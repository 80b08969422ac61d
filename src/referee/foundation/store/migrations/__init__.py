"""The schema's history: one file per step in ``versions``, applied in order of its name."""
