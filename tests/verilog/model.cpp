// Compiled once per configuration, with its parameters.
#include "model.h"

#include <stdexcept>

#include "Vtwin.h"
#include "buffer/accumulators.h"
#include "verilated_syms.h"

namespace wagesim::rtl::testing {

std::int64_t Signal::element(int i, int bits) const {
    const int first = i * bits, last = first + bits - 1;
    std::uint64_t gathered = 0;
    for (int byte = last / 8; byte >= first / 8; --byte) gathered = gathered << 8 | data_[byte];
    return static_cast<std::int64_t>(gathered >> (first % 8) << (64 - bits)) >> (64 - bits);
}

void Signal::set_element(int i, int bits, std::int64_t value) const {
    for (int bit = 0; bit < bits; ++bit) {
        const int place = i * bits + bit;
        const int mask = 1 << (place % 8);
        std::uint8_t& byte = data_[place / 8];
        byte = static_cast<std::uint8_t>((value >> bit & 1) != 0 ? byte | mask : byte & ~mask);
    }
}

struct Model::Verilated {
    VerilatedContext context;
    Vtwin twin{&context, "TOP"};
};

MachineConfig Model::config() {
    MachineConfig config;
    config.array_rows = TWIN_ROWS;
    config.array_columns = TWIN_COLUMNS;
    config.accumulator_bits = TWIN_ACCUMULATOR_BITS;
    config.accumulator_overflow = TWIN_SATURATE ? Overflow::full : Overflow::wrap;
    config.accumulator_bytes = std::int64_t{depth} * TWIN_COLUMNS * Accumulators::bytes_per_element;
    return config;
}

int Model::operand_bytes() { return TWIN_OPERAND_BITS / 8; }

Model::Model() : verilated_(std::make_unique<Verilated>()) {
    settle();
    edge();
    verilated_->twin.rst_ni = 1;
    settle();
}

Model::~Model() = default;

Signal Model::find(const std::string& scope, const std::string& name) const {
    const VerilatedScope* const found = verilated_->context.scopeFind(scope.c_str());
    const VerilatedVar* const variable = found == nullptr ? nullptr : found->varFind(name.c_str());
    if (variable == nullptr) throw std::runtime_error("no " + name + " in " + scope);
    return Signal(static_cast<std::uint8_t*>(variable->datap()));
}

void Model::settle() { verilated_->twin.eval(); }

void Model::edge() {
    verilated_->twin.clk_i = 1;
    settle();
    verilated_->twin.clk_i = 0;
    settle();
}

}  // namespace wagesim::rtl::testing
