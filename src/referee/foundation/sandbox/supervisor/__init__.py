"""The process that stands beside each sandboxed command and ends its whole tree.

It is started apart from Referee, with the standard library only, so that it
starts in milliseconds and outlives a Referee that was killed: the end of its
standard input is its order to kill. The modules here import nothing but each other.
"""
