// The update unit: masters, their momentum, and the codes that the forward pass uses.
#include "update/update_unit.h"

#include <algorithm>
#include <string>
#include <variant>

#include "vector/bank_ports.h"
#include "vector/codes.h"
#include "vector/quantize_codes.h"
#include "vector/scale.h"
#include "vector/vectorized.h"
#include "vector/weighted_sum.h"
#include "wagesim/arith/constant_quantize.h"
#include "wagesim/arith/requantizer.h"

namespace wagesim::rtl {
namespace {

constexpr int lr_frac = 9;

/// `count` codes one after the other.
struct Place {
    std::int64_t address = 0;
    int bytes = 1;
};

struct Places {
    Place gradient, accumulator, master, made;
};

Places places_of(const Update& operation) {
    return {{operation.gradient_address, operation.gradient_bytes},
            {operation.accumulator_address, operation.accumulator_bytes},
            {operation.master_address, operation.master_bytes},
            {operation.quantized_address, operation.quantized_bytes}};
}

/// `moved`: the places that a command reads and writes.
Work duration(const MachineConfig& config, std::int64_t count, const std::vector<Place>& moved) {
    BankPorts ports(config);
    for (const Place& place : moved)
        ports.move(Space::activations, place.address, count * place.bytes, count * place.bytes);
    return {std::max(ceil_divide(count, config.update_lanes), ports.cycles()), 1, -1};
}

/// Places by which a code goes up to a register that must hold it exactly.
Wide unit_at(int register_frac, int frac, const char* what) {
    if (frac > register_frac)
        throw MachineError(std::string("UPDATE: ") + what + " has frac " +
                           std::to_string(register_frac) + ", what it adds " +
                           std::to_string(frac));
    return Wide{1} << (register_frac - frac);
}

Term term_of(const Codes& codes, Wide unit) { return {codes.data(), unit, width_of(codes)}; }

/// Q in place; what becomes 0 is counted for errors only.
Counts quantize(Codes& codes, int from_frac, const Quantizer& quantizer) {
    Counts counts =
        quantize_codes(codes.data(), codes.size(), from_frac, quantizer, width_of(codes));
    counts.underflows = 0;
    return counts;
}

template <class Code, class Quantize>
Counts draw_each(Codes& codes, const std::vector<std::uint32_t>& draws, Quantize quantize) {
    return vectorized([=, code = codes.data(), size = codes.size(), draw = draws.data()] {
        std::int64_t clipped = 0, zeroed = 0;
        for (std::size_t i = 0; i < size; ++i) {
            const auto before = static_cast<Code>(code[i]);
            const auto quantized = quantize(before, draw[i]);
            clipped += quantized.clipped ? 1 : 0;
            zeroed += (quantized.code == 0) & (before != 0) ? 1 : 0;
            code[i] = quantized.code;
        }
        Counts counts;
        counts.saturations = clipped;
        counts.underflows = zeroed;
        return counts;
    });
}

/// CQ in place, for gradients of the unit 2^s.
Counts quantize_gradients(Codes& codes, const Unit& unit, int s, int dr_log2, Rounding rounding,
                          const std::vector<std::uint32_t>& draws) {
    const int n = s - unit.log2() - dr_log2, bits = width_of(codes);
    const bool is_drawn = rounding == Rounding::stochastic;
    const arith::StochasticQuantizer<std::int32_t> narrow(n, dr_log2, bits);
    if (is_drawn && narrow.fits()) return draw_each<std::int32_t>(codes, draws, narrow);
    const arith::StochasticQuantizer<std::int64_t> wider(n, dr_log2, bits);
    if (is_drawn && wider.fits()) return draw_each<std::int64_t>(codes, draws, wider);
    return draw_each<Wide>(codes, draws, [=](Wide code, std::uint32_t draw) {
        return arith::quantize_constant(code, unit.frac, unit.exponent, s, dr_log2, rounding, draw);
    });
}

}  // namespace

UpdateUnit::UpdateUnit(const MachineConfig& config, Memories& memories, Watch& watch,
                       const DrawSource& draws)
    : machinery_{config, memories, watch, pool_}, draws_(draws) {}

Work UpdateUnit::duration(const Command& command) const {
    if (const auto* o = std::get_if<QuantizeCmd>(&command.operands))
        return rtl::duration(
            machinery_.config, o->count,
            {{o->source_address, o->source_bytes}, {o->destination_address, o->destination_bytes}});
    if (const auto* o = std::get_if<Update>(&command.operands)) {
        const Places at = places_of(*o);
        return rtl::duration(
            machinery_.config, o->count,
            {at.gradient, at.accumulator, at.accumulator, at.master, at.master, at.made});
    }
    throw MachineError("update: a " + mnemonic(command) + " is another unit's");
}

void UpdateUnit::execute(const Command& command, std::int64_t index, std::int64_t start,
                         const Work& work) {
    const Moment moment{index, start + work.latency};
    if (const auto* operation = std::get_if<QuantizeCmd>(&command.operands))
        quantize(*operation, moment);
    else
        update(std::get<Update>(command.operands), moment);
}

void UpdateUnit::quantize(const QuantizeCmd& operation, const Moment& moment) {
    const Quantizer& quantizer = operation.quantizer;
    Buffer& activations = machinery_.memories.activations;
    Codes codes = read_codes(pool_, activations, operation.source_address, operation.count,
                             operation.source_bytes, operation.source_signed);
    const Counts counts = rtl::quantize(codes, operation.source_frac, quantizer);
    Box box;
    box.c = static_cast<std::int32_t>(operation.count);
    show(machinery_, moment, operation.qp, box, quantizer.format, codes.data(), counts,
         operation.first);
    write_codes(activations, operation.destination_address, codes, operation.destination_bytes,
                quantizer.format.is_signed);
}

void UpdateUnit::update(const Update& operation, const Moment& moment) {
    const auto [gradient, accumulator, master, made] = places_of(operation);
    Buffer& activations = machinery_.memories.activations;
    const auto read = [&](const Place& place, bool is_signed) {
        return read_codes(pool_, activations, place.address, operation.count, place.bytes,
                          is_signed);
    };
    Codes g = read(gradient, true);
    Codes accq = read(accumulator, operation.accq.format.is_signed);
    Codes w = read(master, operation.master.format.is_signed);

    const StepRegisters& step = machinery_.memories.step;
    Counts g_counts;
    if (operation.constant) {
        if (step.dr_log2 < 0 || step.dr_log2 > 62)
            throw MachineError("UPDATE: dr = 2^" + std::to_string(step.dr_log2));
        const Unit unit = unit_of(machinery_.memories.parameters, operation.scale);
        const int s = read_scale(machinery_.memories.parameters, operation.scale.address).s;
        g_counts = quantize_gradients(
            g, unit, s, step.dr_log2, operation.g.rounding,
            draws_.take({step.seed, step.step, operation.stream_op, operation.lfsr},
                        operation.first, operation.count));
    }

    constexpr int momentum_frac = 2;
    const Format& acc_format = operation.acc.format;
    const int g_frac = operation.constant ? operation.g.format.frac : operation.gradient_frac;
    const Wide g_unit = unit_at(acc_format.frac, g_frac, "the momentum's register");
    const Wide kept_unit = unit_at(acc_format.frac, operation.accq.format.frac + momentum_frac,
                                   "the momentum's register") *
                           (operation.momentum_quarter ? 1 : 3);
    const Wide step_unit =
        unit_at(operation.master.format.frac, lr_frac + acc_format.frac, "the master");

    Codes acc = pool_.take(operation.count), quantized = pool_.take(operation.count);
    const Counts acc_counts = weighted_sum(term_of(accq, kept_unit), term_of(g, g_unit), g.size(),
                                           operation.acc, acc.data());
    std::copy(acc.begin(), acc.end(), accq.begin());
    const Counts accq_counts = rtl::quantize(accq, acc_format.frac, operation.accq);
    const Counts w_counts = weighted_sum(term_of(w, 1), term_of(acc, -Wide{step.lr} * step_unit),
                                         g.size(), operation.master, w.data());
    std::copy(w.begin(), w.end(), quantized.begin());
    const Counts quantized_counts =
        rtl::quantize(quantized, operation.master.format.frac, operation.quantized);

    Box box;
    box.c = static_cast<std::int32_t>(operation.count);
    const auto deliver = [&](const QpId& qp, const Format& format, const Codes& codes,
                             const Counts& counts) {
        show(machinery_, moment, qp, box, format, codes.data(), counts, operation.first);
    };
    const auto store = [&](const Place& place, const Format& format, const Codes& codes) {
        write_codes(activations, place.address, codes, place.bytes, format.is_signed);
    };
    if (operation.constant) deliver(operation.g_qp, operation.g.format, g, g_counts);
    deliver(operation.acc_qp, acc_format, acc, acc_counts);
    deliver(operation.accq_qp, operation.accq.format, accq, accq_counts);
    deliver(operation.master_qp, operation.master.format, w, w_counts);
    deliver(operation.quantized_qp, operation.quantized.format, quantized, quantized_counts);
    store(accumulator, operation.accq.format, accq);
    store(master, operation.master.format, w);
    store(made, operation.quantized.format, quantized);
}

}  // namespace wagesim::rtl
