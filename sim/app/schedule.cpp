// See schedule.h.
#include "schedule.h"

#include <cmath>
#include <cstdio>

#include "wagesim/error.h"

namespace wagesim::app {
namespace {

constexpr int lr_one = 512;

std::string short_text(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.4g", value);
    return text;
}

}  // namespace

Schedule::Schedule(const std::vector<double>& rates, const std::vector<double>& percents,
                   std::int64_t steps, double epochs) {
    std::vector<double> lr = rates, at = percents;
    if (lr.empty() && at.empty()) {
        const bool is_long = epochs >= 5;
        lr = is_long ? std::vector<double>{0.4, 0.1, 0.03, 0.008} : std::vector{0.4, 0.1, 0.03};
        at = is_long ? std::vector<double>{50, 75, 90} : std::vector<double>{60, 85};
    }
    if (at.size() + 1 != lr.size())
        throw InputError("--lr-at: " + std::to_string(at.size()) + " percents for " +
                         std::to_string(lr.size()) + " rates; expected one for each but the first");
    double before = 0;
    for (std::size_t i = 0; i < lr.size(); ++i) {
        const double code = std::nearbyint(lr[i] * lr_one);
        if (!(code >= 0 && code < lr_one))
            throw InputError("--lr " + short_text(lr[i]) + ": expected 0 to 511/512");
        const double percent = i == 0 ? 0 : at[i - 1];
        if (!(percent >= before && percent <= 100))
            throw InputError("--lr-at " + short_text(percent) +
                             ": expected rising percents from 0 to 100");
        before = percent;
        const double first = std::floor(percent / 100 * static_cast<double>(steps) + 0.5);
        stages_.push_back({static_cast<std::int64_t>(first), static_cast<int>(code)});
    }
}

int Schedule::lr(std::int64_t step) const {
    int lr = stages_.front().lr;
    for (const Stage& stage : stages_)
        if (step >= stage.first) lr = stage.lr;
    return lr;
}

std::string Schedule::text() const {
    std::string text;
    for (const Stage& stage : stages_) {
        if (!text.empty()) text += ", ";
        text += short_text(static_cast<double>(stage.lr) / lr_one);
        if (stage.first > 0) text += " from step " + std::to_string(stage.first);
    }
    return text;
}

int dr_log2(int dr) {
    for (int log2 = 0; log2 <= 7; ++log2)
        if (dr == 1 << log2) return log2;
    throw InputError("--dr " + std::to_string(dr) + ": expected a power of two from 1 to 128");
}

}  // namespace wagesim::app
