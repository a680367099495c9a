# cython: language_level=3
"""Pooling in the loop of a Cython module, without the GIL: the functions come with ``cimport``, nothing is linked.

    cythonize -i pooled.pyx     (with the folder that ``python -m fastpool config --includedir`` prints in CFLAGS)
"""
from fastpool.capsules cimport (
    FASTPOOL_F32,
    FASTPOOL_MAX,
    FASTPOOL_OK,
    fastpool_run,
    fastpool_shape_of,
    fastpool_spec,
    fastpool_spec_init,
    fastpool_status,
    fastpool_status_text,
)
from libc.stdint cimport int64_t

import numpy as np


def brightest(const float[:, :, ::1] frames, int64_t k):
    """The largest value of each block of k x k elements, frame by frame."""
    cdef fastpool_spec spec
    cdef int64_t shape[2]
    cdef fastpool_status status
    cdef Py_ssize_t i
    fastpool_spec_init(&spec, sizeof(spec))
    spec.operation = FASTPOOL_MAX
    spec.dtype = FASTPOOL_F32
    spec.rank = spec.pooled = 2
    for i in range(2):
        spec.shape[i] = frames.shape[i + 1]
        spec.axes[i] = i
        spec.kernel[i] = spec.stride[i] = k
    status = fastpool_shape_of(&spec, shape)
    if status != FASTPOOL_OK:
        raise ValueError(fastpool_status_text(status).decode())
    result = np.empty((frames.shape[0], shape[0], shape[1]), np.float32)
    cdef float[:, :, ::1] out = result
    with nogil:
        for i in range(frames.shape[0]):
            status = fastpool_run(&spec, <void *>&frames[i, 0, 0], NULL, NULL, <void *>&out[i, 0, 0], 1)
            if status != FASTPOOL_OK:
                break
    if status != FASTPOOL_OK:
        raise RuntimeError(fastpool_status_text(status).decode())
    return result
