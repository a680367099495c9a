"""These tests run in Numba's simulator, which has to be chosen before Numba is imported: tests/test_cuda.py does it.

By hand: NUMBA_ENABLE_CUDASIM=1 python -m pytest tests/cuda
"""

import os

# elsewhere there is nothing to collect
collect_ignore_glob = [] if os.environ.get("NUMBA_ENABLE_CUDASIM") == "1" else ["test_*.py"]
