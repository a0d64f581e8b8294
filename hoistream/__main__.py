"""`python -m hoistream`: the same as the command `hoistream`."""

from hoistream.cli import main

if __name__ == "__main__":
    main()
