// See host.h.
#include "host.h"

namespace wagesim::app {
namespace {

constexpr int pixel_offset = 128;  // pixel p enters as code p - 128

/// Index in N, C, H, W order of the k-th element in memory.
std::int64_t logical_index(const DramTensor& place, std::int64_t k) {
    if (place.order == MemoryOrder::flat) return k;
    // N, H, W, C for activations; O, kh, kw, I for weights: the same nesting.
    const Shape& s = place.shape;
    const std::int64_t c = k % s.c, w = k / s.c % s.w, h = k / (s.c * s.w) % s.h;
    return s.index(k / (s.c * s.w * s.h), c, h, w);
}

}  // namespace

void write_tensor(rtl::Machine& machine, const DramTensor& place,
                  const std::vector<std::int64_t>& codes) {
    std::vector<std::uint8_t> bytes;
    bytes.reserve(codes.size() * static_cast<std::size_t>(place.bytes));
    for (std::int64_t k = 0; k < place.shape.size(); ++k) {
        const auto code =
            static_cast<std::uint64_t>(codes[static_cast<std::size_t>(logical_index(place, k))]);
        for (int b = 0; b < place.bytes; ++b)
            bytes.push_back(static_cast<std::uint8_t>(code >> (8 * b)));
    }
    machine.write_dram(place.address, bytes.data(), static_cast<std::int64_t>(bytes.size()));
}

void show_image(rtl::Machine& machine, const std::vector<std::uint8_t>& pixels,
                const DramTensor& place, Probe& probe) {
    const Shape& s = place.shape;
    std::vector<std::int64_t> codes(pixels.size());   // N, C, H, W
    std::vector<std::int64_t> memory(pixels.size());  // N, H, W, C, as codes are shown
    std::size_t k = 0;
    for (std::int64_t n = 0; n < s.n; ++n)
        for (std::int64_t h = 0; h < s.h; ++h)
            for (std::int64_t w = 0; w < s.w; ++w)
                for (std::int64_t c = 0; c < s.c; ++c, ++k) {
                    const auto i = static_cast<std::size_t>(s.index(n, c, h, w));
                    codes[i] = memory[k] = std::int64_t{pixels[i]} - pixel_offset;
                }
    write_tensor(machine, place, codes);
    Tap tap;
    tap.qp = place.qp;
    tap.box.n = static_cast<std::int32_t>(s.n);
    tap.box.h = static_cast<std::int32_t>(s.h);
    tap.box.w = static_cast<std::int32_t>(s.w);
    tap.box.c = static_cast<std::int32_t>(s.c);
    tap.format = place.format;
    tap.codes = memory.data();
    probe.on_tap(tap);
}

std::vector<std::int64_t> read_tensor(const rtl::Machine& machine, const DramTensor& place) {
    const std::int64_t size = place.shape.size();
    std::vector<std::uint8_t> bytes(static_cast<std::size_t>(size * place.bytes));
    machine.read_dram(place.address, bytes.data(), static_cast<std::int64_t>(bytes.size()));
    std::vector<std::int64_t> codes(static_cast<std::size_t>(size));
    std::size_t at = 0;
    for (std::int64_t k = 0; k < size; ++k) {
        std::uint64_t code = 0;
        for (int b = 0; b < place.bytes; ++b) code |= std::uint64_t{bytes[at++]} << (8 * b);
        const int unused = 64 - 8 * place.bytes;
        codes[static_cast<std::size_t>(logical_index(place, k))] =
            place.format.is_signed ? static_cast<std::int64_t>(code << unused) >> unused
                                   : static_cast<std::int64_t>(code);
    }
    return codes;
}

}  // namespace wagesim::app
