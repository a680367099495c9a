/* What the programs of this folder share: answers from a naive loop, memory that notices a byte beyond its end, and a
 * runner that holds every way to run a spec against those answers. */
#ifndef CHECK_H
#define CHECK_H

#include <fastpool.h>

#include <stdio.h>
#include <stdlib.h>

/* ---- memory.c: memory and elements ---- */

/* Arrays of a case, each in a place of its own; the scratch of a thread is the last place plus its number. */
enum place { X, Y, INDICES, DX, WORKSPACE, SHARED, SCRATCH };

/* Exactly so many bytes. Pages that may not be touched lie around a place: at its end if at_end, else at its beginning.
 * With use_malloc they are a block of malloc's instead, whose surroundings a sanitizer or valgrind watches. */
extern int use_malloc;
unsigned char *reserve(int place, size_t bytes, int at_end);

/* The same for workspaces, at any address and full of noise. Noise and not nothing, because kernels join whole rows,
 * with the gaps between them that are filled in later: nothing comes of that, but valgrind tells of what was never
 * written. */
unsigned char *reserve_work(int place, size_t bytes);

/* Whether the bytes near a place that are not part of it are as they were. */
int is_clean(int place);

/* A value of any type: integers and bool exactly, infinities standing for the ends of their range. */
struct number {
    double re, im;
};

size_t item_size(int dtype);
int is_integer(int dtype);
int is_complex(int dtype);
int is_half(int dtype);
struct number load(int dtype, const void *element);
void store(int dtype, void *element, struct number value); /* rounded once, to nearest, ties to even */

/* ---- naive.c: the rules of docs/semantics.md, one loop over windows and one over taps ---- */

#define MOST_TAPS 4096

struct answers {
    int64_t shape[FASTPOOL_MAX_RANK]; /* of y */
    int64_t x_count, y_count;         /* elements; the arrays are in C order */
    struct number *y, *dx;
    int64_t *index;
    double *weight; /* of each element of dx: the sum of the magnitudes of its terms */
    int *terms;     /* and how many there are */
};

void output_shape(const fastpool_spec *spec, int64_t *shape);
struct answers answer(const fastpool_spec *spec, const struct number *x, const struct number *dy);
void forget(struct answers *answers);

/* ---- cases.c: a spec, run ---- */

/* Ways to run a case. */
#define WHOLE 1    /* one thread */
#define PARTED 2   /* several threads of the library's */
#define RANGES 4   /* ranges of tiles in any order */
#define OWN 8      /* ranges of tiles in threads of the caller's */
#define AT_ONCE 16 /* fastpool_run */
#define ALL_WAYS 31

/* Runs a spec on small integers, in which one of nan_every is NaN (0: none), and ends the process with a message where
 * anything differs from the answers. Returns the status of the plan. */
fastpool_status run_case(const fastpool_spec *spec, int ways, int nan_every);
void describe(const fastpool_spec *spec);

/* Random numbers, the same in every run: below n, and in low..high. */
extern uint64_t seed;
int64_t below(int64_t n);
int64_t between(int64_t low, int64_t high);

/* Strides, one element or more, of an array whose elements do not meet; axes in any order and any direction. */
void random_strides(const int64_t *shape, int rank, int64_t *strides);

#define CHECK(condition) \
    do { \
        if (!(condition)) { \
            printf("%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            exit(1); \
        } \
    } while (0)

#endif
