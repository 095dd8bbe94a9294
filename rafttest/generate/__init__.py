"""Random traces, for the reference to answer and for this project to reproduce."""
