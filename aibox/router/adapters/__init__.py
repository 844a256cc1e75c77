"""The wire formats that providers speak: how each is asked, and what its answers say."""
