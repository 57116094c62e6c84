"""Clients of the neighbours, one module each. Wired by the composition root."""
