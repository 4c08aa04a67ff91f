// Scale records of block-scaled tensors, and the units that they give to codes.
#include "vector/scale.h"

#include <algorithm>
#include <string>

#include "vector/codes.h"
#include "vector/vectorized.h"
#include "wagesim/arith/block_scale.h"
#include "wagesim/arith/wide.h"

namespace wagesim::rtl {
namespace {

constexpr int largest_bytes = 8;
constexpr int frac_at = 8, exponent_at = 10, s_at = 11;  // bytes in a record
constexpr int fork_bits = 64;

void write_largest(Buffer& parameters, std::int64_t address, std::uint64_t largest) {
    write_codes(parameters, address, {static_cast<std::int64_t>(largest)}, largest_bytes, true);
}
/// Signed.
void write_number(Buffer& parameters, std::int64_t address, int bytes, int value) {
    write_codes(parameters, address, {value}, bytes, true);
}
int read_number(Buffer& parameters, std::int64_t address, int bytes) {
    return static_cast<int>(read_codes(parameters, address, 1, bytes, true).front());
}

int register_bits(Buffer& parameters, const Exponent::Operand& operand) {
    if (operand.bits > 0) return operand.bits;
    const std::int64_t address =
        operand.width_address >= 0 ? operand.width_address : operand.scale.address;
    return arith::bit_length(read_largest(parameters, address)) + 1 - operand.bits;
}

}  // namespace

std::uint64_t read_largest(Buffer& parameters, std::int64_t address) {
    return static_cast<std::uint64_t>(
        read_codes(parameters, address, 1, largest_bytes, true).front());
}

ScaleRecord read_scale(Buffer& parameters, std::int64_t address) {
    return {read_largest(parameters, address), read_number(parameters, address + exponent_at, 1),
            read_number(parameters, address + frac_at, 2),
            read_number(parameters, address + s_at, 1)};
}

void write_scale(Buffer& parameters, std::int64_t address, const ScaleRecord& record) {
    std::uint8_t* const bytes = parameters.write(address, scale_bytes);
    std::fill(bytes, bytes + scale_bytes, std::uint8_t{0});
    write_largest(parameters, address, record.largest);
    write_number(parameters, address + exponent_at, 1, record.exponent);
    write_number(parameters, address + frac_at, 2, record.frac);
    write_number(parameters, address + s_at, 1, record.s);
}

void gather_largest(Buffer& parameters, std::int64_t address, const Codes& codes) {
    if (address < 0) return;
    struct Range {
        std::int64_t lowest = 0, highest = 0;
    };
    const Range range = vectorized([code = codes.data(), size = codes.size()] {
        Range all;
        for (std::size_t i = 0; i < size; ++i) {
            all.lowest = std::min(all.lowest, code[i]);
            all.highest = std::max(all.highest, code[i]);
        }
        return all;
    });
    const std::uint64_t most = std::max(static_cast<std::uint64_t>(range.highest),
                                        ~static_cast<std::uint64_t>(range.lowest) + 1);
    write_largest(parameters, address, std::max(read_largest(parameters, address), most));
}

Unit unit_of(Buffer& parameters, const ScaleView& view) {
    if (view.address < 0) return {view.exponent, view.frac};
    const ScaleRecord record = read_scale(parameters, view.address);
    if (view.quantized) return {record.s, view.frac};
    return {record.exponent, record.frac};
}

CommonUnit common_unit(Buffer& parameters, const std::vector<Exponent::Operand>& operands) {
    if (operands.empty()) throw MachineError("a fork of no operands");
    std::vector<Unit> units;
    CommonUnit common{{arith::min_exponent, 0}, {}};
    const Unit* finest = nullptr;
    int count = 0;
    for (const Exponent::Operand& operand : operands)
        units.push_back(unit_of(parameters, operand.scale));
    common.unit.frac = units.front().frac;
    for (std::size_t i = 0; i < operands.size(); ++i) {
        const bool takes_part = operands[i].scale.address < 0 ||
                                read_largest(parameters, operands[i].scale.address) != 0;
        common.shifts.push_back({takes_part, 0});
        if (!takes_part) continue;
        ++count;
        if (finest == nullptr || units[i].log2() < finest->log2()) finest = &units[i];
    }
    if (finest == nullptr) return common;

    const int headroom = arith::bit_length(static_cast<unsigned>(count - 1)) - 1;  // of their sum
    int excess = 0;
    for (std::size_t i = 0; i < operands.size(); ++i) {
        CommonUnit::Shift& shift = common.shifts[i];
        if (!shift.takes_part) continue;
        shift.left = units[i].log2() - finest->log2();
        excess = std::max(excess, register_bits(parameters, operands[i]) + shift.left + headroom -
                                      (fork_bits - 1));
    }
    for (CommonUnit::Shift& shift : common.shifts) shift.left -= excess;
    common.unit = {finest->exponent, finest->frac - excess};
    return common;
}

}  // namespace wagesim::rtl
