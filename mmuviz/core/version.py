"""The version of the package. It stands on the lowest floor, because Recordings name it."""

__version__ = "0.1.0"
