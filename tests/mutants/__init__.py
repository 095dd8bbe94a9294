"""Mutation testing: bugs of one line, planted into a copy of the source one at a time; each must make a test fail."""
