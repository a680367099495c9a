/* DLPack tensors as arguments of fastpool: fills in a fastpool_spec from a DLTensor. For C99 and C++, header only.
 *
 *     #include <dlpack/dlpack.h>           // yours, of any version that says DLDevice
 *     #include <fastpool_dlpack.h>
 *
 *     void *data_of_x, *data_of_y;
 *     fastpool_spec_init(&spec, sizeof spec);
 *     spec.operation = FASTPOOL_MAX;
 *     ...                                  // the window: pooled, axes, kernel, stride, padding
 *     status = fastpool_dlpack_x(&spec, &x->dl_tensor, &data_of_x);
 *     status = fastpool_dlpack_strides(&spec, FASTPOOL_Y_STRIDES, &y->dl_tensor, &data_of_y);
 *     status = fastpool_plan_create(&spec, &plan);
 *     ...                                  // the shape of y against fastpool_output_shape, its type likewise
 *     status = fastpool_forward(plan, data_of_x, data_of_y, NULL, workspace, bytes, 0);
 *
 * Strides are counted in elements on both sides, so nothing is converted and nothing is copied. A tensor stays its
 * owner's: nothing here calls a deleter. Whether a tensor may be written to is for the caller to ask.
 *
 * Statuses: FASTPOOL_UNSUPPORTED for memory of any device but the CPU (pinned memory of CUDA, too: bring such tensors
 * as kDLCPU), for more than one lane, and for element types that fastpool does not have; FASTPOOL_INVALID_RANK for no
 * axes, and for more than FASTPOOL_MAX_RANK; FASTPOOL_INVALID_ARGUMENT for null pointers. With any of them, nothing is
 * written. Sizes and strides are checked by fastpool_plan_create.
 */
#ifndef FASTPOOL_DLPACK_H
#define FASTPOOL_DLPACK_H

#include <fastpool.h>

/* DLPACK_VERSION until 0.8, DLPACK_MAJOR_VERSION since 1.0 */
#if !defined DLPACK_VERSION && !defined DLPACK_MAJOR_VERSION
#error "fastpool_dlpack.h: include dlpack.h before it (https://github.com/dmlc/dlpack); fastpool brings none of its own"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* The element type. It is that of x in a spec; compare those of y and of the indices with fastpool_output_dtype and
 * fastpool_index_dtype. */
static inline fastpool_status fastpool_dlpack_dtype(DLDataType type, fastpool_dtype *dtype)
{
    int found;
    if (!dtype)
        return FASTPOOL_INVALID_ARGUMENT;
    if (type.lanes != 1)
        return FASTPOOL_UNSUPPORTED;
    /* DLPack's codes by their numbers, because older headers lack the name of the last one */
    switch (type.code << 8 | type.bits) {
    case 0 << 8 | 8: found = FASTPOOL_I8; break;
    case 0 << 8 | 16: found = FASTPOOL_I16; break;
    case 0 << 8 | 32: found = FASTPOOL_I32; break;
    case 0 << 8 | 64: found = FASTPOOL_I64; break;
    case 1 << 8 | 8: found = FASTPOOL_U8; break;
    case 1 << 8 | 16: found = FASTPOOL_U16; break;
    case 1 << 8 | 32: found = FASTPOOL_U32; break;
    case 1 << 8 | 64: found = FASTPOOL_U64; break;
    case 2 << 8 | 16: found = FASTPOOL_F16; break;
    case 2 << 8 | 32: found = FASTPOOL_F32; break;
    case 2 << 8 | 64: found = FASTPOOL_F64; break;
    case 4 << 8 | 16: found = FASTPOOL_BF16; break;
    case 5 << 8 | 64: found = FASTPOOL_C64; break;
    case 5 << 8 | 128: found = FASTPOOL_C128; break;
    case 6 << 8 | 8: found = FASTPOOL_BOOL; break;
    default: return FASTPOOL_UNSUPPORTED;
    }
    *dtype = (fastpool_dtype)found;
    return FASTPOOL_OK;
}

/* What is wrong with a tensor whatever it is used for. */
static inline fastpool_status fastpool_dlpack_check(const DLTensor *tensor)
{
    if (!tensor)
        return FASTPOOL_INVALID_ARGUMENT;
    if (tensor->device.device_type != kDLCPU || tensor->dtype.lanes != 1)
        return FASTPOOL_UNSUPPORTED;
    if (tensor->ndim < 1 || tensor->ndim > FASTPOOL_MAX_RANK)
        return FASTPOOL_INVALID_RANK;
    return tensor->shape ? FASTPOOL_OK : FASTPOOL_INVALID_ARGUMENT;
}

/* Sets the strides of one array: which is FASTPOOL_X_STRIDES, FASTPOOL_Y_STRIDES, FASTPOOL_INDEX_STRIDES or
 * FASTPOOL_INPUT_STRIDES. The rank is that of x, which comes first, or FASTPOOL_INVALID_RANK. A tensor without strides
 * is in C order. data receives where the first element is. */
static inline fastpool_status fastpool_dlpack_strides(fastpool_spec *spec, int which, const DLTensor *tensor,
                                                      void **data)
{
    fastpool_status status = fastpool_dlpack_check(tensor);
    int64_t *strides;
    int axis;
    if (status != FASTPOOL_OK)
        return status;
    if (!spec || !data)
        return FASTPOOL_INVALID_ARGUMENT;
    if (tensor->ndim != spec->rank)
        return FASTPOOL_INVALID_RANK;
    switch (which) {
    case FASTPOOL_X_STRIDES: strides = spec->x_strides; break;
    case FASTPOOL_Y_STRIDES: strides = spec->y_strides; break;
    case FASTPOOL_INDEX_STRIDES: strides = spec->index_strides; break;
    case FASTPOOL_INPUT_STRIDES: strides = spec->input_strides; break;
    default: return FASTPOOL_INVALID_ARGUMENT;
    }
    spec->strided &= ~which;
    if (tensor->strides) {
        spec->strided |= which;
        for (axis = 0; axis < tensor->ndim; axis++)
            strides[axis] = tensor->strides[axis];
    }
    *data = tensor->data ? (char *)tensor->data + tensor->byte_offset : NULL;
    return FASTPOOL_OK;
}

/* Sets element type, rank, shape and strides of x, in backward of its gradient; data receives where its first element
 * is. The rest of the spec stays as it is. */
static inline fastpool_status fastpool_dlpack_x(fastpool_spec *spec, const DLTensor *tensor, void **data)
{
    fastpool_dtype dtype;
    fastpool_status status = fastpool_dlpack_check(tensor);
    int axis;
    if (status != FASTPOOL_OK)
        return status;
    if (!spec || !data)
        return FASTPOOL_INVALID_ARGUMENT;
    status = fastpool_dlpack_dtype(tensor->dtype, &dtype);
    if (status != FASTPOOL_OK)
        return status;
    spec->dtype = dtype;
    spec->rank = tensor->ndim;
    for (axis = 0; axis < tensor->ndim; axis++)
        spec->shape[axis] = tensor->shape[axis];
    return fastpool_dlpack_strides(spec, FASTPOOL_X_STRIDES, tensor, data);
}

#ifdef __cplusplus
}
#endif
#endif
