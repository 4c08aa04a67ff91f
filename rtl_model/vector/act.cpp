// ACT: batch norm's affine part (or the folded batch norm), ReLU, and the activation's quantiser.
#include <algorithm>
#include <string>

#include "vector/bank_ports.h"
#include "vector/codes.h"
#include "vector/operations.h"
#include "vector/tile_view.h"
#include "wagesim/arith/quantize.h"

namespace wagesim::rtl {
namespace {

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

Wide clip(Wide x, Clip rule, Wide six) {
    if (rule == Clip::none) return x;
    const Wide positive = std::max<Wide>(x, 0);
    return rule == Clip::relu6 ? std::min<Wide>(positive, six) : positive;
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
    const Wide six = operation.clip == Clip::relu6 ? Wide{3} << (affine.frac + 1) : Wide{0};

    std::vector<std::int64_t> codes = read_source(machinery, operation.source, box, moment);
    std::vector<std::int64_t> x_codes(show_x ? codes.size() : 0);
    Clips x_clips, a_clips;
    std::size_t i = 0;
    for (std::int64_t p = 0; p < box.pixels(); ++p) {
        for (std::size_t c = 0; c < affine.factor.size(); ++c, ++i) {
            const Wide product = Wide{affine.factor[c]} * codes[i];
            Wide x = product * (Wide{1} << affine.product_shift) +
                     Wide{affine.offset[c]} * (Wide{1} << affine.offset_shift);
            if (registered) {
                const arith::Clipped<Wide> fitted =
                    arith::fit(x, operation.x.format, operation.x.overflow);
                x_clips.count(fitted.clipped, operation.x.overflow);
                x = fitted.value;
            }
            if (show_x) x_codes[i] = static_cast<std::int64_t>(x);
            const Wide clipped = clip(x, operation.clip, six);
            if (operation.quantize) {
                const arith::Quantized a = arith::requantize(clipped, affine.frac, operation.a);
                a_clips.count(a.clipped, operation.a.overflow);
                codes[i] = a.code;
            } else {
                codes[i] = static_cast<std::int64_t>(clipped);
            }
        }
    }
    if (show_x)
        show(machinery, moment, operation.x_qp, box, operation.x.format, x_codes.data(), x_clips);
    if (operation.quantize)
        show(machinery, moment, operation.a_qp, box, operation.a.format, codes.data(), a_clips);
    write_tile(machinery.memories, operation.destination, box, codes);
    return work;
}

}  // namespace wagesim::rtl
