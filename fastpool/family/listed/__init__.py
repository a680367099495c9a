"""The rows of the table of operations, by subject; see ``fastpool.family.operations``."""
