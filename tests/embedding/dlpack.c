/* fastpool_dlpack.h, as C99 and as C++; prints what is wrong, and ends with 1 then. With
 * DLPACK_HEADER it is compiled against that header, otherwise against the part of DLPack's binary interface that is
 * read. */
#ifdef DLPACK_HEADER
#include DLPACK_HEADER
#else
#include <stdint.h>
#define DLPACK_MAJOR_VERSION 1
enum { kDLCPU = 1, kDLCUDA = 2, kDLCUDAHost = 3 };
typedef struct {
    int32_t device_type, device_id;
} DLDevice;
typedef struct {
    uint8_t code, bits;
    uint16_t lanes;
} DLDataType;
typedef struct {
    void *data;
    DLDevice device;
    int32_t ndim;
    DLDataType dtype;
    int64_t *shape, *strides;
    uint64_t byte_offset;
} DLTensor;
#endif

#include <fastpool_dlpack.h>
#include <stdio.h>
#include <string.h>

#define CHECK(condition) \
    do { \
        if (!(condition)) { \
            printf("line %d: %s\n", __LINE__, #condition); \
            return 1; \
        } \
    } while (0)

static DLTensor tensor(void *data, int code, int bits, int ndim, int64_t *shape, int64_t *strides, uint64_t offset)
{
    DLTensor made;
    memset(&made, 0, sizeof made);
    made.data = data;
    made.device.device_type = kDLCPU;
    made.ndim = ndim;
    made.dtype.code = (uint8_t)code;
    made.dtype.bits = (uint8_t)bits;
    made.dtype.lanes = 1;
    made.shape = shape;
    made.strides = strides;
    made.byte_offset = offset;
    return made;
}

static int element_types(void)
{
    static const struct {
        int code, bits, found;
    } known[] = {
        {0, 8, FASTPOOL_I8},   {0, 16, FASTPOOL_I16}, {0, 32, FASTPOOL_I32},   {0, 64, FASTPOOL_I64},
        {1, 8, FASTPOOL_U8},   {1, 16, FASTPOOL_U16}, {1, 32, FASTPOOL_U32},   {1, 64, FASTPOOL_U64},
        {2, 16, FASTPOOL_F16}, {2, 32, FASTPOOL_F32}, {2, 64, FASTPOOL_F64},   {4, 16, FASTPOOL_BF16},
        {5, 64, FASTPOOL_C64}, {6, 8, FASTPOOL_BOOL}, {5, 128, FASTPOOL_C128},
    };
    DLDataType type;
    fastpool_dtype dtype;
    int code, bits;
    CHECK(sizeof known / sizeof *known == FASTPOOL_C128 + 1);
    type.lanes = 1;
    for (code = 0; code < 256; code++)
        for (bits = 0; bits < 256; bits++) {
            int found = -1;
            unsigned i;
            for (i = 0; i < sizeof known / sizeof *known; i++)
                if (known[i].code == code && known[i].bits == bits)
                    found = known[i].found;
            type.code = (uint8_t)code, type.bits = (uint8_t)bits;
            dtype = FASTPOOL_I8;
            CHECK(fastpool_dlpack_dtype(type, &dtype) == (found < 0 ? FASTPOOL_UNSUPPORTED : FASTPOOL_OK));
            CHECK((int)dtype == (found < 0 ? (int)FASTPOOL_I8 : found));
        }
    type.code = 2, type.bits = 32, type.lanes = 2;
    CHECK(fastpool_dlpack_dtype(type, &dtype) == FASTPOOL_UNSUPPORTED);
    type.lanes = 0;
    CHECK(fastpool_dlpack_dtype(type, &dtype) == FASTPOOL_UNSUPPORTED);
    type.lanes = 1;
    CHECK(fastpool_dlpack_dtype(type, NULL) == FASTPOOL_INVALID_ARGUMENT);
    return 0;
}

static int refusals(void)
{
    int64_t shape[FASTPOOL_MAX_RANK + 1] = {2, 3};
    float data[6] = {0};
    void *found = shape;
    fastpool_spec spec, before;
    const DLTensor good = tensor(data, 2, 32, 2, shape, NULL, 0);
    DLTensor bad;
    CHECK(fastpool_spec_init(&spec, sizeof spec) == FASTPOOL_OK);
    memcpy(&before, &spec, sizeof spec);
#define REFUSED(change, status) \
    bad = good; \
    change; \
    CHECK(fastpool_dlpack_x(&spec, &bad, &found) == status); \
    CHECK(memcmp(&before, &spec, sizeof spec) == 0 && found == shape)
    REFUSED(bad.device.device_type = kDLCUDA, FASTPOOL_UNSUPPORTED);
    REFUSED(bad.device.device_type = kDLCUDAHost, FASTPOOL_UNSUPPORTED);
    REFUSED(bad.dtype.lanes = 4, FASTPOOL_UNSUPPORTED);
    REFUSED(bad.dtype.code = 77, FASTPOOL_UNSUPPORTED);
    REFUSED(bad.dtype.bits = 128, FASTPOOL_UNSUPPORTED);
    REFUSED(bad.ndim = 0, FASTPOOL_INVALID_RANK);
    REFUSED(bad.ndim = -1, FASTPOOL_INVALID_RANK);
    REFUSED(bad.ndim = FASTPOOL_MAX_RANK + 1, FASTPOOL_INVALID_RANK);
    REFUSED(bad.shape = NULL, FASTPOOL_INVALID_ARGUMENT);
    CHECK(fastpool_dlpack_x(&spec, NULL, &found) == FASTPOOL_INVALID_ARGUMENT);
    CHECK(fastpool_dlpack_x(NULL, &good, &found) == FASTPOOL_INVALID_ARGUMENT);
    CHECK(fastpool_dlpack_x(&spec, &good, NULL) == FASTPOOL_INVALID_ARGUMENT);
    CHECK(memcmp(&before, &spec, sizeof spec) == 0);
    /* the rank of x comes first */
    CHECK(fastpool_dlpack_strides(&spec, FASTPOOL_Y_STRIDES, &good, &found) == FASTPOOL_INVALID_RANK);
    CHECK(fastpool_dlpack_x(&spec, &good, &found) == FASTPOOL_OK);
    CHECK(spec.strided == 0 && spec.rank == 2 && spec.shape[1] == 3 && found == data);
    CHECK(fastpool_dlpack_strides(&spec, 3, &good, &found) == FASTPOOL_INVALID_ARGUMENT);
    CHECK(fastpool_dlpack_strides(&spec, 0, &good, &found) == FASTPOOL_INVALID_ARGUMENT);
    return 0;
}

/* The largest of each 2 x 2 block of a transposed matrix that begins inside its memory, into one read backwards. */
static int pooling(void)
{
    int16_t x[64], y[8];
    unsigned char workspace[1 << 16];
    int64_t x_shape[] = {4, 6}, x_strides[] = {1, 5}, y_shape[] = {2, 3}, y_strides[] = {-3, 1};
    const DLTensor from = tensor(x, 0, 16, 2, x_shape, x_strides, 3 * sizeof *x);
    const DLTensor to = tensor(y + 4, 0, 16, 2, y_shape, y_strides, 0);
    const DLTensor plain = tensor(y, 0, 16, 2, y_shape, NULL, 0);
    void *data_of_x, *data_of_y;
    fastpool_spec spec;
    fastpool_plan *plan;
    int i, row, column;
    for (i = 0; i < 64; i++)
        x[i] = (int16_t)(i * 37 % 64);
    for (i = 0; i < 8; i++)
        y[i] = -1;
    CHECK(fastpool_spec_init(&spec, sizeof spec) == FASTPOOL_OK);
    spec.operation = FASTPOOL_MAX;
    spec.pooled = 2;
    for (i = 0; i < 2; i++)
        spec.axes[i] = i, spec.kernel[i] = spec.stride[i] = 2;
    CHECK(fastpool_dlpack_x(&spec, &from, &data_of_x) == FASTPOOL_OK);
    CHECK(data_of_x == x + 3 && spec.dtype == FASTPOOL_I16);
    CHECK(fastpool_dlpack_strides(&spec, FASTPOOL_Y_STRIDES, &plain, &data_of_y) == FASTPOOL_OK);
    CHECK(spec.strided == FASTPOOL_X_STRIDES && data_of_y == y);
    CHECK(fastpool_dlpack_strides(&spec, FASTPOOL_Y_STRIDES, &to, &data_of_y) == FASTPOOL_OK);
    CHECK(spec.strided == (FASTPOOL_X_STRIDES | FASTPOOL_Y_STRIDES) && data_of_y == y + 4);
    CHECK(fastpool_plan_create(&spec, &plan) == FASTPOOL_OK);
    CHECK(fastpool_workspace_size(plan, 1) <= sizeof workspace);
    CHECK(fastpool_forward(plan, data_of_x, data_of_y, NULL, workspace, sizeof workspace, 1) == FASTPOOL_OK);
    fastpool_plan_destroy(plan);
    for (row = 0; row < 2; row++)
        for (column = 0; column < 3; column++) {
            int most = -1;
            for (i = 0; i < 4; i++) {
                const int value = x[3 + 2 * row + i / 2 + 5 * (2 * column + i % 2)];
                most = value > most ? value : most;
            }
            CHECK(y[4 - 3 * row + column] == most);
        }
    CHECK(y[0] == -1 && y[7] == -1);
    /* a spec may be filled in again */
    CHECK(fastpool_dlpack_strides(&spec, FASTPOOL_Y_STRIDES, &plain, &data_of_y) == FASTPOOL_OK);
    CHECK(spec.strided == FASTPOOL_X_STRIDES && data_of_y == y);
    return 0;
}

int main(void)
{
    return element_types() || refusals() || pooling();
}
