// What a pass keeps per channel in the parameter RAM.
#pragma once

#include <vector>

#include "compile/passes.h"

namespace wagesim::compile {

/// Entries of consecutive channels.
struct ParameterVector {
    QpId qp;
    int bytes = 4;        ///< per channel
    bool loaded = false;  ///< comes from Dram before the first tile
    bool stored = false;  ///< goes to Dram after the last
    std::int64_t address = 0;
};

/// The parameter RAM for one block of channels.
struct ParameterPlan {
    std::int32_t c0 = 0;
    std::vector<ParameterVector> vectors;
    std::int64_t statistics = -1;  ///< sums and sums of squares, 16 bytes a channel; -1: none
    std::int64_t bytes = 0;

    /// Address of a vector's entry of channel c.
    std::int64_t address(int layer, Qp qp, std::int64_t c) const;
};

inline constexpr int statistics_bytes = 16;  ///< per channel

ParameterPlan plan_parameters(const Job& job, const Pass& pass, std::int32_t c0, std::int32_t c);

}  // namespace wagesim::compile
