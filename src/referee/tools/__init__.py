"""The tools that judge a subject. The door is ``contract`` (what a tool is) and ``registry`` (which there are)."""
