"""``python -m mmuviz`` is the command ``mmuviz``."""

import sys

from mmuviz.cli import main

if __name__ == "__main__":
    sys.exit(main())
