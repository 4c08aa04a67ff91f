// The update unit: masters, their momentum, and the codes that the forward pass uses.
#include "update/update_unit.h"

#include <algorithm>
#include <string>
#include <variant>

#include "vector/bank_ports.h"
#include "vector/channel_vector.h"
#include "vector/codes.h"
#include "vector/quantize_codes.h"
#include "vector/scale.h"
#include "wagesim/arith/constant_quantize.h"
#include "wagesim/arith/quantize.h"

namespace wagesim::rtl {
namespace {

constexpr int lr_frac = 9;

/// `count` codes one after the other.
struct Place {
    std::int64_t address = 0;
    int bytes = 1;
};

/// The places that a command reads and writes.
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

arith::Quantized fit(Wide exact, const Quantizer& quantizer) {
    const auto fitted = arith::fit(exact, quantizer.format, quantizer.overflow);
    return {static_cast<std::int64_t>(fitted.value), fitted.clipped};
}

}  // namespace

UpdateUnit::UpdateUnit(const MachineConfig& config, Memories& memories, Watch& watch,
                       const DrawSource& draws)
    : machinery_{config, memories, watch, pool_}, draws_(draws) {}

Work UpdateUnit::execute(const Command& command, std::int64_t index, std::int64_t start) {
    if (const auto* operation = std::get_if<QuantizeCmd>(&command.operands))
        return quantize(*operation, index, start);
    if (const auto* operation = std::get_if<Update>(&command.operands))
        return update(*operation, index, start);
    throw MachineError("update unit: command " + std::to_string(index) + " is another unit's");
}

Work UpdateUnit::quantize(const QuantizeCmd& operation, std::int64_t index, std::int64_t start) {
    const Work work = duration(machinery_.config, operation.count,
                               {{operation.source_address, operation.source_bytes},
                                {operation.destination_address, operation.destination_bytes}});
    const Quantizer& quantizer = operation.quantizer;
    Buffer& activations = machinery_.memories.activations;
    std::vector<std::int64_t> codes =
        read_codes(activations, operation.source_address, operation.count, operation.source_bytes,
                   operation.source_signed);
    Counts counts = quantize_codes(codes.data(), codes.size(), operation.source_frac, quantizer,
                                   8 * operation.source_bytes + 1);
    counts.underflows = 0;  // they are counted for errors only
    Box box;
    box.c = static_cast<std::int32_t>(operation.count);
    show(machinery_, Moment{index, start + work.latency}, operation.qp, box, quantizer.format,
         codes.data(), counts, operation.first);
    write_codes(activations, operation.destination_address, codes, operation.destination_bytes,
                quantizer.format.is_signed);
    return work;
}

Work UpdateUnit::update(const Update& operation, std::int64_t index, std::int64_t start) {
    const Place gradient{operation.gradient_address, operation.gradient_bytes};
    const Place accumulator{operation.accumulator_address, operation.accumulator_bytes};
    const Place master{operation.master_address, operation.master_bytes};
    const Place made{operation.quantized_address, operation.quantized_bytes};
    const Work work = duration(machinery_.config, operation.count,
                               {gradient, accumulator, accumulator, master, master, made});

    Buffer& activations = machinery_.memories.activations;
    const auto read = [&](const Place& place, bool is_signed) {
        return read_codes(activations, place.address, operation.count, place.bytes, is_signed);
    };
    const std::vector<std::int64_t> gradients = read(gradient, true);
    const std::vector<std::int64_t> kept = read(accumulator, operation.accq.format.is_signed);
    const std::vector<std::int64_t> masters = read(master, operation.master.format.is_signed);

    const StepRegisters& step = machinery_.memories.step;
    std::vector<std::uint32_t> draws;
    Unit unit;
    int s = 0;
    if (operation.constant) {
        if (step.dr_log2 < 0 || step.dr_log2 > 62)
            throw MachineError("UPDATE: dr = 2^" + std::to_string(step.dr_log2));
        unit = unit_of(machinery_.memories.parameters, operation.scale);
        s = read_scale(machinery_.memories.parameters, operation.scale.address).s;
        draws = draws_.take({step.seed, step.step, operation.stream_op, operation.lfsr},
                            operation.first, operation.count);
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

    ChannelVector g, acc, accq, w, quantized;
    for (std::size_t i = 0; i < gradients.size(); ++i) {
        arith::Quantized gradient_code{gradients[i], false};
        if (operation.constant) {
            gradient_code = arith::quantize_constant(gradients[i], unit.frac, unit.exponent, s,
                                                     step.dr_log2, operation.g.rounding, draws[i]);
            g.counts.underflows += gradient_code.code == 0 && gradients[i] != 0 ? 1 : 0;
        }
        g.take(gradient_code, Overflow::saturate);
        acc.take(fit(kept[i] * kept_unit + gradient_code.code * g_unit, operation.acc),
                 operation.acc.overflow);
        const std::int64_t momentum = acc.codes.back();
        accq.take(arith::requantize(momentum, acc_format.frac, operation.accq),
                  operation.accq.overflow);
        w.take(fit(masters[i] - Wide{step.lr} * momentum * step_unit, operation.master),
               operation.master.overflow);
        quantized.take(
            arith::requantize(w.codes.back(), operation.master.format.frac, operation.quantized),
            operation.quantized.overflow);
    }

    Box box;
    box.c = static_cast<std::int32_t>(operation.count);
    const auto deliver = [&](const QpId& qp, const Format& format, const ChannelVector& vector) {
        show(machinery_, Moment{index, start + work.latency}, qp, box, format, vector.codes.data(),
             vector.counts, operation.first);
    };
    const auto store = [&](const Place& place, const Format& format, const ChannelVector& vector) {
        write_codes(activations, place.address, vector.codes, place.bytes, format.is_signed);
    };
    if (operation.constant) deliver(operation.g_qp, operation.g.format, g);
    deliver(operation.acc_qp, acc_format, acc);
    deliver(operation.accq_qp, operation.accq.format, accq);
    deliver(operation.master_qp, operation.master.format, w);
    deliver(operation.quantized_qp, operation.quantized.format, quantized);
    store(accumulator, operation.accq.format, accq);
    store(master, operation.master.format, w);
    store(made, operation.quantized.format, quantized);
    return work;
}

}  // namespace wagesim::rtl
