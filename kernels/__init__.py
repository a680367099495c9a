"""Arithmetic only: reductions, the kernels that move a window over memory, and the list of them.

Nothing here validates, allocates results, reads the environment or knows another array library.
"""
