"""The C library: its header, the C around the kernels, and the build that compiles them ahead of time."""
