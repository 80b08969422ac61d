"""The tools that judge a subject: ``contract`` says what a tool is, ``registry`` which there are."""
