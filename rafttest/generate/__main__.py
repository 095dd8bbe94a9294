"""`python -m rafttest.generate`: write random traces; see `random_script`."""

from rafttest.generate.random_script import main

if __name__ == "__main__":
    main()
