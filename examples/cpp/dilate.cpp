// Dilates an image: each pixel becomes the largest within the K x K pixels around it, channel by channel, and that as
// often as is asked for. Planning is done once; running the plan allocates nothing.
//
//     c++ dilate.cpp $(pkg-config --cflags --libs fastpool) -o dilate
//     ./dilate in.ppm out.ppm 5 2
#include <fastpool.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

struct Image {
    std::int64_t height = 0, width = 0, channels = 0;
    std::vector<std::uint8_t> pixels;  // row by row, the channels of a pixel together
};

static std::int64_t number(std::istream &file) {
    while ((file >> std::ws).peek() == '#')
        file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
    std::int64_t value = 0;
    file >> value;
    return value < 1 || value > 1 << 24 ? 0 : value;
}

static Image read_image(const std::string &path) {
    std::ifstream file(path, std::ios::binary);
    const std::string kind{static_cast<char>(file.get()), static_cast<char>(file.get())};
    Image image;
    image.channels = kind == "P6" ? 3 : kind == "P5" ? 1 : 0;
    image.width = number(file);
    image.height = number(file);
    const bool bytes = number(file) == 255;
    const auto size = static_cast<std::size_t>(image.height * image.width * image.channels);
    if (!file || size == 0 || !bytes)
        throw std::runtime_error(path + ": not an image of 8 bits a channel (P5 or P6)");
    file.get();
    image.pixels.resize(size);
    if (!file.read(reinterpret_cast<char *>(image.pixels.data()), static_cast<std::streamsize>(size)))
        throw std::runtime_error(path + ": shorter than it says");
    return image;
}

static void write_image(const std::string &path, const Image &image) {
    std::ofstream file(path, std::ios::binary);
    file << (image.channels == 3 ? "P6\n" : "P5\n") << image.width << ' ' << image.height << "\n255\n";
    const auto size = static_cast<std::streamsize>(image.pixels.size());
    if (!file.write(reinterpret_cast<const char *>(image.pixels.data()), size).flush())
        throw std::runtime_error(path + ": cannot be written");
}

// The dilation of images of one size, planned for them.
class Dilation {
  public:
    Dilation(const Image &like, std::int64_t k) : plan_(plan(like, k), fastpool_plan_destroy) {
        workspace_.resize(fastpool_workspace_size(plan_.get(), 0));
    }

    void operator()(const Image &in, Image &out) {
        check(fastpool_forward(plan_.get(), in.pixels.data(), out.pixels.data(), nullptr, workspace_.data(),
                               workspace_.size(), 0));
    }

  private:
    static void check(fastpool_status status) {
        if (status != FASTPOOL_OK)
            throw std::runtime_error(fastpool_status_text(status));
    }

    static fastpool_plan *plan(const Image &like, std::int64_t k) {
        fastpool_spec spec;
        check(fastpool_spec_init(&spec, sizeof spec));
        spec.operation = FASTPOOL_MAX;
        spec.dtype = FASTPOOL_U8;
        spec.rank = 3;  // (height, width, channels), of which the first two are pooled
        spec.shape[0] = like.height, spec.shape[1] = like.width, spec.shape[2] = like.channels;
        spec.pooled = 2;
        for (int axis = 0; axis < 2; axis++) {
            spec.axes[axis] = axis;
            spec.kernel[axis] = k;
            spec.pad_begin[axis] = (k - 1) / 2;  // with stride 1 the size stays
            spec.pad_end[axis] = k / 2;
        }
        fastpool_plan *made = nullptr;
        check(fastpool_plan_create(&spec, &made));
        return made;
    }

    std::unique_ptr<fastpool_plan, decltype(&fastpool_plan_destroy)> plan_;
    std::vector<std::uint8_t> workspace_;
};

int main(int count, char **words) try {
    const long k = count >= 4 ? std::strtol(words[3], nullptr, 10) : 0;
    const long times = count == 5 ? std::strtol(words[4], nullptr, 10) : 1;
    if (count > 5 || k < 1 || times < 1) {
        std::fprintf(stderr, "usage: %s IN.ppm OUT.ppm K [TIMES]\n", words[0]);
        return 2;
    }
    Image in = read_image(words[1]), out = in;
    Dilation dilate(in, k);
    dilate(in, out);
    for (long time = 1; time < times; time++) {
        std::swap(in, out);
        dilate(in, out);
    }
    write_image(words[2], out);
    return 0;
} catch (const std::exception &error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
}
