// How the learning rate falls over a training run.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace wagesim::app {

class Schedule {
public:
    /// `rates`: 0 to 511/512, each brought to a multiple of 1/512; `percents`: where, of all steps,
    /// each but the first begins. Both empty: 0.4, 0.1, 0.03 from 60 and 85 %; from five epochs on
    /// 0.4, 0.1, 0.03, 0.008 from 50, 75 and 90 %. Throws InputError naming --lr or --lr-at.
    Schedule(const std::vector<double>& rates, const std::vector<double>& percents,
             std::int64_t steps, double epochs);

    /// The code (frac 9) at a step.
    int lr(std::int64_t step) const;
    /// "0.4004, 0.0996 from step 1124, ...".
    std::string text() const;

private:
    struct Stage {
        std::int64_t first;
        int lr;
    };
    std::vector<Stage> stages_;
};

/// Throws InputError naming --dr where it is no power of two from 1 to 128.
int dr_log2(int dr);

}  // namespace wagesim::app
