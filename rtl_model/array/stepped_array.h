// Which commands of the array are carried out register by register, and when.
#pragma once

#include <cstdint>
#include <memory>

#include "array/register_array.h"

namespace wagesim::rtl {

/// Cycles of interest: [from, to).
struct CycleWindow {
    std::int64_t from = 0, to = 0;
};

/// The registers, stepped through the commands that meet a window; the rest of the run the array
/// may do its commands at once.
class SteppedArray {
public:
    SteppedArray(std::unique_ptr<RegisterArray> registers, const CycleWindow& window, int quantum)
        : registers_(std::move(registers)), window_(window), quantum_(quantum) {}

    /// Whether the command that starts in the present cycle `start` and is done in `done` must be
    /// given to registers(), which then stand at its start.
    bool takes(std::int64_t start, std::int64_t done, const ArrayWeights& weights) {
        if (start >= window_.to || (!running_ && done <= window_.from)) return false;
        settle(start, weights);
        if (!running_) resume(start, weights);
        return true;
    }
    /// Everything before `cycle` has happened.
    void settle(std::int64_t cycle, const ArrayWeights& weights) {
        if (!running_ && cycle > window_.from) resume(window_.from, weights);
        if (running_) registers_->settle(cycle);
    }

    RegisterArray& registers() { return *registers_; }
    const RegisterArray& registers() const { return *registers_; }
    int quantum() const { return quantum_; }

private:
    void resume(std::int64_t cycle, const ArrayWeights& weights) {
        registers_->resume(cycle, weights);
        running_ = true;
    }

    std::unique_ptr<RegisterArray> registers_;
    const CycleWindow window_;
    const int quantum_;
    bool running_ = false;
};

}  // namespace wagesim::rtl
