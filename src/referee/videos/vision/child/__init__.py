"""What reads a clip: runs in its own pinned environment inside the sandbox, and knows nothing of Referee.

Only numpy, the decoder (av) and the models' interpreter (ai_edge_litert) may be imported here.
"""
