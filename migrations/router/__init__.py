"""Lane `router`: providers, their models, and which models the role aliases lead to."""
