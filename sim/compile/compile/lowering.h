// Lowers passes to commands.
#pragma once

#include <vector>

#include "compile/dram_layout.h"
#include "compile/emitter.h"
#include "compile/tiling.h"

namespace wagesim::compile {

/// What all passes have in common: parameters, the vector unit's work on a tile, its way to Dram,
/// batch norm statistics.
class PassLowering {
public:
    PassLowering(const Job& job, const TensorPlans& plans, const DramLayout& dram, const Pass& pass,
                 const Tiling& tiling, Emitter& emitter);

protected:
    /// Where a segment's tile lies: its banks take turns.
    struct Place {
        std::int64_t input_base = 0, output_base = 0;  ///< bytes in `activations`
        std::int64_t accumulator_base = 0;             ///< rows
        TilePlacement placement;
    };

    void begin_segment(const Segment& segment);
    /// LOADs of what the vector unit needs; the bias has a LOAD of its own.
    void load_parameters();
    void load_bias();
    /// CLEAR, BN_COEF.
    void prepare_parameters();
    void load_operands(std::size_t tile, const TokenKind* free, const TokenKind* full);
    void work_on_tile(std::size_t tile);
    void store_tile(std::size_t tile);
    /// BN_STAT and STOREs.
    void finish_segment();

    Place place_of(std::size_t tile) const;
    const Tile& tile_at(std::size_t tile) const { return segment_->tiles[tile]; }
    std::size_t tile_count() const { return segment_->tiles.size(); }
    int tile_number(std::size_t tile) const { return tiles_before_ + static_cast<int>(tile); }
    bool has_operands() const;
    bool gathers() const { return !pass_.statistics.empty(); }

    const Job& job_;
    const TensorPlans& plans_;
    const DramLayout& dram_;
    const Pass& pass_;
    const Tiling& tiling_;
    Emitter& emitter_;
    const Segment* segment_ = nullptr;
    /// Bank of the tile's input: counts inputs, which several tiles may share.
    std::vector<std::size_t> input_of_tile_;

private:
    void drain_tile(std::size_t tile);
    TileView source_view(std::size_t tile, const Place& place) const;
    TileView result_view(const Step& step, std::int64_t address, const Box& box) const;
    Command step_command(std::size_t tile, std::size_t step, const TileView& source,
                         const TileView& destination, const Place& place) const;
    Command normalize_command(const Step& step, const Tile& tile, int number) const;
    Command act_command(const Step& step, const Tile& tile, int number) const;
    Command add_command(const Step& step, const Tile& tile, int number, const TileView& source,
                        std::int64_t operand_address) const;
    Command pool_command(const Step& step, const Tile& tile, int number, bool from_memory) const;
    void wait_for_parameters(Command& command);

    int tiles_before_ = 0;  ///< of this pass, in earlier segments
    bool parameters_pending_ = false;
};

/// Passes that begin at a conv2d or linear layer.
void lower_gemm_pass(const Job& job, const TensorPlans& plans, const DramLayout& dram,
                     const Pass& pass, const Tiling& tiling, Emitter& emitter);

/// Passes whose tiles come from Dram.
void lower_vector_pass(const Job& job, const TensorPlans& plans, const DramLayout& dram,
                       const Pass& pass, const Tiling& tiling, Emitter& emitter);

/// Masters and running statistics -> the codes that the forward pass uses.
void lower_prologue(const Job& job, const TensorPlans& plans, const DramLayout& dram,
                    Emitter& emitter);

/// Tile of the bytes of `activations` from `address`, elements n, h, w, c without gaps.
TileView dense_view(std::int64_t address, int bytes, const Format& format, const Box& box);

}  // namespace wagesim::compile
