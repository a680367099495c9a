"""Pooling on a GPU: the engine behind the public functions for arrays on a CUDA device."""
