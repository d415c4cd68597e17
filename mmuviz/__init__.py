"""MMUViz shows what a KVM MMU does to huge pages while dirty logging is on."""

__version__ = "0.1.0"
