"""``python -m crstack``: the command."""

import sys

from crstack.cli import main

if __name__ == "__main__":
    sys.exit(main())
