"""Other vendors' command line clients, installed by `make clients`, against a whole AIBox."""
