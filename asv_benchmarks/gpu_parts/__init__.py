"""The parts of asv_benchmarks/gpu.py."""
