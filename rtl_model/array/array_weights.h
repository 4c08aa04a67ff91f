// The two weight registers of every PE, and whose turn they are.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "buffer/buffer.h"
#include "wagesim/network/datapath.h"

namespace wagesim::rtl {

/// Shadow registers take the next tile while the active ones multiply. A tile is loaded once and
/// used by one GEMM: anything else is an error of the program's tokens, and is reported.
class ArrayWeights {
public:
    /// A weight tile: PE (r, c) at [r * array columns + c], 0 beyond `rows` x `columns`.
    struct TileRegisters {
        std::vector<std::int16_t> weights;
        std::int32_t rows = 0, columns = 0;
        int bits = 8;  ///< of a weight
    };

    explicit ArrayWeights(const MachineConfig& config)
        : rows_(config.array_rows), columns_(config.array_columns) {
        for (TileRegisters* tile : {&shadow_, &active_}) tile->weights.assign(size(), 0);
    }

    int rows() const { return rows_; }
    int columns() const { return columns_; }
    const TileRegisters& active() const { return active_; }
    /// The last tile loaded, though it may have become the active one since.
    const TileRegisters& shadow() const { return shadow_; }

    /// The shadow registers, for a tile shifted in from `start` on and complete at `done`.
    TileRegisters& load(std::int64_t start, std::int64_t done) {
        if (shadow_full_ || start < shadow_free_)
            throw MachineError("WLOAD at cycle " + std::to_string(start) +
                               ": the shadow registers still hold a tile");
        shadow_full_ = true;
        shadow_done_ = done;
        shadow_.weights.assign(size(), 0);
        return shadow_;
    }

    /// The shadow registers' tile becomes the active one, the last PE's at `done`.
    const TileRegisters& swap(std::int64_t start, std::int64_t done) {
        if (!shadow_full_ || start < shadow_done_)
            throw MachineError("GEMM at cycle " + std::to_string(start) +
                               ": the shadow registers hold no complete tile");
        shadow_full_ = false;
        shadow_free_ = done;
        active_ = shadow_;
        return active_;
    }

private:
    std::size_t size() const {
        return static_cast<std::size_t>(rows_) * static_cast<std::size_t>(columns_);
    }

    int rows_, columns_;
    TileRegisters shadow_, active_;
    bool shadow_full_ = false;
    std::int64_t shadow_done_ = 0;  // cycle in which the loaded tile is complete
    std::int64_t shadow_free_ = 0;  // cycle in which the last PE has taken its weight
};

}  // namespace wagesim::rtl
