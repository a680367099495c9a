/* The C library around the compiled kernels: it checks structs, chooses the level of the processor, and shares tiles
 * among threads. Sizes, kernels and plans are decided by the compiled planning functions, not here. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define FASTPOOL_BUILD
#include "fastpool.h"

#include <link.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "fastpool_tables.h"
#include "threads.h"

#if defined __x86_64__
#include <cpuid.h>
#endif
#ifdef _OPENMP
#include <omp.h>
#else
#include <sched.h>
#endif

#define ALIGNMENT 64
#define TURNS 8 /* times that each thread comes back for tiles, if all are equally fast */
#define MOST_SHARES 64
#define ROUND_UP(n) (((n) + (ALIGNMENT - 1)) / ALIGNMENT * ALIGNMENT)

/* ---- the level of the processor ---- */

static const struct kernels *_Atomic known_level;

#if defined __x86_64__
/* What level 3 has besides what compilers can tell: without LZCNT, say, its code would run, and count otherwise. */
static int has_rest_of_v3(void)
{
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_MOVBE) || !(c & bit_F16C))
        return 0;
    return __get_cpuid(0x80000001, &a, &b, &c, &d) && (c & bit_LZCNT);
}

static int find_highest(void)
{
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("sse4.2") || !__builtin_cpu_supports("ssse3") || !__builtin_cpu_supports("popcnt"))
        return -1;
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !__builtin_cpu_supports("bmi") ||
        !__builtin_cpu_supports("bmi2") || !has_rest_of_v3())
        return 0;
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512cd") || !__builtin_cpu_supports("avx512dq") ||
        !__builtin_cpu_supports("avx512vl"))
        return 1;
    return 2;
}
#else
static int find_highest(void)
{
    return 0;
}
#endif

/* For a processor below the lowest level: no plan is made on it. */
static const struct kernels no_level = {.name = "none"};

static const struct kernels *find_level(void)
{
    int highest = find_highest();
    if (highest < 0)
        return &no_level;
    if (highest >= LEVELS)
        highest = LEVELS - 1;
    const char *wanted = getenv("FASTPOOL_CPU_LEVEL");
    if (wanted)
        for (int i = 0; i < highest; i++)
            if (!strcmp(wanted, fastpool_levels[i].name))
                highest = i;
    return &fastpool_levels[highest];
}

static const struct kernels *level(void)
{
    const struct kernels *found = atomic_load_explicit(&known_level, memory_order_acquire);
    if (!found) {
        found = find_level();
        atomic_store_explicit(&known_level, found, memory_order_release);
    }
    return found;
}

/* ---- constants are in memory before they are needed ----
 *
 * Kernels for AVX-512 load constants into those lanes alone that a mask has. With an empty mask such a load never
 * faults, so that it never brings the page that it reads from, and the processor takes some hundred cycles to find that
 * out, every time: 2x2 windows of float16 across channels took 17 ms instead of 1.6 in processes where nothing else had
 * read the page.
 * A forked child begins without the pages, too. */

#define MOST_SEGMENTS 8
#define MOST_CONSTANTS (4 << 20) /* bytes: in a program that has the archive in it, there may be much more besides */
#define PAGE 4096

static struct {
    const volatile unsigned char *begin;
    size_t bytes;
} constants[MOST_SEGMENTS];

static int find_constants(struct dl_phdr_info *object, size_t size, void *here)
{
    (void)size;
    int mine = 0, many = 0;
    size_t bytes = 0;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        uintptr_t begin = object->dlpi_addr + part->p_vaddr;
        if (part->p_type != PT_LOAD)
            continue;
        mine |= (uintptr_t)here - begin < part->p_memsz;
        if (part->p_flags == PF_R && many < MOST_SEGMENTS) {
            constants[many].begin = (const unsigned char *)begin;
            constants[many++].bytes = part->p_filesz;
            bytes += part->p_filesz;
        }
    }
    if (!mine || bytes > MOST_CONSTANTS)
        memset(constants, 0, sizeof constants);
    return mine;
}

/* A page may begin between two of them, where a sanitizer has its marks. */
__attribute__((no_sanitize_address)) static void touch_constants(void)
{
    for (int i = 0; i < MOST_SEGMENTS; i++)
        for (size_t at = 0; at < constants[i].bytes; at += PAGE)
            (void)constants[i].begin[at];
}

/* ---- threads do not come along into a forked child, and their lock may be held for ever ---- */

static atomic_int forked;

static void in_child(void)
{
    atomic_store(&forked, 1);
    touch_constants();
}

__attribute__((constructor)) static void prepare_process(void)
{
    dl_iterate_phdr(find_constants, (void *)(uintptr_t)&in_child);
    touch_constants();
    pthread_atfork(NULL, NULL, in_child);
}

/* ---- plans ---- */

struct stage {
    kernel_function *kernel;
    int64_t passes;
    int32_t role;
    int64_t tiles;
    int64_t bytes;
    int64_t work;
    int64_t *block;
};

struct fastpool_plan {
    int32_t rank, backward, stages, empty, reads_input, has_indices;
    int32_t output_dtype, index_dtype;
    int64_t shape[FASTPOOL_MAX_RANK];
    size_t scratch, shared, flag, y, taps, shares; /* bytes; and where in the shared memory each is */
    struct stage stage[MOST_TASKS];
    int64_t numbers[];
};

const char *fastpool_version(void)
{
    return FASTPOOL_VERSION;
}

int fastpool_abi(void)
{
    return FASTPOOL_ABI;
}

const char *fastpool_cpu_level(void)
{
    return level()->name;
}

const char *fastpool_status_text(fastpool_status status)
{
    int known = (int)status >= 0 && (int)status < STATUSES;
    return known ? status_texts[status] : "unknown status";
}

fastpool_status fastpool_spec_init(fastpool_spec *spec, size_t struct_size)
{
    if (!spec)
        return FASTPOOL_INVALID_ARGUMENT;
    if (struct_size != sizeof *spec)
        return FASTPOOL_INVALID_SPEC;
    memset(spec, 0, sizeof *spec);
    spec->struct_size = sizeof *spec;
    spec->indices = FASTPOOL_NO_INDICES;
    spec->include_pad = 1;
    spec->norm = 2;
    for (int i = 0; i < FASTPOOL_MAX_RANK; i++)
        spec->stride[i] = spec->dilation[i] = 1;
    return FASTPOOL_OK;
}

static int is_flag(int32_t value)
{
    return value == 0 || value == 1;
}

/* Writes the strides of one array into the request: the caller's, or those of C order. */
static int write_steps(int64_t *request, int field, int size_field, int rank, const int64_t *given)
{
    int64_t step = 1;
    for (int i = rank - 1; i >= 0; i--) {
        int64_t *record = request + REQUEST + i * AXIS_SIZE;
        /* the stride of a single element is never taken */
        record[field] = given && record[size_field] > 1 ? given[i] : step;
        if (record[size_field] > 1 && __builtin_mul_overflow(step, record[size_field], &step))
            return 0;
    }
    return 1;
}

/* Entries of a request that any spec fits into. */
#define REQUEST_SIZE (REQUEST + FASTPOOL_MAX_RANK * (AXIS_SIZE + WINDOW_SIZE))

static fastpool_status write_request(const fastpool_spec *spec, int64_t *request)
{
    if (!spec)
        return FASTPOOL_INVALID_ARGUMENT;
    if (spec->struct_size != sizeof *spec)
        return FASTPOOL_INVALID_SPEC;
    int32_t op = spec->operation, complex = 0, dtype = spec->dtype, rank = spec->rank;
    if (rank < 1 || rank > FASTPOOL_MAX_RANK || spec->pooled < 1 || spec->pooled > rank)
        return FASTPOOL_INVALID_RANK;
    if (!is_flag(spec->direction) || !is_flag(spec->skip_nan) || !is_flag(spec->include_pad) ||
        !is_flag(spec->ceil_mode) || op < 0 || op > FASTPOOL_LP || dtype < 0 || dtype >= DTYPES ||
        (spec->strided & ~15) || spec->form < 0 || spec->form > FORMS)
        return FASTPOOL_INVALID_OPERATION;
    if (op == FASTPOOL_LP && (spec->norm == 1 || spec->norm == 2))
        op += (int32_t)spec->norm;
    if (dtype == FASTPOOL_C64 || dtype == FASTPOOL_C128) {
        complex = 1;
        dtype += FASTPOOL_F32 - FASTPOOL_C64;
    }
    request[R_OP] = op;
    request[R_DTYPE] = dtype;
    request[R_COMPLEX] = complex;
    request[R_BACKWARD] = spec->direction;
    request[R_INDEX_KIND] = spec->indices;
    request[R_SKIP_NAN] = spec->skip_nan;
    request[R_INCLUDE_PAD] = spec->include_pad;
    request[R_DIVISOR] = spec->divisor;
    memcpy(&request[R_NORM], &spec->norm, sizeof(int64_t));
    request[R_CEIL] = spec->ceil_mode;
    request[R_FORCED] = spec->form - 1;
    request[R_RANK] = rank;
    request[R_POOLED] = spec->pooled;
    for (int i = 0; i < rank; i++) {
        int64_t *record = request + REQUEST + i * AXIS_SIZE;
        memset(record, 0, AXIS_SIZE * sizeof *record);
        record[X_SIZE] = spec->shape[i];
    }
    for (int i = 0; i < spec->pooled; i++) {
        int64_t *record = request + REQUEST + rank * AXIS_SIZE + i * WINDOW_SIZE;
        record[W_AXIS] = spec->axes[i];
        record[W_KERNEL] = spec->kernel[i];
        record[W_STRIDE] = spec->stride[i];
        record[W_DILATION] = spec->dilation[i];
        record[W_PAD_BEGIN] = spec->pad_begin[i];
        record[W_PAD_END] = spec->pad_end[i];
    }
    /* sizes first, then the strides that follow from them, then both */
    fastpool_status status = (fastpool_status)fastpool_k_measure(request);
    if (status != FASTPOOL_OK)
        return status;
    int strided = spec->strided;
    if (!write_steps(request, X_STEP, X_SIZE, rank, strided & FASTPOOL_X_STRIDES ? spec->x_strides : NULL) ||
        !write_steps(request, Y_STEP, Y_SIZE, rank, strided & FASTPOOL_Y_STRIDES ? spec->y_strides : NULL) ||
        !write_steps(request, INDEX_STEP, Y_SIZE, rank, strided & FASTPOOL_INDEX_STRIDES ? spec->index_strides : NULL) ||
        !write_steps(request, AUX_STEP, X_SIZE, rank, strided & FASTPOOL_INPUT_STRIDES ? spec->input_strides : NULL))
        return FASTPOOL_OVERFLOW;
    return (fastpool_status)fastpool_k_measure(request);
}

static kernel_function *whole_or_walk(const struct kernels *kernels, int role, int form, int64_t number)
{
    if (fastpool_table[form * FORM + F_MATCH])
        return kernels->match;
    if (fastpool_table[form * FORM + F_FUSED])
        return fastpool_table[form * FORM + F_FUSED] == ACROSS_LANES && role != ROLE_GATHER ? kernels->lanes
                                                                                            : kernels->fused[number];
    if (fastpool_table[form * FORM + F_STACKED])
        return kernels->stacked[number];
    if (fastpool_table[form * FORM + F_SLIDE])
        return kernels->slide;
    if (role == ROLE_SCATTER || role == ROLE_CHECK)
        return kernels->whole[number];
    return kernels->sweep;
}

/* Chooses the kernels of each stage; returns how many stages there are, or a negative status. */
static int plan_stages(fastpool_plan *plan, int64_t *request, int64_t *spec, int64_t plan_size)
{
    int64_t found[2 * MOST_TASKS], verdicts[FORMS + 1];
    const struct kernels *kernels = level();
    int count = (int)fastpool_k_tasks_of(request, fastpool_table, found);
    for (int i = 0; i < count; i++) {
        struct stage *stage = &plan->stage[i];
        int64_t role = found[2 * i], kind = found[2 * i + 1];
        stage->block = plan->numbers + i * plan_size;
        int64_t form = fastpool_k_choose(request, fastpool_table, role, kind, spec, stage->block, verdicts);
        if (form >= FORMS)
            return -FASTPOOL_UNSUPPORTED;
        const int64_t *row = fastpool_table + fastpool_k_row_for(request, fastpool_table, form, role, kind);
        const struct passes *passes = &kernels->passes[row[T_NUMBER]];
        stage->kernel = whole_or_walk(kernels, (int)role, (int)form, row[T_NUMBER]);
        pass_function *loops = fastpool_table[form * FORM + F_MATCH] ? passes->match : passes->loops;
        if (fastpool_table[form * FORM + F_FUSED] == ACROSS_LANES)
            loops = passes->lanes;
        stage->passes = (int64_t)(uintptr_t)loops;
        stage->role = (int32_t)role;
        stage->tiles = stage->block[P_TILES];
        stage->bytes = stage->block[P_BYTES];
        stage->work = stage->block[P_WORK];
        if (row[T_READS_X] && role == ROLE_GATHER)
            plan->reads_input = 1;
        if (role == ROLE_WEIGH || (role == ROLE_INDEX && request[R_BACKWARD]))
            plan->reads_input = 1;
        if (role == ROLE_INDEX && request[R_BACKWARD])
            plan->index_dtype = (int32_t)(kind == KIND_TAP ? FASTPOOL_U8 : FASTPOOL_I64);
    }
    return count;
}

/* Where in the shared memory the flag of a check lies, and what one stage leaves for the next. */
static void place_shared(fastpool_plan *plan, const int64_t *request)
{
    int64_t elements = request[R_COMPLEX] ? 2 : 1;
    for (int i = 0; i < plan->rank; i++)
        elements *= plan->shape[i];
    size_t size = 0;
    for (int i = 0; i < plan->stages; i++) {
        int role = plan->stage[i].role;
        if (role == ROLE_CHECK) {
            plan->flag = size;
            size += ALIGNMENT;
        } else if (role == ROLE_WEIGH) {
            plan->shares = size;
            size += ROUND_UP((size_t)elements * 8);
        } else if (role == ROLE_INDEX && plan->backward) {
            plan->y = size;
            size += ROUND_UP((size_t)elements * 8);
            plan->taps = size;
            size += ROUND_UP((size_t)elements * (plan->index_dtype == FASTPOOL_U8 ? 1 : 8));
        }
        size_t work = (size_t)plan->stage[i].work;
        if (work > plan->scratch)
            plan->scratch = work;
    }
    plan->shared = size;
    plan->scratch = ROUND_UP(plan->scratch);
}

fastpool_status fastpool_plan_create(const fastpool_spec *spec, fastpool_plan **result)
{
    if (!result)
        return FASTPOOL_INVALID_ARGUMENT;
    *result = NULL;
    if (level() == &no_level)
        return FASTPOOL_UNSUPPORTED;
    int64_t request[REQUEST_SIZE];
    fastpool_status status = write_request(spec, request);
    if (status != FASTPOOL_OK)
        return status;
    int rank = spec->rank;
    int64_t scratch[SPEC + (FASTPOOL_MAX_RANK + 1) * ARRAY_AXIS + FASTPOOL_MAX_RANK * POOLED_AXIS];
    int64_t plan_size = HEADER + (rank + 2) * AXIS;
    fastpool_plan *plan = calloc(1, sizeof *plan + MOST_TASKS * (size_t)plan_size * sizeof(int64_t));
    if (!plan)
        return FASTPOOL_OUT_OF_MEMORY;
    plan->rank = rank;
    plan->backward = spec->direction;
    plan->has_indices = spec->indices != FASTPOOL_NO_INDICES;
    plan->output_dtype = spec->dtype;
    if (spec->operation == FASTPOOL_SUM && spec->dtype >= FASTPOOL_I8 && spec->dtype <= FASTPOOL_U64)
        plan->output_dtype = spec->dtype >= FASTPOOL_U8 ? FASTPOOL_U64 : FASTPOOL_I64;
    plan->index_dtype = spec->indices == FASTPOOL_TAP ? FASTPOOL_U8 : FASTPOOL_I64;
    for (int i = 0; i < rank; i++) {
        plan->shape[i] = request[REQUEST + i * AXIS_SIZE + Y_SIZE];
        plan->empty |= plan->shape[i] == 0;
    }
    int count = plan_stages(plan, request, scratch, plan_size);
    if (count < 0) {
        free(plan);
        return (fastpool_status)-count;
    }
    plan->stages = count;
    place_shared(plan, request);
    *result = plan;
    return FASTPOOL_OK;
}

void fastpool_plan_destroy(fastpool_plan *plan)
{
    free(plan);
}

fastpool_status fastpool_output_shape(const fastpool_plan *plan, int64_t *shape)
{
    if (!plan || !shape)
        return FASTPOOL_INVALID_ARGUMENT;
    memcpy(shape, plan->shape, (size_t)plan->rank * sizeof *shape);
    return FASTPOOL_OK;
}

fastpool_dtype fastpool_output_dtype(const fastpool_plan *plan)
{
    return (fastpool_dtype)(plan ? plan->output_dtype : 0);
}

fastpool_dtype fastpool_index_dtype(const fastpool_plan *plan)
{
    return (fastpool_dtype)(plan ? plan->index_dtype : 0);
}

int fastpool_reads_input(const fastpool_plan *plan)
{
    return plan && plan->reads_input;
}

/* ---- running ---- */

struct arrays {
    const void *x, *dy, *indices;
    void *y, *dx;
    void *out_indices;
    unsigned char *shared;
};

static unsigned char *align(void *memory)
{
    return (unsigned char *)(((uintptr_t)memory + (ALIGNMENT - 1)) / ALIGNMENT * ALIGNMENT);
}

static int64_t address(const void *memory)
{
    return (int64_t)(uintptr_t)memory;
}

/* The table of addresses that a stage's kernel reads. */
static void place_buffers(const fastpool_plan *plan, const struct stage *stage, const struct arrays *arrays,
                          int64_t *bufs)
{
    const void *source = NULL, *output = NULL, *third = NULL;
    unsigned char *shared = arrays->shared;
    switch (stage->role) {
    case ROLE_FORWARD:
        source = arrays->x, output = arrays->y;
        break;
    case ROLE_INDEX:
        source = arrays->x;
        output = plan->backward ? shared + plan->y : (unsigned char *)arrays->y;
        third = plan->backward ? shared + plan->taps : (unsigned char *)arrays->out_indices;
        break;
    case ROLE_WEIGH:
        source = arrays->x, output = shared + plan->shares, third = arrays->dy;
        break;
    case ROLE_GATHER:
        source = plan->stages == 2 ? (const void *)(shared + plan->shares) : arrays->dy;
        output = arrays->dx, third = arrays->x;
        break;
    case ROLE_CHECK:
        output = shared + plan->flag, third = arrays->indices;
        break;
    default:
        source = arrays->dy, output = arrays->dx;
        third = plan->has_indices ? arrays->indices : (const void *)(shared + plan->taps);
    }
    bufs[0] = address(source);
    bufs[1] = address(output);
    bufs[2] = address(third);
    bufs[3] = stage->passes;
}

static int stage_threads(const struct stage *stage, int threads)
{
    if (stage->bytes < PARALLEL_BYTES)
        return 1;
    return stage->tiles < threads ? (int)stage->tiles : threads;
}

/* How many threads a call has that names none, and whether it is in a region whose threads share the work already. */
#ifdef _OPENMP
static int usual_threads(void)
{
    return omp_get_max_threads();
}

static int in_region(void)
{
    return omp_in_parallel();
}

static int own_threads;

__attribute__((constructor)) static void read_policy(void)
{
    const char *policy = getenv("OMP_WAIT_POLICY");
    own_threads = policy && !strcasecmp(policy, "passive");
}

static void share_work(int threads, void (*work)(void *argument, int me), void *argument)
{
    if (own_threads) {
        work_together(threads, work, argument);
        return;
    }
#pragma omp parallel num_threads(threads)
    work(argument, omp_get_thread_num());
}
#else
static int usual_threads(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);
}

static int in_region(void)
{
    return 0;
}

static void share_work(int threads, void (*work)(void *argument, int me), void *argument)
{
    work_together(threads, work, argument);
}
#endif

int fastpool_threads(const fastpool_plan *plan, int threads)
{
    if (!plan || threads < 0)
        return 1;
    int most = 1, known = 0;
    for (int i = 0; i < plan->stages; i++) {
        const struct stage *stage = &plan->stage[i];
        if (stage->bytes < PARALLEL_BYTES || stage->tiles < 2)
            continue;
        if (!known) {
            if (atomic_load(&forked) || in_region())
                return 1;
            known = threads > 0 ? threads : usual_threads();
        }
        int wanted = stage_threads(stage, known);
        if (wanted > most)
            most = wanted;
    }
    return most;
}

/* The next tile of a share, on a cache line of its own. */
struct share {
    _Alignas(ALIGNMENT) _Atomic int64_t next;
};

static int64_t share_begin(int64_t tiles, int shares, int i)
{
    int64_t more = tiles % shares;
    return tiles / shares * i + (i < more ? i : more);
}

/* Each thread takes tiles of its own share, and then what the others have left, if they are late or slower. Its share is
 * the same in every call, so that its core's caches may still have it. With one counter for all, a call on 1 MiB took 33
 * us instead of 28 back to back, and 50 instead of 39 after 0.8 ms of pause; larger than caches, it is the same. */
struct shared_stage {
    const struct stage *stage;
    int64_t *bufs;
    unsigned char *scratch;
    size_t pitch;
    int shares;
    int64_t many; /* tiles that are taken at a time */
    struct share share[MOST_SHARES];
};

static void run_part(void *argument, int me)
{
    struct shared_stage *shared = argument;
    const struct stage *stage = shared->stage;
    int shares = shared->shares;
    int64_t many = shared->many, *work = (int64_t *)(shared->scratch + (size_t)me * shared->pitch);
    for (int i = 0; i < shares; i++) {
        int which = (me + i) % shares;
        int64_t last = share_begin(stage->tiles, shares, which + 1), begin;
        while ((begin = atomic_fetch_add_explicit(&shared->share[which].next, many, memory_order_relaxed)) < last) {
            int64_t end = last - begin < many ? last : begin + many;
            stage->kernel(stage->block, shared->bufs, work, begin, end);
        }
    }
}

static void run_stage(const struct stage *stage, int64_t *bufs, unsigned char *scratch, size_t pitch, int threads)
{
    threads = stage_threads(stage, threads);
    if (threads <= 1) {
        stage->kernel(stage->block, bufs, (int64_t *)scratch, 0, stage->tiles);
        return;
    }
    struct shared_stage shared;
    shared.stage = stage, shared.bufs = bufs, shared.scratch = scratch, shared.pitch = pitch;
    shared.shares = threads < MOST_SHARES ? threads : MOST_SHARES;
    shared.many = stage->tiles / ((int64_t)TURNS * threads);
    if (shared.many < 1)
        shared.many = 1;
    for (int i = 0; i < shared.shares; i++)
        atomic_init(&shared.share[i].next, share_begin(stage->tiles, shared.shares, i));
    share_work(threads, run_part, &shared);
}

/* ---- kernels that their caller plans ---- */

int64_t fastpool_program(const char *name)
{
    for (int i = 0; name && program_names[i]; i++)
        if (!strcmp(name, program_names[i]))
            return level() == &no_level ? 0 : (int64_t)(uintptr_t)level()->programs[i];
    return 0;
}

void fastpool_run_program(int64_t program, int64_t *plan, int64_t *bufs, void *work, int64_t pitch, int64_t tiles,
                          int threads)
{
    struct stage stage = {.kernel = (kernel_function *)(uintptr_t)program,
                          .tiles = tiles,
                          .bytes = PARALLEL_BYTES,
                          .block = plan};
    if (threads > 1 && (atomic_load(&forked) || in_region()))
        threads = 1;
    if (program && tiles > 0)
        run_stage(&stage, bufs, work, (size_t)pitch, threads);
}

enum { ABOUT_KERNEL, ABOUT_PASSES, ABOUT_ROLE, ABOUT_TILES, ABOUT_BYTES, ABOUT_WORK, ABOUT_NUMBERS, ABOUT };

fastpool_plan *fastpool_plan_of_programs(int backward, int stages, const int64_t *about, const int64_t *numbers,
                                         int64_t shared)
{
    size_t count = 0;
    if (stages < 1 || stages > MOST_TASKS || !about || !numbers || level() == &no_level)
        return NULL;
    for (int i = 0; i < stages; i++)
        count += (size_t)about[i * ABOUT + ABOUT_NUMBERS];
    fastpool_plan *plan = calloc(1, sizeof *plan + count * sizeof(int64_t));
    if (!plan)
        return NULL;
    memcpy(plan->numbers, numbers, count * sizeof(int64_t));
    plan->backward = backward, plan->stages = stages;
    plan->reads_input = 1;
    plan->shared = ROUND_UP((size_t)shared);
    int64_t *block = plan->numbers;
    for (int i = 0; i < stages; i++, about += ABOUT) {
        struct stage stage = {.kernel = (kernel_function *)(uintptr_t)about[ABOUT_KERNEL],
                              .passes = about[ABOUT_PASSES],
                              .role = (int32_t)about[ABOUT_ROLE],
                              .tiles = about[ABOUT_TILES],
                              .bytes = about[ABOUT_BYTES],
                              .work = about[ABOUT_WORK],
                              .block = block};
        plan->stage[i] = stage;
        block += about[ABOUT_NUMBERS];
        plan->empty |= stage.tiles == 0;
        if ((size_t)stage.work > plan->scratch)
            plan->scratch = (size_t)stage.work;
    }
    plan->scratch = ROUND_UP(plan->scratch + 1);
    return plan;
}

static fastpool_status run(const fastpool_plan *plan, struct arrays *arrays, void *workspace, size_t bytes, int threads)
{
    if (plan->empty)
        return FASTPOOL_OK;
    threads = fastpool_threads(plan, threads);
    size_t least = ALIGNMENT + plan->shared + plan->scratch;
    if (!workspace)
        return FASTPOOL_INVALID_ARGUMENT;
    if (bytes < least)
        return FASTPOOL_WORKSPACE_TOO_SMALL;
    size_t room = 1 + (bytes - least) / plan->scratch;
    if ((size_t)threads > room)
        threads = (int)room;
    arrays->shared = align(workspace);
    unsigned char *scratch = arrays->shared + plan->shared;
    for (int i = 0; i < plan->stages; i++) {
        const struct stage *stage = &plan->stage[i];
        int64_t bufs[4];
        place_buffers(plan, stage, arrays, bufs);
        if (stage->role == ROLE_CHECK)
            memset(arrays->shared + plan->flag, 0, sizeof(int64_t));
        run_stage(stage, bufs, scratch, plan->scratch, threads);
        if (stage->role == ROLE_CHECK && *(int64_t *)(arrays->shared + plan->flag))
            return FASTPOOL_INVALID_INDICES;
    }
    return FASTPOOL_OK;
}

size_t fastpool_workspace_size(const fastpool_plan *plan, int threads)
{
    if (!plan)
        return 0;
    size_t count = (size_t)fastpool_threads(plan, threads), fixed = ALIGNMENT + plan->shared;
    /* as much as no memory has, where the product is more than that */
    return plan->scratch > (SIZE_MAX - fixed) / count ? SIZE_MAX : fixed + count * plan->scratch;
}

static int forward_ready(const fastpool_plan *plan, const void *x, const void *y, const void *indices)
{
    return plan && !plan->backward && (plan->empty || (x && y && (!plan->has_indices || indices)));
}

static int backward_ready(const fastpool_plan *plan, const void *dy, const void *x, const void *indices, const void *dx)
{
    if (!plan || !plan->backward)
        return 0;
    return plan->empty || (dy && dx && (!plan->has_indices || indices) && (!plan->reads_input || x));
}

fastpool_status fastpool_forward(const fastpool_plan *plan, const void *x, void *y, void *indices, void *workspace,
                                 size_t workspace_bytes, int threads)
{
    if (!forward_ready(plan, x, y, indices))
        return FASTPOOL_INVALID_ARGUMENT;
    struct arrays arrays = {.x = x, .y = y, .out_indices = indices};
    return run(plan, &arrays, workspace, workspace_bytes, threads);
}

fastpool_status fastpool_backward(const fastpool_plan *plan, const void *dy, const void *input, const void *indices,
                                  void *dx, void *workspace, size_t workspace_bytes, int threads)
{
    if (!backward_ready(plan, dy, input, indices, dx))
        return FASTPOOL_INVALID_ARGUMENT;
    struct arrays arrays = {.x = input, .dy = dy, .indices = indices, .dx = dx};
    return run(plan, &arrays, workspace, workspace_bytes, threads);
}

/* ---- ranges, for the caller's own threads ---- */

int fastpool_stages(const fastpool_plan *plan)
{
    return plan ? plan->stages : 0;
}

int64_t fastpool_tiles(const fastpool_plan *plan, int stage)
{
    if (!plan || stage < 0 || stage >= plan->stages || plan->empty)
        return 0;
    return plan->stage[stage].tiles;
}

size_t fastpool_scratch_size(const fastpool_plan *plan)
{
    return plan ? plan->scratch + ALIGNMENT : 0;
}

size_t fastpool_shared_size(const fastpool_plan *plan)
{
    return plan ? plan->shared + ALIGNMENT : 0;
}

fastpool_status fastpool_shared_init(const fastpool_plan *plan, void *shared)
{
    if (!plan || !shared)
        return FASTPOOL_INVALID_ARGUMENT;
    if (plan->stages > 0 && plan->stage[0].role == ROLE_CHECK)
        memset(align(shared) + plan->flag, 0, sizeof(int64_t));
    return FASTPOOL_OK;
}

fastpool_status fastpool_shared_status(const fastpool_plan *plan, const void *shared)
{
    if (!plan || !shared)
        return FASTPOOL_INVALID_ARGUMENT;
    if (plan->stages == 0 || plan->stage[0].role != ROLE_CHECK)
        return FASTPOOL_OK;
    return *(const int64_t *)(align((void *)shared) + plan->flag) ? FASTPOOL_INVALID_INDICES : FASTPOOL_OK;
}

static fastpool_status run_range(const fastpool_plan *plan, int stage, int64_t begin, int64_t end,
                                 struct arrays *arrays, void *shared, void *scratch)
{
    if (stage < 0 || stage >= plan->stages || begin < 0 || end < begin || end > fastpool_tiles(plan, stage))
        return FASTPOOL_INVALID_RANGE;
    if (begin == end)
        return FASTPOOL_OK;
    if (!scratch)
        return FASTPOOL_INVALID_ARGUMENT;
    if (shared)
        arrays->shared = align(shared);
    int64_t bufs[4];
    place_buffers(plan, &plan->stage[stage], arrays, bufs);
    plan->stage[stage].kernel(plan->stage[stage].block, bufs, (int64_t *)align(scratch), begin, end);
    return FASTPOOL_OK;
}

fastpool_status fastpool_forward_range(const fastpool_plan *plan, int64_t begin, int64_t end, const void *x, void *y,
                                       void *indices, void *scratch)
{
    if (!forward_ready(plan, x, y, indices))
        return FASTPOOL_INVALID_ARGUMENT;
    struct arrays arrays = {.x = x, .y = y, .out_indices = indices};
    return run_range(plan, 0, begin, end, &arrays, NULL, scratch);
}

fastpool_status fastpool_backward_range(const fastpool_plan *plan, int stage, int64_t begin, int64_t end,
                                        const void *dy, const void *input, const void *indices, void *dx, void *shared,
                                        void *scratch)
{
    if (!backward_ready(plan, dy, input, indices, dx) || (plan->shared && !shared))
        return FASTPOOL_INVALID_ARGUMENT;
    struct arrays arrays = {.x = input, .dy = dy, .indices = indices, .dx = dx};
    return run_range(plan, stage, begin, end, &arrays, shared, scratch);
}

/* ---- without a plan that the caller keeps ---- */

fastpool_status fastpool_shape_of(const fastpool_spec *spec, int64_t *shape)
{
    if (!shape)
        return FASTPOOL_INVALID_ARGUMENT;
    int64_t request[REQUEST_SIZE];
    fastpool_status status = write_request(spec, request);
    if (status == FASTPOOL_OK)
        for (int i = 0; i < spec->rank; i++)
            shape[i] = request[REQUEST + i * AXIS_SIZE + Y_SIZE];
    return status;
}

fastpool_status fastpool_run(const fastpool_spec *spec, const void *x, const void *dy, void *indices, void *result,
                             int threads)
{
    fastpool_plan *plan;
    fastpool_status status = fastpool_plan_create(spec, &plan);
    if (status != FASTPOOL_OK)
        return status;
    size_t bytes = fastpool_workspace_size(plan, threads);
    /* cleared: kernels join rows with the gaps between them, which come to nothing, but valgrind would tell */
    void *workspace = calloc(1, bytes);
    if (!workspace)
        status = FASTPOOL_OUT_OF_MEMORY;
    else if (plan->backward)
        status = fastpool_backward(plan, dy, x, indices, result, workspace, bytes, threads);
    else
        status = fastpool_forward(plan, x, result, indices, workspace, bytes, threads);
    free(workspace);
    fastpool_plan_destroy(plan);
    return status;
}

/* ---- one call for the common cases ---- */

int64_t fastpool_output_size(int64_t size, int64_t kernel, int64_t stride, int64_t padding)
{
    if (size < 1 || kernel < 1 || stride < 1 || padding < 0)
        return 0;
    int64_t found = fastpool_k_output_size(size, kernel, stride, 1, padding, padding, 0);
    return found < 0 ? 0 : found;
}

static fastpool_status pool_once(int operation, int dtype, const void *x, void *y, const int64_t *shape, int first,
                                 int64_t kernel, int64_t stride, int64_t padding, int threads)
{
    fastpool_spec spec;
    fastpool_spec_init(&spec, sizeof spec);
    spec.operation = operation;
    spec.dtype = dtype;
    spec.rank = 4;
    spec.pooled = 2;
    memcpy(spec.shape, shape, 4 * sizeof *shape);
    for (int i = 0; i < 2; i++) {
        spec.axes[i] = first + i;
        spec.kernel[i] = kernel;
        spec.stride[i] = stride;
        spec.pad_begin[i] = spec.pad_end[i] = padding;
    }
    return fastpool_run(&spec, x, NULL, NULL, y, threads);
}

fastpool_status fastpool_max_pool2d_f32(const float *x, float *y, int64_t batch, int64_t channels, int64_t height,
                                        int64_t width, int64_t kernel, int64_t stride, int64_t padding, int threads)
{
    const int64_t shape[] = {batch, channels, height, width};
    return pool_once(FASTPOOL_MAX, FASTPOOL_F32, x, y, shape, 2, kernel, stride, padding, threads);
}

fastpool_status fastpool_avg_pool2d_f32(const float *x, float *y, int64_t batch, int64_t channels, int64_t height,
                                        int64_t width, int64_t kernel, int64_t stride, int64_t padding, int threads)
{
    const int64_t shape[] = {batch, channels, height, width};
    return pool_once(FASTPOOL_MEAN, FASTPOOL_F32, x, y, shape, 2, kernel, stride, padding, threads);
}

fastpool_status fastpool_max_pool2d_u8(const uint8_t *x, uint8_t *y, int64_t batch, int64_t height, int64_t width,
                                       int64_t channels, int64_t kernel, int64_t stride, int64_t padding, int threads)
{
    const int64_t shape[] = {batch, height, width, channels};
    return pool_once(FASTPOOL_MAX, FASTPOOL_U8, x, y, shape, 1, kernel, stride, padding, threads);
}

fastpool_status fastpool_avg_pool2d_u8(const uint8_t *x, uint8_t *y, int64_t batch, int64_t height, int64_t width,
                                       int64_t channels, int64_t kernel, int64_t stride, int64_t padding, int threads)
{
    const int64_t shape[] = {batch, height, width, channels};
    return pool_once(FASTPOOL_MEAN, FASTPOOL_U8, x, y, shape, 1, kernel, stride, padding, threads);
}
