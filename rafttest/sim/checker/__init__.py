"""The checker: laws, what is remembered to judge them, and what a run must have covered."""
