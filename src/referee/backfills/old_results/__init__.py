"""Old analysis results, read in every format they were ever written in, and taken in as analyses."""
