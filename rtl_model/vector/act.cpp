// ACT: batch norm's affine part (or the folded batch norm), ReLU, and the activation's quantiser.
#include <algorithm>
#include <string>

#include "vector/bank_ports.h"
#include "vector/codes.h"
#include "vector/operations.h"
#include "vector/tile_view.h"
#include "wagesim/arith/quantize.h"
#include "wagesim/arith/wide.h"

namespace wagesim::rtl {
namespace {

constexpr int y_bytes = 4;

/// x = factor * source + offset per channel, exact, as codes of `frac` fraction bits.
struct Affine {
    std::vector<std::int64_t> factor, offset;
    int product_shift = 0, offset_shift = 0;
    int frac = 0;
};

Affine affine_of(const Machinery& machinery, const Act& operation, std::int64_t channels) {
    Affine affine;
    if (operation.kind == Act::Kind::plain) {
        affine.factor.assign(static_cast<std::size_t>(channels), 1);
        affine.offset.assign(static_cast<std::size_t>(channels), 0);
        affine.frac = operation.source.frac;
        return affine;
    }
    const bool folded = operation.kind == Act::Kind::fold;
    Buffer& parameters = machinery.memories.parameters;
    const auto read = [&](std::int64_t address, const Format& format) {
        return read_codes(parameters, address, channels, folded ? 8 : bytes_of(format.bits),
                          format.is_signed);
    };
    affine.factor = read(operation.gamma_address, operation.gamma.format);
    affine.offset = read(operation.beta_address, operation.beta.format);
    const int product_frac = operation.gamma.format.frac + operation.source.frac;
    const int offset_frac = operation.beta.format.frac;
    affine.frac = std::max(product_frac, offset_frac);
    affine.product_shift = affine.frac - product_frac;
    affine.offset_shift = affine.frac - offset_frac;
    return affine;
}

template <class Code>
Code clip(Code x, Clip rule, Code six) {
    if (rule == Clip::none) return x;
    const Code positive = std::max<Code>(x, 0);
    return rule == Clip::relu6 ? std::min<Code>(positive, six) : positive;
}

/// True where 64 bits hold every x of sources of `bytes` bytes, and the 6.0 of relu6.
bool fits_64_bits(const Affine& affine, int bytes) {
    arith::UnsignedWide factor = 0, offset = 0;
    for (const std::int64_t code : affine.factor) factor |= arith::magnitude(code);
    for (const std::int64_t code : affine.offset) offset |= arith::magnitude(code);
    const int product = arith::bit_length(factor) + 8 * bytes + affine.product_shift;
    const int sum = std::max(product, arith::bit_length(offset) + affine.offset_shift) + 1;
    return std::max(sum, affine.frac + 3) < 63;
}

/// What leaves the lanes: x where it is shown, and the destination's codes in place of the
/// source's.
struct Lanes {
    std::vector<std::int64_t> codes, x_codes;
    Clips x_clips, a_clips;
};

/// `Code` holds every x.
template <class Code>
void work_lanes(const Act& operation, const Affine& affine, std::int64_t pixels, Lanes& lanes) {
    const bool registered = operation.kind == Act::Kind::affine;  // x is x2, with a width
    const bool show_x = !lanes.x_codes.empty();
    const Code six = operation.clip == Clip::relu6 ? Code{3} << (affine.frac + 1) : Code{0};
    const Code product_unit = Code{1} << affine.product_shift;
    const Code offset_unit = Code{1} << affine.offset_shift;
    auto& codes = lanes.codes;
    std::size_t i = 0;
    for (std::int64_t p = 0; p < pixels; ++p) {
        for (std::size_t c = 0; c < affine.factor.size(); ++c, ++i) {
            const Code product = Code{affine.factor[c]} * codes[i];
            Code x = product * product_unit + Code{affine.offset[c]} * offset_unit;
            if (registered) {
                const arith::Clipped<Code> fitted =
                    arith::fit(x, operation.x.format, operation.x.overflow);
                lanes.x_clips.count(fitted.clipped, operation.x.overflow);
                x = fitted.value;
            }
            if (show_x) lanes.x_codes[i] = static_cast<std::int64_t>(x);
            const Code clipped = clip(x, operation.clip, six);
            if (operation.quantize) {
                const arith::Quantized a = arith::requantize(clipped, affine.frac, operation.a);
                lanes.a_clips.count(a.clipped, operation.a.overflow);
                codes[i] = a.code;
            } else {
                codes[i] = static_cast<std::int64_t>(clipped);
            }
        }
    }
}

}  // namespace

Work activate(const Machinery& machinery, const Issue& issue, const Act& operation) {
    const Box& box = issue.command.box;
    BankPorts ports(machinery.config);
    ports.move(operation.source, box);
    ports.move(operation.destination, box);
    const Work work{std::max(beats(machinery.config, operation.source, box), ports.cycles()),
                    machinery.config.vector_depth_cycles, -1};
    const Moment moment = issue.first_element(work);

    const Affine affine = affine_of(machinery, operation, box.c);
    const bool registered = operation.kind == Act::Kind::affine;  // x is x2, with a width
    const bool show_x = registered && operation.show_x;
    if (registered && operation.x.format.frac != affine.frac)
        throw MachineError("x2's register has frac " + std::to_string(operation.x.format.frac) +
                           ", the sum " + std::to_string(affine.frac));
    if (operation.clip == Clip::relu6 && affine.frac < -1)
        throw MachineError("relu6 needs 6.0, which frac " + std::to_string(affine.frac) +
                           " does not have");

    Lanes lanes;
    lanes.codes = read_source(machinery, operation.source, box, moment);
    show_lanes(machinery, issue, work, LaneWaves::in, operation.source, lanes.codes);
    lanes.x_codes.resize(show_x ? lanes.codes.size() : 0);
    const bool from_sums = operation.source.space == Space::accumulators;
    if (fits_64_bits(affine, from_sums ? y_bytes : operation.source.bytes))
        work_lanes<std::int64_t>(operation, affine, box.pixels(), lanes);
    else
        work_lanes<Wide>(operation, affine, box.pixels(), lanes);
    show_lanes(machinery, issue, work, LaneWaves::out, operation.source, lanes.codes);
    if (show_x)
        show(machinery, moment, operation.x_qp, box, operation.x.format, lanes.x_codes.data(),
             lanes.x_clips);
    if (operation.quantize)
        show(machinery, moment, operation.a_qp, box, operation.a.format, lanes.codes.data(),
             lanes.a_clips);
    write_tile(machinery.memories, operation.destination, box, lanes.codes);
    return work;
}

}  // namespace wagesim::rtl
