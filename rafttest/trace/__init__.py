"""The trace file: commands, each followed by the output expected of it, and the rules by which outputs are compared."""
