// ACT: batch norm's affine part (or the folded batch norm), ReLU, and the activation's quantiser.
#include <algorithm>
#include <string>

#include "vector/bank_ports.h"
#include "vector/bit_plane.h"
#include "vector/channel_rows.h"
#include "vector/codes.h"
#include "vector/operations.h"
#include "vector/tile_view.h"
#include "vector/vectorized.h"
#include "wagesim/arith/quantize.h"
#include "wagesim/arith/requantizer.h"
#include "wagesim/arith/wide.h"

namespace wagesim::rtl {
namespace {

/// x = factor * source + offset per channel, exact, as codes of `frac` fraction bits.
struct Affine {
    std::vector<Wide> factor, offset;
    int frac = 0;
    int bits = 0;  ///< of the widest x, and of relu6's 6.0
};

Affine affine_of(const Machinery& machinery, const Act& operation, std::int64_t channels) {
    Affine affine;
    std::vector<std::int64_t> factor(static_cast<std::size_t>(channels), 1);
    std::vector<std::int64_t> offset(static_cast<std::size_t>(channels), 0);
    int product_frac = operation.source.frac, offset_frac = product_frac;
    if (operation.kind != Act::Kind::plain) {
        const bool folded = operation.kind == Act::Kind::fold;
        const auto read = [&](std::int64_t address, const Format& format) {
            return read_codes(machinery.memories.parameters, address, channels,
                              folded ? 8 : bytes_of(format.bits), format.is_signed);
        };
        factor = read(operation.gamma_address, operation.gamma.format);
        offset = read(operation.beta_address, operation.beta.format);
        product_frac = operation.gamma.format.frac + operation.source.frac;
        offset_frac = operation.beta.format.frac;
    }
    affine.frac = std::max(product_frac, offset_frac);
    arith::UnsignedWide factors = 0, offsets = 0;
    for (std::size_t c = 0; c < factor.size(); ++c) {
        affine.factor.push_back(factor[c] * (Wide{1} << (affine.frac - product_frac)));
        affine.offset.push_back(offset[c] * (Wide{1} << (affine.frac - offset_frac)));
        factors |= arith::magnitude(affine.factor.back());
        offsets |= arith::magnitude(affine.offset.back());
    }
    const int product = arith::bit_length(factors) + width_of(operation.source);
    affine.bits = std::max({product, arith::bit_length(offsets) + 1, affine.frac + 3}) + 1;
    return affine;
}

/// What leaves the lanes: x where it is shown, the mask where there is one, and the destination's
/// codes in place of the source's.
struct Lanes {
    Codes codes;
    std::int64_t* x_codes = nullptr;
    std::uint8_t* mask = nullptr;
    Counts x_counts, a_counts;
};

/// `Code` holds every x. `fit` puts it into its register, `quantize` makes A of it.
template <class Code, class Fit, class Quantize>
void work_lanes(const Act& operation, const Affine& affine, Lanes& lanes, Fit fit,
                Quantize quantize) {
    const std::vector<Code> factors = along_row<Code>(affine.factor);
    const std::vector<Code> offsets = along_row<Code>(affine.offset);
    // An error passes where lowest < x <= highest.
    const Code most = Code{1} << (8 * sizeof(Code) - 2);
    const Code lowest = operation.clip == Clip::none ? -most : Code{0};
    const Code highest = operation.clip == Clip::relu6 ? Code{3} << (affine.frac + 1) : most;
    struct Clipped {
        std::int64_t x = 0, a = 0;
    };
    std::vector<Code> x_row(factors.size()), clipped_row(factors.size());
    const Clipped clipped = vectorized(
        [=, codes = lanes.codes.data(), size = lanes.codes.size(), x_codes = lanes.x_codes,
         masks = lanes.mask, row = factors.size(), factor = factors.data(), offset = offsets.data(),
         x = x_row.data(), a_clipped = clipped_row.data(),
         masks_overflow = Code{operation.masks_overflow}] {
            Clipped changed;
            for_each_row(size, row, [&](std::size_t first, std::size_t count) {
                std::int64_t* const code = codes + first;
                for (std::size_t i = 0; i < count; ++i) {
                    const auto exact = fit(factor[i] * static_cast<Code>(code[i]) + offset[i]);
                    changed.x += static_cast<std::int64_t>(exact.clipped);
                    x[i] = exact.code;
                }
                if (x_codes != nullptr)
                    for (std::size_t i = 0; i < count; ++i)
                        x_codes[first + i] = static_cast<std::int64_t>(x[i]);
                for (std::size_t i = 0; i < count; ++i) {
                    const auto a = quantize(std::min(std::max(x[i], lowest), highest));
                    changed.a += a.clipped;
                    a_clipped[i] = a.clipped & masks_overflow;
                    code[i] = a.code;
                }
                if (masks == nullptr) return;
                for (std::size_t i = 0; i < count; ++i) {
                    const auto passes = (x[i] > lowest) & (x[i] <= highest);
                    masks[first + i] = static_cast<std::uint8_t>(passes & !a_clipped[i]);
                }
            });
            return changed;
        });
    lanes.x_counts.add_clipped(clipped.x, operation.x.overflow);
    lanes.a_counts.add_clipped(clipped.a, operation.a.overflow);
}

/// Where `Code` holds every x and no x can leave its register.
template <class Code>
bool work_narrow_lanes(const Act& operation, const Affine& affine, Lanes& lanes) {
    const bool registered = operation.kind == Act::Kind::affine;  // x is x2, with a width
    if (affine.bits > arith::most_bits<Code> ||
        (registered && affine.bits > operation.x.format.bits))
        return false;
    const auto fit = [](Code x) { return arith::QuantizedLane<Code>{x, 0}; };
    if (!operation.quantize) {
        work_lanes<Code>(operation, affine, lanes, fit, [](Code x) {
            return arith::QuantizedLane<Code>{x, 0};
        });
        return true;
    }
    const arith::Requantizer<Code> quantize(affine.frac, operation.a, affine.bits);
    if (!quantize.fits()) return false;
    work_lanes<Code>(operation, affine, lanes, fit, quantize);
    return true;
}

void work_wide_lanes(const Act& operation, const Affine& affine, Lanes& lanes) {
    work_lanes<Wide>(
        operation, affine, lanes,
        [=](Wide x) {
            if (operation.kind != Act::Kind::affine) return arith::QuantizedLane<Wide>{x, 0};
            const auto fitted = arith::fit(x, operation.x.format, operation.x.overflow);
            return arith::QuantizedLane<Wide>{fitted.value, fitted.clipped ? 1 : 0};
        },
        [=, frac = affine.frac](Wide x) {
            if (!operation.quantize) return arith::Quantized{static_cast<std::int64_t>(x), false};
            return arith::requantize(x, frac, operation.a);
        });
}

}  // namespace

Work duration(const MachineConfig& config, const Box& box, const Act& operation) {
    BankPorts ports(config);
    ports.move(operation.source, box);
    ports.move(operation.destination, box);
    ports.move(operation.mask, box);
    return {std::max(beats(config, operation.source, box), ports.cycles()),
            config.vector_depth_cycles, -1};
}

void activate(const Machinery& machinery, const Issue& issue, const Act& operation) {
    const Box& box = issue.command.box;
    const Moment moment = issue.first_element();

    const Affine affine = affine_of(machinery, operation, box.c);
    const bool registered = operation.kind == Act::Kind::affine;  // x is x2, with a width
    if (registered && operation.x.format.frac != affine.frac)
        throw MachineError("x2's register has frac " + std::to_string(operation.x.format.frac) +
                           ", the sum " + std::to_string(affine.frac));
    if (operation.clip == Clip::relu6 && affine.frac < -1)
        throw MachineError("relu6 needs 6.0, which frac " + std::to_string(affine.frac) +
                           " does not have");

    Lanes lanes{read_source(machinery, operation.source, box, moment), nullptr, nullptr, {}, {}};
    show_lanes(machinery, issue, LaneWaves::in, operation.source, lanes.codes);
    const bool show_x = registered && operation.show_x && machinery.watch.probe != nullptr;
    Codes x_codes = machinery.pool.take(show_x ? box.size() : 0);
    if (show_x) lanes.x_codes = x_codes.data();
    std::vector<std::uint8_t> mask(operation.mask.exists() ? static_cast<std::size_t>(box.size())
                                                           : 0);
    if (operation.mask.exists()) lanes.mask = mask.data();
    if (!work_narrow_lanes<std::int32_t>(operation, affine, lanes) &&
        !work_narrow_lanes<std::int64_t>(operation, affine, lanes))
        work_wide_lanes(operation, affine, lanes);
    show_lanes(machinery, issue, LaneWaves::out, operation.source, lanes.codes);
    if (show_x)
        show(machinery, moment, operation.x_qp, box, operation.x.format, x_codes.data(),
             lanes.x_counts);
    if (operation.quantize)
        show(machinery, moment, operation.a_qp, box, operation.a.format, lanes.codes.data(),
             lanes.a_counts);
    write_tile(machinery, operation.destination, box, lanes.codes);
    if (operation.mask.exists()) write_plane(machinery.memories, operation.mask, box, mask);
}

}  // namespace wagesim::rtl
