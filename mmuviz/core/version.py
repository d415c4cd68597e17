"""The version of the package, on the lowest floor because Recordings contain it."""

__version__ = "0.1.0"
