/* What the library says to what makes no sense, and that nothing is written then. */
#include "check.h"

#include <limits.h>
#include <math.h>
#include <string.h>

static fastpool_spec good(void)
{
    fastpool_spec spec;
    CHECK(!fastpool_spec_init(&spec, sizeof spec));
    spec.dtype = FASTPOOL_F32;
    spec.rank = 4;
    spec.pooled = 2;
    spec.shape[0] = 2, spec.shape[1] = 3, spec.shape[2] = 8, spec.shape[3] = 9;
    for (int i = 0; i < 2; i++)
        spec.axes[i] = 2 + i, spec.kernel[i] = 3, spec.stride[i] = 2, spec.pad_begin[i] = spec.pad_end[i] = 1;
    return spec;
}

static void refused(const fastpool_spec *spec, fastpool_status expected, int line)
{
    fastpool_plan *plan = (fastpool_plan *)&plan;
    int64_t shape[FASTPOOL_MAX_RANK];
    float x = 1, y = 2;
    fastpool_status status = fastpool_plan_create(spec, &plan);
    if (status != expected || plan)
        printf("line %d: %s, not %s\n", line, fastpool_status_text(status), fastpool_status_text(expected));
    CHECK(status == expected && !plan);
    CHECK(fastpool_run(spec, &x, &y, NULL, &y, 1) == expected && y == 2);
    if (expected != FASTPOOL_UNSUPPORTED)
        CHECK(fastpool_shape_of(spec, shape) == expected);
}

/* A good spec with one thing changed. */
#define REFUSED(status, change)                                                                                        \
    do {                                                                                                               \
        fastpool_spec spec = good();                                                                                   \
        change;                                                                                                        \
        refused(&spec, FASTPOOL_##status, __LINE__);                                                                   \
    } while (0)

static void bad_specs(void)
{
    const int32_t wild[] = {-1, 2, 99, INT_MAX, INT_MIN};
    for (int i = 0; i < 5; i++) {
        REFUSED(INVALID_OPERATION, spec.direction = wild[i]);
        REFUSED(INVALID_OPERATION, spec.skip_nan = wild[i]);
        REFUSED(INVALID_OPERATION, spec.include_pad = wild[i]);
        REFUSED(INVALID_OPERATION, spec.ceil_mode = wild[i]);
        REFUSED(INVALID_OPERATION, spec.operation = i == 1 ? 5 : wild[i]);
        REFUSED(INVALID_OPERATION, spec.dtype = i == 1 ? 15 : wild[i]);
        REFUSED(INVALID_OPERATION, spec.indices = i == 0 ? -2 : i == 1 ? 3 : wild[i]);
        REFUSED(INVALID_OPERATION, spec.strided = i == 0 ? 16 : i == 1 ? 1 << 20 : wild[i]);
        REFUSED(INVALID_OPERATION, spec.form = i == 0 ? -7 : i == 1 ? -1 : wild[i]);
        REFUSED(INVALID_RANK, spec.rank = i == 1 ? 17 : i == 0 ? 0 : wild[i]);
        REFUSED(INVALID_RANK, spec.pooled = i == 1 ? 5 : i == 0 ? 0 : wild[i]);
    }
    REFUSED(INVALID_OPERATION, spec.operation = FASTPOOL_LP; spec.dtype = FASTPOOL_U8);
    REFUSED(INVALID_OPERATION, spec.operation = FASTPOOL_MEAN; spec.indices = FASTPOOL_PLANE);
    REFUSED(INVALID_OPERATION, spec.dtype = FASTPOOL_C64);
    REFUSED(INVALID_OPERATION, spec.divisor = 3);
    const double norms[] = {0, -1, NAN, INFINITY, -INFINITY, -0.0};
    for (int i = 0; i < 6; i++)
        REFUSED(INVALID_OPERATION, spec.operation = FASTPOOL_LP; spec.norm = norms[i]);

    const uint32_t sizes[] = {0, 4, sizeof(fastpool_spec) - 1, sizeof(fastpool_spec) + 1, UINT_MAX};
    for (int i = 0; i < 5; i++)
        REFUSED(INVALID_SPEC, spec.struct_size = sizes[i]);

    const int64_t below_zero[] = {-1, INT64_MIN, -(INT64_C(1) << 40)};
    for (int i = 0; i < 3; i++) {
        REFUSED(INVALID_SIZE, spec.shape[i] = below_zero[i]);
        REFUSED(INVALID_AXIS, spec.axes[1] = below_zero[i]);
        REFUSED(INVALID_WINDOW, spec.kernel[1] = below_zero[i]);
        REFUSED(INVALID_WINDOW, spec.stride[1] = below_zero[i]);
        REFUSED(INVALID_WINDOW, spec.dilation[0] = below_zero[i]);
        REFUSED(INVALID_WINDOW, spec.pad_begin[0] = below_zero[i]);
        REFUSED(INVALID_WINDOW, spec.pad_end[1] = below_zero[i]);
    }
    REFUSED(INVALID_SIZE, spec.shape[3] = 0);
    REFUSED(INVALID_AXIS, spec.axes[1] = 4);
    REFUSED(INVALID_AXIS, spec.axes[1] = 2);
    REFUSED(INVALID_AXIS, spec.axes[1] = INT64_MAX);
    REFUSED(INVALID_WINDOW, spec.kernel[0] = 0);
    REFUSED(INVALID_WINDOW, spec.stride[0] = 0);
    REFUSED(INVALID_WINDOW, spec.dilation[0] = 0);
    REFUSED(WINDOW_TOO_LARGE, spec.kernel[0] = 11);
    REFUSED(WINDOW_TOO_LARGE, spec.dilation[1] = 6);
    REFUSED(WINDOW_TOO_LARGE, spec.dilation[1] = INT64_C(1) << 61);
    REFUSED(OVERFLOW, spec.shape[0] = INT64_MAX);
    REFUSED(OVERFLOW, spec.shape[0] = spec.shape[1] = INT64_C(1) << 31);
    REFUSED(OVERFLOW, spec.kernel[0] = INT64_MAX; spec.dilation[0] = 2);
    REFUSED(OVERFLOW, spec.pad_begin[0] = spec.pad_end[0] = INT64_MAX);
    REFUSED(OVERFLOW, spec.pad_begin[0] = INT64_MAX);
    REFUSED(OVERFLOW, spec.strided = FASTPOOL_X_STRIDES; spec.x_strides[0] = INT64_MAX);
    REFUSED(OVERFLOW, spec.strided = FASTPOOL_Y_STRIDES; spec.y_strides[3] = INT64_MIN);
    REFUSED(OVERFLOW, spec.strided = FASTPOOL_INPUT_STRIDES; spec.input_strides[2] = INT64_MIN / 2);
    REFUSED(OVERFLOW, spec.strided = FASTPOOL_INDEX_STRIDES; spec.index_strides[2] = INT64_C(1) << 61);
    REFUSED(UNSUPPORTED, spec.kernel[0] = spec.kernel[1] = 16; spec.pad_end[0] = spec.pad_end[1] = 9;
            spec.indices = FASTPOOL_TAP);
}

static void null_pointers(void)
{
    fastpool_spec spec = good();
    fastpool_plan *plan = NULL;
    int64_t shape[FASTPOOL_MAX_RANK];
    float x = 1, y = 2;
    CHECK(fastpool_spec_init(NULL, sizeof spec) == FASTPOOL_INVALID_ARGUMENT);
    CHECK(fastpool_spec_init(&spec, 0) == FASTPOOL_INVALID_SPEC && spec.rank == 4);
    CHECK(fastpool_spec_init(&spec, SIZE_MAX) == FASTPOOL_INVALID_SPEC && spec.rank == 4);
    CHECK(fastpool_plan_create(NULL, &plan) == FASTPOOL_INVALID_ARGUMENT);
    CHECK(fastpool_plan_create(&spec, NULL) == FASTPOOL_INVALID_ARGUMENT);
    CHECK(fastpool_plan_create(NULL, NULL) == FASTPOOL_INVALID_ARGUMENT);
    CHECK(fastpool_shape_of(NULL, shape) == FASTPOOL_INVALID_ARGUMENT);
    CHECK(fastpool_shape_of(&spec, NULL) == FASTPOOL_INVALID_ARGUMENT);
    CHECK(fastpool_run(NULL, &x, NULL, NULL, &y, 1) == FASTPOOL_INVALID_ARGUMENT);
    CHECK(fastpool_run(&spec, NULL, NULL, NULL, &y, 1) == FASTPOOL_INVALID_ARGUMENT);
    CHECK(fastpool_run(&spec, &x, NULL, NULL, NULL, 1) == FASTPOOL_INVALID_ARGUMENT);
    CHECK(fastpool_output_shape(NULL, shape) == FASTPOOL_INVALID_ARGUMENT);
    CHECK(fastpool_forward(NULL, &x, &y, NULL, &x, 4, 1) == FASTPOOL_INVALID_ARGUMENT);
    CHECK(fastpool_backward(NULL, &x, NULL, NULL, &y, &x, 4, 1) == FASTPOOL_INVALID_ARGUMENT);
    CHECK(fastpool_forward_range(NULL, 0, 0, &x, &y, NULL, &x) == FASTPOOL_INVALID_ARGUMENT);
    CHECK(fastpool_backward_range(NULL, 0, 0, 0, &x, &x, NULL, &y, &x, &x) == FASTPOOL_INVALID_ARGUMENT);
    CHECK(fastpool_shared_init(NULL, &x) == FASTPOOL_INVALID_ARGUMENT);
    CHECK(fastpool_shared_status(NULL, &x) == FASTPOOL_INVALID_ARGUMENT);
    CHECK(!fastpool_workspace_size(NULL, 1) && !fastpool_scratch_size(NULL) && !fastpool_shared_size(NULL));
    CHECK(!fastpool_stages(NULL) && !fastpool_tiles(NULL, 0) && !fastpool_reads_input(NULL));
    CHECK(fastpool_threads(NULL, 4) == 1);
    fastpool_output_dtype(NULL), fastpool_index_dtype(NULL), fastpool_plan_destroy(NULL);
    CHECK(y == 2);
    CHECK(fastpool_abi() == FASTPOOL_ABI && !strcmp(fastpool_version(), FASTPOOL_VERSION) && *fastpool_cpu_level());
    const int statuses[] = {-1, 15, INT_MAX, INT_MIN};
    for (int i = 0; i < 4; i++)
        CHECK(!strcmp(fastpool_status_text((fastpool_status)statuses[i]), "unknown status"));
    for (int status = 0; status <= FASTPOOL_OUT_OF_MEMORY; status++)
        CHECK(strlen(fastpool_status_text((fastpool_status)status)) > 5);
}

/* A workspace a byte too small, missing arrays, and ranges that are not the plan's, forward. */
static void bad_runs(void)
{
    fastpool_spec spec = good();
    fastpool_plan *plan;
    spec.indices = FASTPOOL_PLANE;
    CHECK(!fastpool_plan_create(&spec, &plan));
    float x[2 * 3 * 8 * 9] = {0}, y[2 * 3 * 4 * 5];
    int64_t indices[2 * 3 * 4 * 5];
    memset(y, 7, sizeof y);
    size_t bytes = fastpool_workspace_size(plan, 1);
    unsigned char *work = reserve_work(WORKSPACE, bytes);
    CHECK(fastpool_forward(plan, NULL, y, indices, work, bytes, 1) == FASTPOOL_INVALID_ARGUMENT);
    CHECK(fastpool_forward(plan, x, NULL, indices, work, bytes, 1) == FASTPOOL_INVALID_ARGUMENT);
    CHECK(fastpool_forward(plan, x, y, NULL, work, bytes, 1) == FASTPOOL_INVALID_ARGUMENT);
    CHECK(fastpool_forward(plan, x, y, indices, NULL, bytes, 1) == FASTPOOL_INVALID_ARGUMENT);
    CHECK(fastpool_backward(plan, y, x, indices, x, work, bytes, 1) == FASTPOOL_INVALID_ARGUMENT);
    for (size_t less = 0; less < bytes; less += 1 + less / 3)
        CHECK(fastpool_forward(plan, x, y, indices, work, less, 1) == FASTPOOL_WORKSPACE_TOO_SMALL);
    CHECK(fastpool_forward(plan, x, y, indices, work, bytes - 1, 1) == FASTPOOL_WORKSPACE_TOO_SMALL);
    int64_t tiles = fastpool_tiles(plan, 0);
    const int64_t ranges[][2] = {{-1, 1}, {0, tiles + 1}, {2, 1}, {tiles, tiles + 1}, {INT64_MIN, INT64_MAX},
                                 {INT64_MAX, INT64_MIN}, {INT64_MIN, 0}, {-2, -1}, {tiles + 5, tiles + 5}};
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        CHECK(fastpool_forward_range(plan, ranges[i][0], ranges[i][1], x, y, indices, work) == FASTPOOL_INVALID_RANGE);
    CHECK(fastpool_forward_range(plan, 0, tiles, x, y, indices, NULL) == FASTPOOL_INVALID_ARGUMENT);
    CHECK(fastpool_forward_range(plan, 0, tiles, x, y, NULL, work) == FASTPOOL_INVALID_ARGUMENT);
    CHECK(fastpool_backward_range(plan, 0, 0, 1, y, x, indices, x, NULL, work) == FASTPOOL_INVALID_ARGUMENT);
    CHECK(!fastpool_tiles(plan, -1) && !fastpool_tiles(plan, 1) && !fastpool_tiles(plan, INT_MAX));
    for (size_t i = 0; i < sizeof y; i++)
        CHECK(((unsigned char *)y)[i] == 7);
    /* fewer threads run in what is enough for one; so do silly numbers of threads */
    const int threads[] = {2, 1000, INT_MAX, 0, -1, INT_MIN};
    for (int i = 0; i < 6; i++)
        CHECK(!fastpool_forward(plan, x, y, indices, work, bytes, threads[i]) && is_clean(WORKSPACE));
    CHECK(fastpool_threads(plan, INT_MIN) == 1);
    fastpool_plan_destroy(plan);
}

/* Indices that name no tap of their window: none of the gradient is written. */
static void bad_indices(void)
{
    const int64_t wrong[] = {-2, 72, 1000, INT64_MAX, INT64_MIN, 30};
    for (int kind = FASTPOOL_PLANE; kind <= FASTPOOL_TAP; kind++)
        for (int i = 0; i < 6; i++) {
            fastpool_spec spec = good();
            fastpool_plan *plan;
            spec.direction = FASTPOOL_BACKWARD;
            spec.indices = kind;
            spec.shape[0] = spec.shape[1] = 1;
            CHECK(!fastpool_plan_create(&spec, &plan));
            float dx[8 * 9], dy[4 * 5] = {0};
            int64_t indices[4 * 5];
            unsigned char taps[4 * 5];
            for (int o = 0; o < 20; o++)
                indices[o] = o / 5 * 2 * 9 + o % 5 * 2, taps[o] = 4;
            memset(dx, 7, sizeof dx);
            size_t bytes = fastpool_workspace_size(plan, 1);
            void *work = reserve_work(WORKSPACE, bytes), *given = kind == FASTPOOL_TAP ? (void *)taps : indices;
            indices[19] = wrong[i], taps[19] = i % 2 ? 9 : 254;
            CHECK(fastpool_backward(plan, dy, NULL, given, dx, work, bytes, 1) == FASTPOOL_INVALID_INDICES);
            CHECK(fastpool_run(&spec, NULL, dy, given, dx, 1) == FASTPOOL_INVALID_INDICES);
            unsigned char *shared = reserve_work(SHARED, fastpool_shared_size(plan));
            unsigned char *scratch = reserve_work(SCRATCH, fastpool_scratch_size(plan));
            CHECK(!fastpool_shared_init(plan, shared) && fastpool_stages(plan) == 2);
            CHECK(fastpool_backward_range(plan, 0, 0, 1, dy, NULL, given, dx, NULL, scratch) ==
                  FASTPOOL_INVALID_ARGUMENT);
            CHECK(!fastpool_shared_status(plan, shared));
            CHECK(!fastpool_backward_range(plan, 0, 0, fastpool_tiles(plan, 0), dy, NULL, given, dx, shared, scratch));
            CHECK(fastpool_shared_status(plan, shared) == FASTPOOL_INVALID_INDICES);
            CHECK(fastpool_backward_range(plan, 2, 0, 1, dy, NULL, given, dx, shared, scratch) ==
                  FASTPOOL_INVALID_RANGE);
            CHECK(fastpool_backward(plan, NULL, NULL, given, dx, work, bytes, 1) == FASTPOOL_INVALID_ARGUMENT);
            CHECK(fastpool_backward(plan, dy, NULL, NULL, dx, work, bytes, 1) == FASTPOOL_INVALID_ARGUMENT);
            CHECK(fastpool_backward(plan, dy, NULL, given, NULL, work, bytes, 1) == FASTPOOL_INVALID_ARGUMENT);
            CHECK(fastpool_backward(plan, dy, NULL, given, dx, NULL, bytes, 1) == FASTPOOL_INVALID_ARGUMENT);
            CHECK(fastpool_backward(plan, dy, NULL, given, dx, work, bytes - 1, 1) == FASTPOOL_WORKSPACE_TOO_SMALL);
            CHECK(fastpool_forward(plan, dy, dx, given, work, bytes, 1) == FASTPOOL_INVALID_ARGUMENT);
            for (size_t b = 0; b < sizeof dx; b++)
                CHECK(((unsigned char *)dx)[b] == 7);
            fastpool_plan_destroy(plan);
        }
}

/* A gradient that reads the forward's input does not do without. */
static void no_input(void)
{
    fastpool_spec spec = good();
    fastpool_plan *plan;
    spec.direction = FASTPOOL_BACKWARD;
    CHECK(!fastpool_plan_create(&spec, &plan) && fastpool_reads_input(plan));
    float x[2 * 3 * 8 * 9] = {0}, dx[2 * 3 * 8 * 9], dy[2 * 3 * 4 * 5] = {0};
    size_t bytes = fastpool_workspace_size(plan, 1);
    void *work = reserve_work(WORKSPACE, bytes);
    CHECK(fastpool_backward(plan, dy, NULL, NULL, dx, work, bytes, 1) == FASTPOOL_INVALID_ARGUMENT);
    CHECK(!fastpool_backward(plan, dy, x, NULL, dx, work, bytes, 1) && is_clean(WORKSPACE));
    fastpool_plan_destroy(plan);
}

static void one_call(void)
{
    float x[2 * 3 * 5 * 6], y[2 * 3 * 3 * 3];
    uint8_t image[5 * 6 * 2], small[3 * 3 * 2];
    for (int i = 0; i < 180; i++)
        x[i] = (float)(i * 7 % 64);
    for (int i = 0; i < 60; i++)
        image[i] = (uint8_t)(i * 37 % 256);
    CHECK(fastpool_output_size(5, 3, 2, 1) == 3 && fastpool_output_size(6, 3, 2, 1) == 3);
    CHECK(!fastpool_max_pool2d_f32(x, y, 2, 3, 5, 6, 3, 2, 1, 2));
    for (int at = 0; at < 54; at++) {
        float best = -1;
        for (int h = at / 3 % 3 * 2 - 1; h < at / 3 % 3 * 2 + 2; h++)
            for (int w = at % 3 * 2 - 1; w < at % 3 * 2 + 2; w++)
                if (h >= 0 && h < 5 && w >= 0 && w < 6)
                    best = fmaxf(best, x[at / 9 * 30 + h * 6 + w]);
        CHECK(y[at] == best);
    }
    CHECK(!fastpool_avg_pool2d_f32(x, y, 2, 3, 5, 6, 2, 2, 0, 1));
    CHECK(y[0] == (x[0] + x[1] + x[6] + x[7]) / 4 && y[35] == (x[166] + x[167] + x[172] + x[173]) / 4);
    CHECK(!fastpool_max_pool2d_u8(image, small, 1, 5, 6, 2, 5, 1, 0, 1));
    CHECK(!fastpool_avg_pool2d_u8(image, small, 1, 5, 6, 2, 2, 2, 0, 1));
    CHECK(small[1] == (image[1] + image[3] + image[13] + image[15]) / 4);
    CHECK(fastpool_max_pool2d_f32(NULL, y, 2, 3, 5, 6, 3, 2, 1, 1) == FASTPOOL_INVALID_ARGUMENT);
    CHECK(fastpool_avg_pool2d_u8(image, NULL, 1, 5, 6, 2, 2, 2, 0, 1) == FASTPOOL_INVALID_ARGUMENT);
    CHECK(fastpool_max_pool2d_f32(x, y, -1, 3, 5, 6, 3, 2, 1, 1) == FASTPOOL_INVALID_SIZE);
    CHECK(fastpool_max_pool2d_f32(x, y, 2, 3, 5, 6, 0, 2, 1, 1) == FASTPOOL_INVALID_WINDOW);
    CHECK(fastpool_max_pool2d_f32(x, y, 2, 3, 5, 6, 9, 2, 1, 1) == FASTPOOL_WINDOW_TOO_LARGE);
    CHECK(fastpool_max_pool2d_u8(image, small, INT64_MAX, INT64_MAX, 6, 2, 2, 2, 0, 1) == FASTPOOL_OVERFLOW);
    CHECK(!fastpool_max_pool2d_f32(NULL, NULL, 0, 3, 5, 6, 3, 2, 1, 1));
    const int64_t wild[] = {0, -1, INT64_MIN, INT64_MAX, 7};
    for (int i = 0; i < 5 * 5 * 5 * 5; i++) {
        int64_t found = fastpool_output_size(wild[i % 5], wild[i / 5 % 5], wild[i / 25 % 5], wild[i / 125]);
        CHECK(found >= 0);
    }
}

int main(int argc, char **argv)
{
    use_malloc = argc > 1 && !strcmp(argv[1], "malloc");
    bad_specs();
    null_pointers();
    bad_runs();
    bad_indices();
    no_input();
    one_call();
    printf("every error as it should be\n");
    return 0;
}
