/* Random specs from a seed: sound ones are run on small arrays and held against the naive loop; wild ones are planned,
 * asked for all that a plan tells, and dropped.
 *
 *     fuzz [specs] [seed] [malloc]
 *
 * With -DLIBFUZZER the bytes of clang's libFuzzer are the random numbers instead.
 */
#include "check.h"

#include <limits.h>
#include <string.h>

#define MOST_ELEMENTS 1500
#define MOST_OUTPUTS 20000

static int64_t wild(void)
{
    static const int64_t numbers[] = {0, 1, 2, 3, 8, 255, -1, -2, -7, INT32_MAX, INT32_MIN, INT64_C(1) << 32,
                                      INT64_C(1) << 40, INT64_C(1) << 58, INT64_C(1) << 61, INT64_C(1) << 62, INT64_MAX,
                                      INT64_MAX - 1, INT64_MIN, INT64_MIN + 1};
    int64_t number = numbers[below(sizeof numbers / sizeof *numbers)];
    return below(4) ? number : (int64_t)((uint64_t)below(INT64_MAX) << below(64));
}

static void choose_words(fastpool_spec *spec)
{
    spec->operation = (int32_t)below(5);
    spec->direction = (int32_t)below(2);
    spec->dtype = (int32_t)(below(2) ? below(15) : FASTPOOL_F16 + below(4));
    spec->indices = spec->operation <= FASTPOOL_MIN ? (int32_t)between(-1, 2) : FASTPOOL_NO_INDICES;
    spec->skip_nan = !below(3);
    spec->include_pad = (int32_t)below(2);
    spec->ceil_mode = (int32_t)below(2);
    spec->form = below(4) ? 0 : (int32_t)below(17);
    spec->divisor = spec->operation == FASTPOOL_MEAN && !below(6) ? between(1, 9) : 0;
    spec->norm = below(2) ? 2 : (double)between(1, 3);
    spec->strided = below(2) ? 0 : (int32_t)below(16);
}

/* A spec of a small array, its windows mostly such that they fit. */
static void choose_sound(fastpool_spec *spec)
{
    CHECK(!fastpool_spec_init(spec, sizeof *spec));
    choose_words(spec);
    spec->rank = (int32_t)(below(40) ? between(1, 5) : between(1, FASTPOOL_MAX_RANK));
    spec->pooled = (int32_t)between(1, spec->rank < 3 || !below(20) ? spec->rank : 3);
    int64_t room = MOST_ELEMENTS, taps = 1;
    for (int axis = 0; axis < spec->rank; axis++)
        spec->axes[axis] = axis;
    for (int i = spec->rank - 1; i > 0; i--) {
        int64_t j = below(i + 1), axis = spec->axes[i];
        spec->axes[i] = spec->axes[j], spec->axes[j] = axis;
    }
    for (int i = 0; i < spec->rank; i++) {
        int64_t most = room < 40 ? room : below(3) ? 12 : 40, size = most < 1 ? 1 : between(1, most);
        spec->shape[below(4) ? i : spec->axes[i]] = size;
    }
    for (int axis = 0; axis < spec->rank; axis++) {
        int64_t *size = &spec->shape[axis];
        *size = *size < 1 ? 1 : *size > room ? room : *size;
        room = room / *size > 0 ? room / *size : 1;
    }
    for (int p = 0; p < spec->pooled; p++) {
        int64_t n = spec->shape[spec->axes[p]], padded;
        int whole = !below(12);
        spec->kernel[p] = whole ? n : between(1, below(5) ? 3 : 12);
        while (taps * spec->kernel[p] > 300)
            spec->kernel[p] = spec->kernel[p] / 2 + 1 < spec->kernel[p] ? spec->kernel[p] / 2 + 1 : 1;
        taps *= spec->kernel[p];
        spec->stride[p] = below(3) ? between(1, 3) : between(1, 12);
        spec->dilation[p] = below(4) ? 1 : between(1, 4);
        spec->pad_begin[p] = below(2) ? 0 : between(0, below(10) ? 2 : 15);
        spec->pad_end[p] = below(2) ? spec->pad_begin[p] : between(0, below(10) ? 2 : 15);
        padded = n + spec->pad_begin[p] + spec->pad_end[p];
        while (below(50) && spec->kernel[p] > 1 && (spec->kernel[p] - 1) * spec->dilation[p] + 1 > padded)
            spec->kernel[p]--;
    }
    if (!below(60))
        spec->shape[below(spec->rank)] = 0;
    int64_t shape[FASTPOOL_MAX_RANK];
    output_shape(spec, shape);
    for (int axis = 0; axis < spec->rank; axis++)
        if (shape[axis] < 0)
            shape[axis] = 0;
    random_strides(spec->shape, spec->rank, spec->x_strides);
    random_strides(spec->shape, spec->rank, spec->input_strides);
    random_strides(shape, spec->rank, spec->y_strides);
    random_strides(shape, spec->rank, spec->index_strides);
    /* what is only read may lie on itself */
    int64_t *read = spec->direction == FASTPOOL_FORWARD ? spec->x_strides : spec->input_strides;
    if (!below(4))
        read[below(spec->rank)] = between(-2, 2);
    if (spec->direction == FASTPOOL_BACKWARD && !below(4))
        spec->y_strides[below(spec->rank)] = between(-2, 2);
}

static int64_t *some_axis(fastpool_spec *spec)
{
    int64_t *const arrays[] = {spec->shape, spec->x_strides, spec->y_strides, spec->index_strides, spec->input_strides,
                               spec->axes, spec->kernel, spec->stride, spec->dilation, spec->pad_begin, spec->pad_end};
    return &arrays[below(11)][below(below(4) && spec->rank > 0 ? spec->rank : FASTPOOL_MAX_RANK) % FASTPOOL_MAX_RANK];
}

/* Makes a spec wild in a few places, or all over. */
static void spoil(fastpool_spec *spec)
{
    int32_t *const words[] = {&spec->operation, &spec->direction, &spec->dtype,  &spec->indices, &spec->skip_nan,
                              &spec->include_pad, &spec->ceil_mode, &spec->strided, &spec->rank, &spec->pooled,
                              &spec->form};
    if (!below(20)) {
        unsigned char *bytes = (unsigned char *)spec;
        for (size_t i = 0; i < sizeof *spec; i++)
            bytes[i] = (unsigned char)below(256);
        spec->struct_size = below(4) ? sizeof *spec : (uint32_t)wild();
        spec->rank = below(2) ? spec->rank : (int32_t)between(1, 16);
        return;
    }
    for (int64_t times = between(1, 4); times > 0; times--)
        if (below(4))
            *some_axis(spec) = wild();
        else
            *words[below(11)] = (int32_t)(below(2) ? between(-2, 17) : wild());
    if (!below(50))
        spec->divisor = wild();
    if (!below(50))
        spec->norm = (double)wild();
    if (!below(50))
        spec->struct_size = (uint32_t)wild();
}

static fastpool_status plan_only(const fastpool_spec *spec)
{
    fastpool_plan *plan;
    int64_t shape[FASTPOOL_MAX_RANK + 1] = {0};
    fastpool_status status = fastpool_plan_create(spec, &plan);
    CHECK((status == FASTPOOL_OK) == (plan != NULL) && (int)status <= FASTPOOL_OUT_OF_MEMORY);
    if (!plan) {
        fastpool_status sizes = fastpool_shape_of(spec, shape);
        CHECK(sizes == status || (sizes == FASTPOOL_OK && status == FASTPOOL_UNSUPPORTED));
        CHECK(status != FASTPOOL_INVALID_ARGUMENT && !shape[FASTPOOL_MAX_RANK]);
        return status;
    }
    CHECK(!fastpool_output_shape(plan, shape) && !shape[FASTPOOL_MAX_RANK]);
    const int threads[] = {0, 1, 2, 16, INT_MAX, -1};
    for (int i = 0; i < 6; i++) {
        CHECK(fastpool_threads(plan, threads[i]) >= 1);
        CHECK(fastpool_workspace_size(plan, threads[i]) >= fastpool_scratch_size(plan));
    }
    CHECK(fastpool_stages(plan) >= 1 && fastpool_stages(plan) <= 2 && fastpool_shared_size(plan) > 0);
    for (int stage = -1; stage <= 2; stage++)
        CHECK(fastpool_tiles(plan, stage) >= 0);
    int64_t tiles = fastpool_tiles(plan, 0), begin = wild(), end = wild();
    unsigned char work[64];
    int outside = begin < 0 || end > tiles || end < begin;
    fastpool_status ran = FASTPOOL_INVALID_RANGE;
    if (outside && spec->direction == FASTPOOL_BACKWARD)
        ran = fastpool_backward_range(plan, 0, begin, end, work, work, work, work, work, work);
    else if (outside)
        ran = fastpool_forward_range(plan, begin, end, work, work, work, work);
    CHECK(ran == FASTPOOL_INVALID_RANGE);
    CHECK(fastpool_reads_input(plan) == 0 || spec->direction == FASTPOOL_BACKWARD);
    fastpool_plan_destroy(plan);
    return status;
}

static fastpool_status one(int is_wild)
{
    fastpool_spec spec;
    choose_sound(&spec);
    if (is_wild) {
        spoil(&spec);
        return plan_only(&spec);
    }
    /* paddings of many axes multiply */
    int64_t shape[FASTPOOL_MAX_RANK], count = 1;
    output_shape(&spec, shape);
    for (int axis = 0; axis < spec.rank; axis++)
        count *= count > 0 && count <= MOST_OUTPUTS ? shape[axis] : 1;
    if (count > MOST_OUTPUTS)
        return plan_only(&spec);
    int selects = spec.operation <= FASTPOOL_MIN;
    int nan_every = spec.skip_nan ? 3 : (selects || spec.direction == FASTPOOL_FORWARD) && !below(3) ? 20 : 0;
    static const int ways[] = {WHOLE, PARTED, RANGES, AT_ONCE};
    return run_case(&spec, ways[below(4)], nan_every);
}

#ifdef LIBFUZZER
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fastpool_spec spec = {0};
    memcpy(&spec, data, size < sizeof spec ? size : sizeof spec);
    spec.struct_size = sizeof spec;
    plan_only(&spec);
    return 0;
}
#else
int main(int argc, char **argv)
{
    int64_t specs = argc > 1 ? atoll(argv[1]) : 100000, counts[2][FASTPOOL_OUT_OF_MEMORY + 1] = {{0}};
    uint64_t start = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
    use_malloc = argc > 3 && !strcmp(argv[3], "malloc");
    for (int64_t i = 0; i < specs; i++) {
        /* a seed of its own for each, so that one that fails can be run alone: fuzz 1 <seed> */
        seed = (start + (uint64_t)i) * UINT64_C(0x9e3779b97f4a7c15) | 1;
        for (int j = 0; j < 4; j++)
            below(2);
        int is_wild = below(3) != 0;
        if (getenv("FUZZ_VERBOSE"))
            printf("%llu\n", (unsigned long long)(start + (uint64_t)i)), fflush(stdout);
        counts[is_wild][one(is_wild)]++;
    }
    for (int is_wild = 0; is_wild < 2; is_wild++) {
        printf("%s:", is_wild ? "wild" : "sound");
        for (int status = 0; status <= FASTPOOL_OUT_OF_MEMORY; status++)
            if (counts[is_wild][status])
                printf(" %lld %s;", (long long)counts[is_wild][status], fastpool_status_text((fastpool_status)status));
        printf("\n");
    }
    /* most of what is sound runs */
    return counts[0][FASTPOOL_OK] < specs / 8;
}
#endif
