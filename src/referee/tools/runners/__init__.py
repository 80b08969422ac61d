"""Scripts that a tool's own interpreter runs, never Referee's. They import only the tool and the standard library."""
