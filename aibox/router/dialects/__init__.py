"""The wire formats of models, as pure functions: what is sent, and what is read out of what comes back."""
