"""The vocabulary of Referee: values, enums, protocols, errors, ids and time.

Standard library only, no input or output. Every other room may import from
here; this room imports from none. Names are defined once, in the module named
for their noun (``referee.core.findings.ToolFinding``), and imported from there.
"""
