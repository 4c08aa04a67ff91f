// Which commands of the array are carried out register by register, and when.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <utility>

#include "array/register_array.h"

namespace wagesim::rtl {

/// The registers, stepped through the whole run; or, where they are only there to be seen, through
/// the commands that meet the wave's window, while the array does all others at once.
class SteppedArray {
public:
    /// `window`: null: the whole run, settled every `quantum` cycles.
    SteppedArray(std::unique_ptr<RegisterArray> registers, const trace::WaveSink* window,
                 int quantum)
        : registers_(std::move(registers)), window_(window), quantum_(quantum) {}

    /// Whether the command that starts in the present cycle `start` and is done in `done` must be
    /// given to registers(), which then stand at its start.
    bool takes(std::int64_t start, std::int64_t done, const ArrayWeights& weights) {
        settle(start, weights);
        if (place_ == Place::behind) return false;
        if (meets(start, place_ == Place::inside ? forever : done)) {
            if (place_ == Place::before) resume(start, weights);
            return true;
        }
        if (place_ == Place::inside) {
            // What comes at once now builds on what the registers have begun.
            registers_->finish();
            place_ = Place::behind;
        }
        return false;
    }
    /// Everything before `cycle` has happened.
    void settle(std::int64_t cycle, const ArrayWeights& weights) {
        // The window has begun, but no command that meets it: nothing has changed since then.
        if (place_ == Place::before && cycle > 0 && meets(0, cycle)) resume(settled_, weights);
        if (place_ == Place::inside) registers_->settle(cycle);
        settled_ = cycle;
    }

    RegisterArray& registers() { return *registers_; }
    const RegisterArray& registers() const { return *registers_; }
    int quantum() const { return quantum_; }

private:
    enum class Place { before, inside, behind };  // of the window
    static constexpr std::int64_t forever = std::numeric_limits<std::int64_t>::max();

    bool meets(std::int64_t from, std::int64_t to) const {
        return window_ == nullptr || window_->shows(from, to);
    }
    void resume(std::int64_t cycle, const ArrayWeights& weights) {
        registers_->resume(cycle, weights);
        place_ = Place::inside;
    }

    std::unique_ptr<RegisterArray> registers_;
    const trace::WaveSink* const window_;
    const int quantum_;
    Place place_ = Place::before;
    std::int64_t settled_ = 0;
};

}  // namespace wagesim::rtl
