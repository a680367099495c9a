/* One spec, run in every way that there is, and held against the naive loop. */
#include "check.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

#define THREADS 3
#define UNTOUCHED 0x5a

uint64_t seed = 1;

int64_t below(int64_t n)
{
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    return (int64_t)((seed >> 11) % (uint64_t)n);
}

int64_t between(int64_t low, int64_t high)
{
    return low + below(high - low + 1);
}

void random_strides(const int64_t *shape, int rank, int64_t *strides)
{
    int order[FASTPOOL_MAX_RANK];
    int64_t step = between(1, 2);
    for (int i = 0; i < rank; i++)
        order[i] = i;
    for (int i = rank - 1; i >= 0; i--) {
        int j = below(3) ? i : (int)below(i + 1), axis = order[j];
        order[j] = order[i];
        strides[axis] = below(3) ? step : -step;
        step = step * (shape[axis] > 1 ? shape[axis] : 1) + (below(3) ? 0 : between(1, 5));
    }
}

static void print_axes(const char *name, const int64_t *values, int count)
{
    printf(" %s", name);
    for (int i = 0; i < count; i++)
        printf("%c%lld", i ? ',' : ' ', (long long)values[i]);
}

void describe(const fastpool_spec *spec)
{
    int rank = spec->rank < 1 || spec->rank > FASTPOOL_MAX_RANK ? 0 : spec->rank;
    int pooled = spec->pooled < 1 || spec->pooled > rank ? 0 : spec->pooled;
    printf("operation %d direction %d dtype %d indices %d skip_nan %d include_pad %d ceil %d strided %d form %d "
           "divisor %lld norm %g rank %d pooled %d",
           spec->operation, spec->direction, spec->dtype, spec->indices, spec->skip_nan, spec->include_pad,
           spec->ceil_mode, spec->strided, spec->form, (long long)spec->divisor, spec->norm, spec->rank, spec->pooled);
    print_axes("shape", spec->shape, rank), print_axes("x", spec->x_strides, rank);
    print_axes("y", spec->y_strides, rank), print_axes("index", spec->index_strides, rank);
    print_axes("input", spec->input_strides, rank), print_axes("axes", spec->axes, pooled);
    print_axes("kernel", spec->kernel, pooled), print_axes("stride", spec->stride, pooled);
    print_axes("dilation", spec->dilation, pooled);
    print_axes("begin", spec->pad_begin, pooled), print_axes("end", spec->pad_end, pooled);
    printf("\n");
}

/* An array of the case: exactly its bytes, from its lowest element to its highest. */
struct array {
    int place, dtype, rank;
    const int64_t *shape;
    int64_t strides[FASTPOOL_MAX_RANK], count;
    size_t bytes;
    unsigned char *lowest, *first;
};

static void make_array(struct array *array, int place, int dtype, const fastpool_spec *spec, const int64_t *shape,
                       const int64_t *strides)
{
    int64_t low = 0, high = 0, dense = 1;
    *array = (struct array){.place = place, .dtype = dtype, .rank = spec->rank, .shape = shape, .count = 1};
    for (int i = spec->rank - 1; i >= 0; i--) {
        array->strides[i] = strides ? strides[i] : dense;
        dense *= shape[i];
        array->count *= shape[i];
        int64_t reach = shape[i] > 0 ? (shape[i] - 1) * array->strides[i] : 0;
        *(reach < 0 ? &low : &high) += reach;
    }
    array->bytes = array->count ? (size_t)(high - low + 1) * item_size(dtype) : 0;
    array->lowest = reserve(place, array->bytes, (int)below(2));
    array->first = array->lowest - low * (int64_t)item_size(dtype);
    memset(array->lowest, UNTOUCHED, array->bytes);
}

/* Element number i in C order. */
static unsigned char *element(const struct array *array, int64_t i)
{
    int64_t offset = 0;
    for (int axis = array->rank - 1; axis >= 0; axis--) {
        offset += i % array->shape[axis] * array->strides[axis];
        i /= array->shape[axis];
    }
    return array->first + offset * (int64_t)item_size(array->dtype);
}

static struct number small(int dtype)
{
    double low = dtype == FASTPOOL_BOOL || (dtype >= FASTPOOL_U8 && dtype <= FASTPOOL_U64) ? 0 : -8;
    double high = dtype == FASTPOOL_BOOL ? 1 : 8;
    return (struct number){(double)between((int64_t)low, (int64_t)high),
                           is_complex(dtype) ? (double)between(-8, 8) : 0};
}

/* Random values; what was written is read again, because elements of an input may be one and the same. */
static struct number *fill(struct array *array, int nan_every)
{
    struct number *values = malloc(((size_t)array->count + 1) * sizeof *values);
    for (int64_t i = 0; i < array->count; i++) {
        struct number value = small(array->dtype);
        if (nan_every && !is_integer(array->dtype) && !below(nan_every))
            *(is_complex(array->dtype) && below(2) ? &value.im : &value.re) = NAN;
        store(array->dtype, element(array, i), value);
    }
    for (int64_t i = 0; i < array->count; i++)
        values[i] = load(array->dtype, element(array, i));
    return values;
}

static double rounding(int dtype)
{
    int single = dtype == FASTPOOL_F32 || dtype == FASTPOOL_C64;
    return dtype == FASTPOOL_F16 ? 0x1p-11 : dtype == FASTPOOL_BF16 ? 0x1p-8 : single ? 0x1p-24 : 0x1p-53;
}

static int near(double found, double expected, double error)
{
    return found == expected || fabs(found - expected) <= error;
}

/* Holds an output against what it should be; error is how far off each element may be, and null for not at all. */
static void compare(const fastpool_spec *spec, const char *what, const struct array *array,
                    const struct number *expected, const double *error)
{
    size_t size = item_size(array->dtype);
    unsigned char *touched = calloc(array->bytes + 1, 1);
    for (int64_t i = 0; i < array->count; i++) {
        unsigned char *found = element(array, i), wanted[16];
        store(array->dtype, wanted, expected[i]);
        memset(touched + (found - array->lowest), 1, size);
        struct number a = load(array->dtype, found), b = load(array->dtype, wanted);
        /* the same bits, but for the sign of a zero; a NaN is the canonical one */
        int same = !memcmp(found, wanted, size) || (!is_integer(array->dtype) && a.re == b.re && a.im == b.im);
        /* off from what was not rounded yet, by its rounding too */
        if (!same && !(error && near(a.re, expected[i].re, error[i]) && near(a.im, expected[i].im, error[i]))) {
            printf("%s: element %lld is %.17g %.17g, not %.17g %.17g\n", what, (long long)i, a.re, a.im, b.re, b.im);
            describe(spec);
            exit(1);
        }
    }
    for (size_t i = 0; i < array->bytes; i++)
        if (!touched[i] && array->lowest[i] != UNTOUCHED) {
            printf("%s: wrote byte %zu, which is between its elements\n", what, i);
            describe(spec);
            exit(1);
        }
    free(touched);
}

struct run {
    const fastpool_spec *spec;
    fastpool_plan *plan;
    struct array x, y, indices, dx;
    void *index_memory; /* null without indices */
    /* for threads of the caller's */
    unsigned char *shared, *scratch[THREADS];
    int stage;
    int64_t next;
    pthread_mutex_t mutex;
};

static fastpool_status run_whole(struct run *run, int threads)
{
    size_t bytes = fastpool_workspace_size(run->plan, threads);
    void *work = reserve_work(WORKSPACE, bytes);
    if (run->spec->direction == FASTPOOL_FORWARD)
        return fastpool_forward(run->plan, run->x.first, run->y.first, run->index_memory, work, bytes, threads);
    return fastpool_backward(run->plan, run->y.first, run->x.first, run->index_memory, run->dx.first, work, bytes,
                             threads);
}

static void run_tiles(struct run *run, int64_t begin, int64_t end, void *scratch)
{
    if (run->spec->direction == FASTPOOL_FORWARD)
        CHECK(!fastpool_forward_range(run->plan, begin, end, run->x.first, run->y.first, run->index_memory, scratch));
    else
        CHECK(!fastpool_backward_range(run->plan, run->stage, begin, end, run->y.first, run->x.first,
                                       run->index_memory, run->dx.first, run->shared, scratch));
}

static void *take_tiles(void *argument)
{
    struct run *run = argument;
    pthread_mutex_lock(&run->mutex);
    void *scratch = run->scratch[0];
    memmove(run->scratch, run->scratch + 1, (THREADS - 1) * sizeof *run->scratch);
    int64_t tiles = fastpool_tiles(run->plan, run->stage);
    while (run->next < tiles) {
        int64_t begin = run->next, end = begin + 1 + tiles / 7;
        run->next = end = end < tiles ? end : tiles;
        pthread_mutex_unlock(&run->mutex);
        run_tiles(run, begin, end, scratch);
        pthread_mutex_lock(&run->mutex);
    }
    pthread_mutex_unlock(&run->mutex);
    return NULL;
}

static fastpool_status run_ranges(struct run *run, int own_threads)
{
    size_t bytes = fastpool_scratch_size(run->plan);
    run->shared = reserve_work(SHARED, fastpool_shared_size(run->plan));
    CHECK(!fastpool_shared_init(run->plan, run->shared));
    int stages = fastpool_stages(run->plan);
    for (run->stage = 0; run->stage < stages; run->stage++) {
        int64_t tiles = fastpool_tiles(run->plan, run->stage);
        for (int i = 0; i < (own_threads ? THREADS : 1); i++)
            run->scratch[i] = reserve_work(SCRATCH + i, bytes);
        if (own_threads) {
            pthread_t threads[THREADS];
            run->next = 0;
            for (int i = 0; i < THREADS; i++)
                CHECK(!pthread_create(&threads[i], NULL, take_tiles, run));
            for (int i = 0; i < THREADS; i++)
                CHECK(!pthread_join(threads[i], NULL));
        }
        for (int64_t end = tiles, begin; !own_threads && end > 0; end = begin) {
            begin = end - between(1, end);
            run_tiles(run, begin, end, run->scratch[0]);
        }
        CHECK(!fastpool_shared_status(run->plan, run->shared));
    }
    return FASTPOOL_OK;
}

static fastpool_status run_way(struct run *run, int way)
{
    if (way == RANGES || way == OWN)
        return run_ranges(run, way == OWN);
    if (way != AT_ONCE)
        return run_whole(run, way == PARTED ? THREADS : 1);
    int forward = run->spec->direction == FASTPOOL_FORWARD;
    return fastpool_run(run->spec, run->x.first, forward ? NULL : run->y.first, run->index_memory,
                        forward ? run->y.first : run->dx.first, 2);
}

/* How far off elements may be: all are rounded when they are stored; a general norm takes two powers, and each term of
 * a gradient a few operations. */
static double *errors_of(const struct run *run, const struct answers *answers)
{
    int dtype = run->spec->dtype, forward = run->spec->direction == FASTPOOL_FORWARD;
    int lp = run->spec->operation == FASTPOOL_LP, exact = forward ? !lp : run->spec->operation != FASTPOOL_MEAN && !lp;
    if (exact)
        return NULL;
    int general = run->spec->norm != 1 && run->spec->norm != 2;
    int64_t count = forward ? answers->y_count : answers->x_count;
    double *errors = calloc((size_t)count + 1, sizeof *errors), unit = rounding(is_half(dtype) ? FASTPOOL_F32 : dtype);
    for (int64_t i = 0; i < count; i++) {
        struct number number = forward ? answers->y[i] : answers->dx[i];
        double value = fabs(number.re) + fabs(number.im);
        double most = forward ? general * value * 8 : answers->weight[i] * (answers->terms[i] + (lp ? 16 : 2));
        errors[i] = unit * most + rounding(dtype) * value;
    }
    return errors;
}

fastpool_status run_case(const fastpool_spec *spec, int ways, int nan_every)
{
    struct run run = {.spec = spec, .mutex = PTHREAD_MUTEX_INITIALIZER};
    fastpool_status status = fastpool_plan_create(spec, &run.plan);
    CHECK((status == FASTPOOL_OK) == (run.plan != NULL));
    if (status != FASTPOOL_OK)
        return status;
    int forward = spec->direction == FASTPOOL_FORWARD, strided = spec->strided, indexed = spec->indices >= 0;
    int64_t shape[FASTPOOL_MAX_RANK], found[FASTPOOL_MAX_RANK];
    output_shape(spec, shape);
    CHECK(!fastpool_output_shape(run.plan, found) && !memcmp(found, shape, (size_t)spec->rank * sizeof *shape));
    CHECK(!fastpool_shape_of(spec, found) && !memcmp(found, shape, (size_t)spec->rank * sizeof *shape));
    int y_dtype = (int)fastpool_output_dtype(run.plan), index_dtype = (int)fastpool_index_dtype(run.plan);
    int sums = spec->operation == FASTPOOL_SUM && is_integer(spec->dtype);
    CHECK(y_dtype == (sums ? spec->dtype < FASTPOOL_U8 ? FASTPOOL_I64 : FASTPOOL_U64 : spec->dtype));
    CHECK(!indexed || index_dtype == (spec->indices == FASTPOOL_TAP ? FASTPOOL_U8 : FASTPOOL_I64));

    int input = forward ? FASTPOOL_X_STRIDES : FASTPOOL_INPUT_STRIDES;
    const int64_t *x_strides = forward ? spec->x_strides : spec->input_strides;
    make_array(&run.x, X, spec->dtype, spec, spec->shape, strided & input ? x_strides : NULL);
    make_array(&run.y, Y, y_dtype, spec, shape, strided & FASTPOOL_Y_STRIDES ? spec->y_strides : NULL);
    make_array(&run.dx, DX, spec->dtype, spec, spec->shape, strided & FASTPOOL_X_STRIDES ? spec->x_strides : NULL);
    if (indexed) {
        make_array(&run.indices, INDICES, index_dtype, spec, shape,
                   strided & FASTPOOL_INDEX_STRIDES ? spec->index_strides : NULL);
        run.index_memory = run.indices.first;
    }
    struct number *x = fill(&run.x, nan_every), *dy = forward ? NULL : fill(&run.y, 0);
    struct answers answers = answer(spec, x, dy);
    struct number *index = calloc((size_t)answers.y_count + 1, sizeof *index);
    for (int64_t i = 0; i < answers.y_count; i++)
        index[i].re = (double)answers.index[i];
    for (int64_t i = 0; indexed && !forward && i < answers.y_count; i++)
        store(index_dtype, element(&run.indices, i), index[i]);
    double *errors = errors_of(&run, &answers);
    for (int way = 1; way <= ways; way *= 2)
        if (ways & way) {
            struct array *output = forward ? &run.y : &run.dx;
            memset(output->lowest, UNTOUCHED, output->bytes);
            if (forward && indexed)
                memset(run.indices.lowest, UNTOUCHED, run.indices.bytes);
            status = run_way(&run, way);
            if (status != FASTPOOL_OK)
                describe(spec);
            CHECK(status == FASTPOOL_OK);
            compare(spec, forward ? "y" : "dx", output, forward ? answers.y : answers.dx, errors);
            if (indexed)
                compare(spec, "indices", &run.indices, index, NULL);
            for (int place = X; place < SCRATCH + THREADS; place++)
                CHECK(is_clean(place));
        }
    fastpool_plan_destroy(run.plan);
    forget(&answers);
    free(x), free(dy), free(index), free(errors);
    return FASTPOOL_OK;
}
