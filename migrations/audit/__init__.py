"""Lane `audit`: the tenants' logs, their entries, tree nodes, signed heads and verifier keys."""
