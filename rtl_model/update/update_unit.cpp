// The update unit: master codes to the codes that the forward pass uses.
#include "update/update_unit.h"

#include <algorithm>
#include <string>
#include <variant>

#include "vector/bank_ports.h"
#include "vector/codes.h"
#include "wagesim/arith/quantize.h"

namespace wagesim::rtl {

UpdateUnit::UpdateUnit(const MachineConfig& config, Memories& memories, Watch& watch)
    : machinery_{config, memories, watch} {}

Work UpdateUnit::execute(const Command& command, std::int64_t index, std::int64_t start) {
    const auto* const operation = std::get_if<QuantizeCmd>(&command.operands);
    if (operation == nullptr)
        throw MachineError("update unit: command " + std::to_string(index) + " is another unit's");

    const std::int64_t source_bytes = operation->count * operation->source_bytes;
    const std::int64_t destination_bytes = operation->count * operation->destination_bytes;
    BankPorts ports(machinery_.config);
    ports.move(Space::activations, operation->source_address, source_bytes, source_bytes);
    ports.move(Space::activations, operation->destination_address, destination_bytes,
               destination_bytes);
    const Work work{
        std::max(ceil_divide(operation->count, machinery_.config.update_lanes), ports.cycles()), 1,
        -1};

    const Quantizer& quantizer = operation->quantizer;
    Buffer& activations = machinery_.memories.activations;
    std::vector<std::int64_t> codes =
        read_codes(activations, operation->source_address, operation->count,
                   operation->source_bytes, operation->source_signed);
    Clips clips;
    for (std::int64_t& code : codes) {
        const arith::Quantized quantized =
            arith::requantize(code, operation->source_frac, quantizer);
        clips.count(quantized.clipped, quantizer.overflow);
        code = quantized.code;
    }
    Box box;
    box.c = static_cast<std::int32_t>(operation->count);
    show(machinery_, Moment{index, start + work.latency}, operation->qp, box, quantizer.format,
         codes.data(), clips, operation->first);
    write_codes(activations, operation->destination_address, codes, operation->destination_bytes,
                quantizer.format.is_signed);
    return work;
}

}  // namespace wagesim::rtl
