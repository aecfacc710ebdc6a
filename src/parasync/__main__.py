"""`python -m parasync` is the command `parasync`."""

import sys

from parasync.cli import main

if __name__ == "__main__":
    sys.exit(main())
