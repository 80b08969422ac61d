"""Scripts that run inside the sandbox. Nothing of Referee is imported there."""
