"""The subcommands of `python -m rafttest`, one module each."""
