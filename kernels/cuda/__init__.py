"""How a window moves over memory on a GPU."""
