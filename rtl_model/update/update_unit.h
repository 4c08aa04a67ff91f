// The update unit: masters, their momentum, and the codes that the forward pass uses.
#pragma once

#include <cstdint>

#include "control/executor.h"
#include "update/draws.h"
#include "vector/tap.h"

namespace wagesim::rtl {

/// Executes QUANTIZE and UPDATE, whose operands are consecutive codes in the activation buffer.
class UpdateUnit : public Executor {
public:
    UpdateUnit(const MachineConfig& config, Memories& memories, Watch& watch,
               const DrawSource& draws = {});

    Work execute(const Command& command, std::int64_t index, std::int64_t start) override;

private:
    Work quantize(const QuantizeCmd& operation, std::int64_t index, std::int64_t start);
    Work update(const Update& operation, std::int64_t index, std::int64_t start);

    CodePool pool_;
    Machinery machinery_;
    Draws draws_;
};

}  // namespace wagesim::rtl
