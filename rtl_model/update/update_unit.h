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

    Work duration(const Command& command) const override;
    void execute(const Command& command, std::int64_t index, std::int64_t start,
                 const Work& work) override;

private:
    void quantize(const QuantizeCmd& operation, const Moment& moment);
    void update(const Update& operation, const Moment& moment);

    CodePool pool_;
    Machinery machinery_;
    Draws draws_;
};

}  // namespace wagesim::rtl
