"""Lane `memory`: what is remembered of people, and how it changed."""
