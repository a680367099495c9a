/* Makes an image smaller: reads a PGM or PPM file, takes the largest value of each K x K block of each channel, and
 * writes a file of the same kind. One call does it; the library has such calls for the common cases.
 *
 *     cc pool_image.c $(pkg-config --cflags --libs fastpool) -o pool_image
 *     ./pool_image in.ppm out.ppm 8
 */
#include <fastpool.h>
#include <stdio.h>
#include <stdlib.h>

struct image {
    int64_t height, width, channels;
    uint8_t *pixels; /* row by row, the channels of a pixel together */
};

static size_t bytes(const struct image *image)
{
    return (size_t)(image->height * image->width * image->channels);
}

/* The next number of a header, past comments, or 0. */
static int64_t number(FILE *file)
{
    char hash[2];
    long value;
    while (fscanf(file, " %1[#]%*[^\n]", hash) == 1)
        ;
    return fscanf(file, "%8ld", &value) == 1 && value > 0 ? value : 0;
}

static int read_image(const char *path, struct image *image)
{
    FILE *file = fopen(path, "rb");
    char kind[2];
    int ok = 0;
    if (file && fscanf(file, "P%1[56]", kind) == 1) {
        image->channels = kind[0] == '6' ? 3 : 1;
        image->width = number(file);
        image->height = number(file);
        if (image->width && image->height && number(file) == 255) {
            getc(file);
            image->pixels = malloc(bytes(image));
            ok = image->pixels && fread(image->pixels, 1, bytes(image), file) == bytes(image);
        }
    }
    if (file)
        fclose(file);
    return ok;
}

static int write_image(const char *path, const struct image *image)
{
    FILE *file = fopen(path, "wb");
    int ok;
    if (!file)
        return 0;
    fprintf(file, "P%c\n%ld %ld\n255\n", image->channels == 3 ? '6' : '5', (long)image->width, (long)image->height);
    ok = fwrite(image->pixels, 1, bytes(image), file) == bytes(image);
    return fclose(file) == 0 && ok;
}

int main(int count, char **words)
{
    struct image in = {0}, out = {0};
    long k = count == 4 ? strtol(words[3], NULL, 10) : 0;
    fastpool_status status;
    if (k < 1) {
        fprintf(stderr, "usage: %s IN.ppm OUT.ppm K\n", words[0]);
        return 2;
    }
    if (!read_image(words[1], &in)) {
        fprintf(stderr, "%s: not an image of 8 bits a channel (P5 or P6)\n", words[1]);
        return 1;
    }
    out.height = fastpool_output_size(in.height, k, k, 0);
    out.width = fastpool_output_size(in.width, k, k, 0);
    out.channels = in.channels;
    out.pixels = malloc(bytes(&out) + 1); /* a block larger than the image leaves none, which the library refuses */
    status = fastpool_max_pool2d_u8(in.pixels, out.pixels, 1, in.height, in.width, in.channels, k, k, 0, 0);
    if (status != FASTPOOL_OK) {
        fprintf(stderr, "%s: %s\n", words[1], fastpool_status_text(status));
        return 1;
    }
    if (!write_image(words[2], &out)) {
        fprintf(stderr, "%s: cannot be written\n", words[2]);
        return 1;
    }
    printf("%ld x %ld to %ld x %ld\n", (long)in.width, (long)in.height, (long)out.width, (long)out.height);
    free(in.pixels);
    free(out.pixels);
    return 0;
}
