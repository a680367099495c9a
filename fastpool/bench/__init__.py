"""Benchmarks: real cases, timed beside other libraries and beside the speed of memory, with errors beside speeds.

The command line, the asv suite and ``docs/performance.md`` are made from what is here. asv loads these files from the
working tree while an older fastpool is installed, so they use the public functions and ``fastpool.problem`` alone.
"""
