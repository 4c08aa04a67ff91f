// Tiles of a pass: boxes of its output small enough for every buffer.
#pragma once

#include <vector>

#include "compile/parameters.h"
#include "compile/passes.h"

namespace wagesim::compile {

/// Output channels that the array holds at once: those of a GEMM.
struct ColumnTile {
    std::int32_t c0 = 0, c = 0;
    std::int32_t group = 0;
};

struct Tile {
    Box box;    ///< of the pass's sums (or of the loaded tensor, or the first pool's output)
    Box out;    ///< of the tensor that the pass stores: box, or what the last pool makes of it
    Box input;  ///< loaded, in the coordinates of the source tensor
    int first_column = 0, columns = 0;  ///< column tiles, of Tiling::columns
    bool loads = true;                  ///< false: the tile before it left this input in the bank
    bool releases = true;               ///< the last one to read its input
};

/// A block of channels whose parameters fit: between two FENCEs.
struct Segment {
    std::int32_t c0 = 0, c = 0;
    ParameterPlan parameters;
    std::vector<Tile> tiles;
};

struct Tiling {
    std::vector<ColumnTile> columns;
    std::int32_t channels_per_row = 0;  ///< of an accumulator row
    std::vector<Segment> segments;
};

/// Where a tile's data lie, from the start of their banks.
struct TilePlacement {
    std::int64_t input = 0;
    std::int64_t input_bytes = 0;        ///< used of the input bank
    std::vector<std::int64_t> operands;  ///< per step; the input bank if tiles come from Dram
    std::vector<std::int64_t> results;   ///< per step, in the output bank
    std::vector<std::int64_t> planes;    ///< likewise; -1: none
    std::int64_t drained = 0;            ///< y, where nothing works on it
    std::int64_t output_bytes = 0;       ///< used of the output bank
};

TilePlacement place(const TensorPlans& plans, const Pass& pass, const Tile& tile);

/// Bytes of a bank of the activation buffer.
std::int64_t bank_bytes(const MachineConfig& machine);
/// Rows of one of the two accumulator banks.
std::int64_t accumulator_rows(const MachineConfig& machine);

/// Throws InputError naming the layer, what a smallest tile needs, and what there is.
Tiling tile_pass(const Job& job, const TensorPlans& plans, const Pass& pass);

}  // namespace wagesim::compile
