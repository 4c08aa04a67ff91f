// Passes of the backward pass that stream tensors through the vector unit, tile by tile.
#pragma once

#include <functional>
#include <utility>
#include <vector>

#include "compile/dram_layout.h"
#include "compile/emitter.h"

namespace wagesim::compile {

/// Loads tiles of some tensors, has commands work on them, stores what they make. The grid is that
/// of `shape`; a tensor that lies behind a pool comes with the windows that a tile's elements lie
/// in. Input tiles take turns in banks 0 and 1, results in 2 and 3.
class StreamPass {
public:
    StreamPass(const Job& job, Emitter& emitter, Phase phase, int layer, const Shape& shape);

    // Everything that a pass has is said first. What is returned is an index for Tile.
    int load(const DramTensor& tensor);
    /// `pool`: whose output the tensor has the shape of, the grid being its input.
    int load_behind(const DramTensor& tensor, const Layer& pool);
    /// One byte a pixel, beside all its channels: tiles are not cut across channels then.
    int load_labels(const DramTensor& tensor);
    /// `to`: where it is stored; null: it stays in the buffer.
    int result(int bytes, const DramTensor* to);
    int result_plane(int bits, const DramTensor& to);
    /// Per channel in the parameter RAM. from, to: Dram, or null.
    int vector(int bytes, const DramTensor* from, const DramTensor* to);
    /// A scale's record: loaded, or gathered by this pass and stored at its end.
    int loaded_scale(const DramTensor& from);
    int gathered_scale(const DramTensor& to);
    /// Sums that begin at 0, per channel.
    int cleared_vector(int bytes);

    /// A tile that commands work on.
    class Tile {
    public:
        const Box& box() const { return box_; }
        TileView input(int load, const Format& format) const;
        BitPlane input_plane(int load) const;
        /// The windows' box, where they come from behind a pool.
        const Box& input_box(int load) const { return input_boxes_[index(load)]; }
        TileView output(int result, const Format& format) const;
        BitPlane output_plane(int result) const;
        /// Address of the tile's first channel's entry.
        std::int64_t vector(int vector) const;
        std::int64_t scale(int scale) const;

    private:
        friend class StreamPass;
        static std::size_t index(int i) { return static_cast<std::size_t>(i); }
        const StreamPass* pass_ = nullptr;
        Box box_;
        std::vector<Box> input_boxes_;
        std::vector<std::int64_t> input_addresses_, output_addresses_;
    };

    /// A command of the vector unit, and the layer whose quantisation points it makes.
    struct Action {
        int layer;
        Command::Operands operands;
    };
    /// Those for a tile, in order.
    using Work = std::function<std::vector<Action>(const Tile&)>;
    /// Those at the end of a block of channels, whose box is the channels; `last`: of all blocks.
    using End = std::function<std::vector<Action>(const Tile& channels, bool last)>;
    /// `begin`: before a block's tiles, when its vectors are there.
    void run(const Work& work, const End& end, const Work& begin = {});

private:
    struct Load {
        const DramTensor* tensor;
        const Layer* pool = nullptr;
        bool is_labels = false;
    };
    struct Result {
        int bytes, plane_bits;
        const DramTensor* to;
    };
    struct Parameter {
        int bytes;
        bool per_channel, is_gathered, is_cleared;
        const DramTensor *from, *to;
        std::int64_t address;
    };
    struct Size {
        std::int32_t n = 0, h = 0, w = 0, c = 0;
    };
    int add(Parameter parameter);
    std::int64_t parameter_bytes(std::int64_t channels) const;
    std::int64_t plan_parameters(std::int64_t channels);
    Box input_box(const Load& load, const Box& box) const;
    Box largest_input_box(const Load& load, const Box& box) const;
    std::int64_t place_inputs(std::vector<Box> boxes, std::vector<std::int64_t>* addresses) const;
    std::int64_t place_outputs(const Box& box, std::vector<std::int64_t>* addresses) const;
    std::int64_t bytes_of_tile(const Size& size) const;
    bool fits(const Size& size) const;
    Size tile_size(std::int32_t channels) const;
    std::vector<Box> tiles(std::int32_t c0, std::int32_t channels) const;
    void run_block(std::int32_t c0, std::int32_t channels, bool first, bool last, const Work& work,
                   const End& end, const Work& begin);
    Tile place(const Box& box, std::size_t turn) const;
    void load_parameters(const Box& channels, bool first);
    void clear(const Box& channels, bool first);
    void wait_for_parameters(Command& command);
    void load_tile(const Tile& tile, int number);
    void work_on(const Tile& tile, int number, std::vector<Action> actions, bool gives_parameters);
    void store_tile(const Tile& tile, int number);
    void store_parameters(const Box& channels, int number);
    bool stores() const;
    bool stores_parameters() const;

    const Job& job_;
    Emitter& emitter_;
    const Phase phase_;
    const int layer_;
    const Shape shape_;
    std::vector<Load> loads_;
    std::vector<Result> results_;
    std::vector<Parameter> parameters_;
    std::int32_t c0_ = 0;  // of the block
    bool parameters_pending_ = false;
};

/// Planes and records: views without a tensor of codes.
BitPlane dense_plane(std::int64_t address, int bits, const Box& box);

}  // namespace wagesim::compile
