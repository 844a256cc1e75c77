"""Knowledge on a real database: what is taken in, who finds it, and what an answer may rest on."""
