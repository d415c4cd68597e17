"""The version of the package. It stands on the lowest floor, because Recordings name it."""

from typing import Final

__version__: Final = "0.1.0"
