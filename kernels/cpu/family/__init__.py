"""Kernels of the pooling family that no window of one size describes; see ``fastpool.kernels.programs``."""
