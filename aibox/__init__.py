"""AIBox: a self-hosted AI platform for teams who must be able to prove what their AI did."""

__version__ = "0.1.0"
