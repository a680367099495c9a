/* Memory with guards, and elements of every type. */
#include "check.h"

#include <math.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PLACES 32
#define ROOM (8 << 20)
#define NEAR 512
#define CLEAN 0xa5

int use_malloc;

static struct {
    unsigned char *room, *begin;
    size_t bytes;
} places[PLACES];

/* bytes that end as far from the end of their room as gap says, or begin where it begins */
static unsigned char *place_bytes(int place, size_t bytes, int at_end, size_t gap)
{
    CHECK(place < PLACES);
    if (use_malloc) {
        free(places[place].begin);
        places[place].begin = malloc(bytes);
        return places[place].begin;
    }
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (!places[place].room) {
        void *all = mmap(NULL, ROOM + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        CHECK(all != MAP_FAILED);
        places[place].room = (unsigned char *)all + page;
        CHECK(!mprotect(places[place].room, ROOM, PROT_READ | PROT_WRITE));
    }
    CHECK(bytes + gap + NEAR <= ROOM);
    unsigned char *begin = places[place].room + (at_end ? ROOM - bytes - gap : 0);
    places[place].begin = begin;
    places[place].bytes = bytes;
    if (at_end)
        memset(begin - NEAR, CLEAN, NEAR), memset(begin + bytes, CLEAN, gap);
    else
        memset(begin + bytes, CLEAN, NEAR);
    return begin;
}

unsigned char *reserve(int place, size_t bytes, int at_end)
{
    return place_bytes(place, bytes, at_end, 0);
}

unsigned char *reserve_work(int place, size_t bytes)
{
    static uint32_t noise = 1;
    unsigned char *begin = place_bytes(place, bytes, noise >> 16 & 1, noise >> 20 & 63);
    for (size_t i = 0; i < bytes; i++) {
        noise = noise * 1664525 + 1013904223;
        begin[i] = (unsigned char)(noise >> 24);
    }
    return begin;
}

static int all_clean(const unsigned char *begin, const unsigned char *end)
{
    while (begin < end)
        if (*begin++ != CLEAN)
            return 0;
    return 1;
}

int is_clean(int place)
{
    const unsigned char *room = places[place].room, *begin = places[place].begin, *end = begin + places[place].bytes;
    if (use_malloc || !begin)
        return 1;
    if (begin == room)
        return all_clean(end, end + NEAR);
    return all_clean(begin - NEAR, begin) && all_clean(end, room + ROOM);
}

size_t item_size(int dtype)
{
    static const unsigned char sizes[] = {1, 1, 2, 4, 8, 1, 2, 4, 8, 2, 2, 4, 8, 8, 16};
    return sizes[dtype];
}

int is_integer(int dtype)
{
    return dtype < FASTPOOL_F16;
}

int is_complex(int dtype)
{
    return dtype == FASTPOOL_C64 || dtype == FASTPOOL_C128;
}

int is_half(int dtype)
{
    return dtype == FASTPOOL_F16 || dtype == FASTPOOL_BF16;
}

/* Floats of 16 bits: how many the significand has, and the exponent of the smallest normal number. */
static int digits(int dtype)
{
    return dtype == FASTPOOL_F16 ? 11 : 8;
}

static int smallest(int dtype)
{
    return dtype == FASTPOOL_F16 ? -14 : -126;
}

static double load_half(int dtype, uint16_t bits)
{
    int stored = digits(dtype) - 1, field = (bits & 0x7fff) >> stored, ones = 0x7fff >> stored;
    double significand = bits & ((1 << stored) - 1), value;
    if (field == ones)
        value = significand ? NAN : INFINITY;
    else if (field == 0)
        value = ldexp(significand, smallest(dtype) - stored);
    else
        value = ldexp(significand + (1 << stored), smallest(dtype) + field - 1 - stored);
    return bits & 0x8000 ? -value : value;
}

static uint16_t store_half(int dtype, double value)
{
    int stored = digits(dtype) - 1, exponent;
    uint16_t infinity = (uint16_t)((0x7fff >> stored) << stored), sign = signbit(value) ? 0x8000 : 0;
    if (isnan(value))
        return infinity | (uint16_t)(1 << (stored - 1));
    if (isinf(value))
        return sign | infinity;
    frexp(value, &exponent);
    exponent = value == 0 || exponent - 1 < smallest(dtype) ? smallest(dtype) : exponent - 1;
    /* where rounding carries, it carries into the exponent, as it should */
    double bits = nearbyint(ldexp(fabs(value), stored - exponent)) + ldexp(exponent - smallest(dtype), stored);
    return sign | (bits > infinity ? infinity : (uint16_t)bits);
}

static int64_t load_integer(int dtype, const void *element)
{
    switch (dtype) {
    case FASTPOOL_I8: return *(const int8_t *)element;
    case FASTPOOL_I16: return *(const int16_t *)element;
    case FASTPOOL_I32: return *(const int32_t *)element;
    case FASTPOOL_U16: return *(const uint16_t *)element;
    case FASTPOOL_U32: return *(const uint32_t *)element;
    case FASTPOOL_I64:
    case FASTPOOL_U64: return *(const int64_t *)element;
    default: return *(const uint8_t *)element;
    }
}

struct number load(int dtype, const void *element)
{
    const float *f = element;
    const double *d = element;
    switch (dtype) {
    case FASTPOOL_F16:
    case FASTPOOL_BF16: return (struct number){load_half(dtype, *(const uint16_t *)element), 0};
    case FASTPOOL_F32: return (struct number){f[0], 0};
    case FASTPOOL_F64: return (struct number){d[0], 0};
    case FASTPOOL_C64: return (struct number){f[0], f[1]};
    case FASTPOOL_C128: return (struct number){d[0], d[1]};
    default: return (struct number){(double)load_integer(dtype, element), 0};
    }
}

/* The end of a type's range that an infinity stands for. */
static uint64_t end_of_range(int dtype, int high)
{
    unsigned bits = (unsigned)(8 * item_size(dtype));
    if (dtype == FASTPOOL_BOOL)
        return (uint64_t)high;
    if (dtype >= FASTPOOL_U8)
        return high ? UINT64_MAX >> (64 - bits) : 0;
    return high ? (UINT64_MAX >> (65 - bits)) : (uint64_t)1 << (bits - 1);
}

void store(int dtype, void *element, struct number value)
{
    if (is_integer(dtype)) {
        uint64_t bits = isinf(value.re) ? end_of_range(dtype, value.re > 0) : (uint64_t)(int64_t)value.re;
        unsigned char bytes[8];
        for (int i = 0; i < 8; i++)
            bytes[i] = (unsigned char)(bits >> 8 * i);
        memcpy(element, bytes, item_size(dtype));
        return;
    }
    float f[] = {(float)value.re, (float)value.im};
    double d[] = {value.re, value.im};
    if (is_half(dtype)) {
        uint16_t bits = store_half(dtype, value.re);
        memcpy(element, &bits, sizeof bits);
    } else {
        int single = dtype == FASTPOOL_F32 || dtype == FASTPOOL_C64;
        memcpy(element, single ? (void *)f : (void *)d, item_size(dtype));
    }
}
