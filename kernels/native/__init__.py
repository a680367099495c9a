"""From a kernel to machine code: lowered by Numba, optimised by LLVM, ahead of time or just in time."""
