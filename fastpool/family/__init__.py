"""The pooling family beyond windows of one size: bins, regions, switches put back, statistics, filters.

The functions are public as ``fastpool.<name>``; a module is loaded when one of its functions is first asked for.
"""
