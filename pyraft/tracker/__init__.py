"""A leader's view of its followers, and which of them count.

Read in this order: `inflights` (the window of one follower), `progress` (one follower), `configuration` (who takes
part), `tracker` (all of them, and what they agree on).
"""
