// Random GEMMs, and what stands at the arrays' inputs in each cycle of them, as docs/array.md says.
#pragma once

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

#include "model.h"

namespace wagesim::rtl::testing {

using Row = std::vector<std::int16_t>;

class Random {
public:
    explicit Random(std::uint64_t seed) : engine_(seed) {}
    std::int64_t between(std::int64_t low, std::int64_t high) {
        return low +
               static_cast<std::int64_t>(engine_() % static_cast<std::uint64_t>(high - low + 1));
    }
    bool one_in(std::int64_t n) { return between(1, n) == 1; }
    /// `size` numbers of `bytes` bytes, the others of `length` 0.
    Row row(int size, int length, int bytes) {
        const std::int64_t half = std::int64_t{1} << (8 * bytes - 1);
        Row row(static_cast<std::size_t>(length));
        for (int i = 0; i < size; ++i)
            row[static_cast<std::size_t>(i)] =
                static_cast<std::int16_t>(one_in(8) ? -half : between(-half, half - 1));
        return row;
    }

private:
    std::mt19937_64 engine_;
};

/// A tile of k x `columns` weights, and `pixels` rows of k operands.
struct TileGemm {
    int k = 0, columns = 0, pixels = 0;
    std::vector<Row> weights;   ///< ws: array rows, os: k; of array columns
    std::vector<Row> operands;  ///< pixels; ws: of array rows, os: of k
    int accumulator_row = 0;
    bool accumulate = false;
    std::vector<std::int64_t> bias;  ///< of array columns; empty: none
    std::int64_t load = 0;           ///< ws: when the WLOAD starts
    std::int64_t start = 0;
};

/// A feeder that takes one cycle for a row of up to half the array's rows (ws), or for a step of so
/// many pixels (os), and two cycles for longer ones.
inline int bank_bytes_per_cycle() {
    return std::max(1, Model::config().array_rows * Model::operand_bytes() / 2);
}
inline int cycles_per_row(int operands) {
    const int bytes = operands * Model::operand_bytes();
    return std::max(1, (bytes + bank_bytes_per_cycle() - 1) / bank_bytes_per_cycle());
}

/// Pixels, columns, accumulator rows and bias of a GEMM or of several that add up.
inline TileGemm random_outputs(Random& random) {
    const MachineConfig config = Model::config();
    TileGemm gemm;
    gemm.columns = static_cast<int>(random.one_in(2) ? config.array_columns
                                                     : random.between(1, config.array_columns));
    gemm.pixels = static_cast<int>(random.between(1, Model::depth));
    gemm.accumulator_row = static_cast<int>(random.between(0, Model::depth - gemm.pixels));
    if (random.one_in(3)) return gemm;
    // Of narrow accumulators, twice the range.
    const std::int64_t most = std::int64_t{1} << std::min(config.accumulator_bits, 31);
    gemm.bias.assign(static_cast<std::size_t>(config.array_columns), 0);
    for (int c = 0; c < gemm.columns; ++c)
        gemm.bias[static_cast<std::size_t>(c)] = random.between(-most, most);
    return gemm;
}

// ---- weight-stationary ---------------------------------------------------------------------

/// Sums of several K tiles each; every other GEMM as early as may be.
inline std::vector<TileGemm> random_ws_gemms(Random& random, int sums) {
    const int rows = Model::config().array_rows, columns = Model::config().array_columns;
    std::vector<TileGemm> gemms;
    std::int64_t load = 0, entered = 0;
    for (; sums > 0; --sums) {
        TileGemm gemm = random_outputs(random);
        for (std::int64_t tiles = random.between(1, 4); tiles > 0; --tiles) {
            gemm.k = static_cast<int>(random.one_in(2) ? rows : random.between(1, rows));
            gemm.weights.clear();
            for (int r = 0; r < rows; ++r)
                gemm.weights.push_back(random.row(r < gemm.k ? gemm.columns : 0, columns, 1));
            gemm.operands.clear();
            for (int p = 0; p < gemm.pixels; ++p)
                gemm.operands.push_back(random.row(gemm.k, rows, Model::operand_bytes()));
            gemm.load = load + (random.one_in(2) ? 0 : random.between(0, 2 * rows));
            gemm.start = std::max(gemm.load + rows, entered) +
                         (random.one_in(2) ? 0 : random.between(0, 2 * (rows + columns)));
            entered = gemm.start + gemm.pixels * cycles_per_row(gemm.k);
            load = gemm.start + rows + columns - 1;
            gemms.push_back(gemm);
            gemm.accumulate = true;
        }
    }
    return gemms;
}

inline std::int64_t ws_end(const TileGemm& gemm) {
    const MachineConfig config = Model::config();
    return gemm.start + gemm.pixels * cycles_per_row(gemm.k) + config.array_rows +
           config.array_columns - 1;
}

struct WsInputs {
    const Row* load = nullptr;      ///< the loader's row
    const Row* operands = nullptr;  ///< a row that enters
    bool swap = false;
    const TileGemm* leaving = nullptr;  ///< the GEMM of the row of sums at the output
    int pixel = 0;                      ///< and which of its rows it is
};

/// By cycle; a few more than the GEMMs take.
inline std::vector<WsInputs> ws_inputs(const std::vector<TileGemm>& gemms) {
    const int rows = Model::config().array_rows, columns = Model::config().array_columns;
    std::vector<WsInputs> inputs(static_cast<std::size_t>(ws_end(gemms.back()) + 4));
    const auto at = [&](std::int64_t cycle) -> WsInputs& {
        return inputs[static_cast<std::size_t>(cycle)];
    };
    for (const TileGemm& gemm : gemms) {
        for (int i = 0; i < rows; ++i)
            at(gemm.load + i).load = &gemm.weights[static_cast<std::size_t>(rows - 1 - i)];
        at(gemm.start).swap = true;
        for (int p = 0; p < gemm.pixels; ++p) {
            const std::int64_t entry = gemm.start + (p + 1) * cycles_per_row(gemm.k) - 1;
            at(entry).operands = &gemm.operands[static_cast<std::size_t>(p)];
            at(entry + rows + columns - 1).leaving = &gemm;
            at(entry + rows + columns - 1).pixel = p;
        }
    }
    return inputs;
}

// ---- output-stationary ---------------------------------------------------------------------

struct OsInputs {
    bool shift = false, swap = false;
    const Row *operands = nullptr, *weights = nullptr;  ///< a step
    const TileGemm* gemm = nullptr;                     ///< whose sums shift
    int enters = -1, leaves = -1;                       ///< its pixels, or -1: zeros, nothing
};

/// One GEMM: its steps' operands, and cycles from its start.
struct OsGemm {
    TileGemm gemm;
    std::vector<Row> steps;  ///< of array rows; folds one after the other
    std::vector<OsInputs> inputs;
    std::int64_t end() const { return static_cast<std::int64_t>(inputs.size()); }
};

inline void schedule_os(OsGemm& os) {
    const int rows = Model::config().array_rows, columns = Model::config().array_columns;
    const TileGemm& gemm = os.gemm;
    const int folds = (gemm.pixels + rows - 1) / rows;
    const auto at = [&](std::int64_t cycle) -> OsInputs& {
        if (os.inputs.size() <= static_cast<std::size_t>(cycle))
            os.inputs.resize(static_cast<std::size_t>(cycle) + 1);
        return os.inputs[static_cast<std::size_t>(cycle)];
    };
    const auto pixel = [&](int fold, int row) {
        const int p = fold * rows + row;
        return fold >= 0 && p < gemm.pixels ? p : -1;
    };
    // Fold `leaving` shifts out while `entering` shifts in.
    const auto shift = [&](std::int64_t cycle, int leaving, int entering) {
        for (int i = 0; i < rows; ++i) {
            OsInputs& inputs = at(cycle + i);
            inputs.shift = true;
            inputs.gemm = &gemm;
            inputs.leaves = pixel(leaving, rows - 1 - i);
            inputs.enters = pixel(entering, rows - 1 - i);
        }
    };
    for (int g = 0; g < folds; ++g)
        for (int j = 0; j < gemm.k; ++j) {
            Row step(static_cast<std::size_t>(rows));
            for (int r = 0; r < rows; ++r)
                if (pixel(g, r) >= 0)
                    step[static_cast<std::size_t>(r)] =
                        gemm.operands[static_cast<std::size_t>(pixel(g, r))]
                                     [static_cast<std::size_t>(j)];
            os.steps.push_back(step);
        }
    shift(0, -1, 0);
    std::int64_t t = rows;
    for (int g = 0; g < folds; ++g) {
        at(t).swap = true;
        const int cycles = cycles_per_row(std::min(rows, gemm.pixels - g * rows));
        for (int j = 0; j < gemm.k; ++j) {
            OsInputs& inputs = at(t + (j + 1) * cycles - 1);
            inputs.operands = &os.steps[static_cast<std::size_t>(g * gemm.k + j)];
            inputs.weights = &gemm.weights[static_cast<std::size_t>(j)];
        }
        if (folds > 1) shift(t + rows + columns - 1, g - 1, g + 1);
        t += std::max(gemm.k * cycles, 2 * rows + columns - 1);
    }
    at(t).swap = true;
    shift(t + rows + columns - 1, folds - 1, folds);
}

inline OsGemm random_os_gemm(Random& random, bool accumulate, const TileGemm& outputs) {
    const MachineConfig config = Model::config();
    OsGemm os;
    os.gemm = outputs;
    os.gemm.accumulate = accumulate;
    os.gemm.k = static_cast<int>(random.between(1, 4 * config.array_rows + config.array_columns));
    for (int j = 0; j < os.gemm.k; ++j)
        os.gemm.weights.push_back(random.row(os.gemm.columns, config.array_columns, 1));
    for (int p = 0; p < os.gemm.pixels; ++p)
        os.gemm.operands.push_back(random.row(os.gemm.k, os.gemm.k, Model::operand_bytes()));
    return os;
}

}  // namespace wagesim::rtl::testing
