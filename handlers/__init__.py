"""Use cases, one module per family; families never import each other, and none does I/O of its own."""
