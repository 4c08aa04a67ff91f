// Passes that begin at a conv2d or linear layer: loads of inputs and weights, GEMMs, and what
// follows on the tile.
#include <algorithm>
#include <string>
#include <utility>

#include "compile/lowering.h"
#include "compile/placement.h"
#include "compile/windows.h"
#include "wagesim/error.h"

namespace wagesim::compile {
namespace {

/// Loads shorter than this hide their latency badly; longer ones delay the first GEMM.
constexpr std::int64_t resident_chunk_bytes = 4096;

/// Weights that come in one LOAD: column tiles x a range of K, rows of k bytes.
struct Chunk {
    int first_column = 0, columns = 0;
    std::int64_t k0 = 0, k = 0;
    std::int64_t bytes = 0;
    std::int64_t address = 0;  ///< resident weights
    bool loaded = false;       ///< resident weights
};

/// One use of a chunk by a tile.
struct ChunkUse {
    std::size_t tile = 0;
    std::size_t chunk = 0;
    bool is_first = true;  ///< of this chunk
};

/// What one GEMM takes of a chunk.
struct Piece {
    Box box;  ///< its sums
    std::int64_t weights = 0;
    bool starts = false, ends = false;  ///< the chunk
};

class GemmLowering : public PassLowering {
public:
    GemmLowering(const Job& job, const TensorPlans& plans, const DramLayout& dram, const Pass& pass,
                 const Tiling& tiling, Emitter& emitter)
        : PassLowering(job, plans, dram, pass, tiling, emitter),
          layer_(job.layer(pass.array_layer)),
          machine_(job.datapath.machine) {
        const Shape weights = weight_shape(layer_);
        reduction_ = weights.c * weights.h * weights.w;
    }

    void lower() {
        for (const Segment& segment : tiling_.segments) {
            begin_segment(segment);
            plan_weights();
            lower_segment();
            finish_segment();
        }
    }

private:
    const ColumnTile& column(int index) const {
        return tiling_.columns[static_cast<std::size_t>(index)];
    }

    bool is_os() const { return machine_.dataflow == Dataflow::os; }
    const TokenKind& weights_full() const {
        return is_os() ? tokens::weights_full_array : tokens::weights_full;
    }
    const TokenKind& weights_free() const {
        return is_os() ? tokens::weights_free_array : tokens::weights_free;
    }

    // ---- weights ----------------------------------------------------------------------------

    /// Resident if all weights of the segment fit the buffer: each is loaded once. Else a stream
    /// of chunks through the two halves, in the order of use.
    void plan_weights() {
        chunks_.clear();
        uses_.clear();
        const std::int64_t half = machine_.weight_buffer_bytes / 2;
        const std::int64_t all = segment_->c * reduction_;
        resident_ = all <= 2 * half;
        std::vector<std::pair<int, std::size_t>> first_chunk_of;  // first column -> chunk
        for (std::size_t tile = 0; tile < tile_count(); ++tile) {
            const int first = tile_at(tile).first_column;
            const auto known =
                std::find_if(first_chunk_of.begin(), first_chunk_of.end(),
                             [&](const auto& entry) { return entry.first == first; });
            std::size_t chunk = chunks_.size();
            const bool is_first = known == first_chunk_of.end();
            if (is_first) {
                first_chunk_of.emplace_back(first, chunk);
                cut_chunks(tile_at(tile), resident_ ? std::min(resident_chunk_bytes, half) : half);
            } else {
                chunk = known->second;
            }
            const int end = first + tile_at(tile).columns;
            for (; chunk < chunks_.size() && chunks_[chunk].first_column >= first &&
                   chunks_[chunk].first_column < end;
                 ++chunk)
                uses_.push_back({tile, chunk, is_first});
        }
        std::int64_t used = 0;
        for (Chunk& chunk : chunks_) {
            chunk.address = used;
            used += chunk.bytes;
        }
    }

    void cut_chunks(const Tile& tile, std::int64_t limit) {
        const int end = tile.first_column + tile.columns;
        for (int first = tile.first_column; first < end;) {
            Chunk chunk;
            chunk.first_column = first;
            chunk.columns = 1;
            chunk.k = reduction_;
            chunk.bytes = column(first).c * reduction_;
            if (chunk.bytes > limit) {
                cut_reduction(chunk, limit);
                ++first;
                continue;
            }
            while (first + chunk.columns < end &&
                   chunk.bytes + column(first + chunk.columns).c * reduction_ <= limit) {
                chunk.bytes += column(first + chunk.columns).c * reduction_;
                ++chunk.columns;
            }
            chunks_.push_back(chunk);
            first += chunk.columns;
        }
    }

    /// One column tile whose weights are too many: ranges of K. ws: in whole K tiles; os: in even
    /// shares, because a fold of few steps takes as long as one of 2R + C - 1.
    void cut_reduction(Chunk chunk, std::int64_t limit) {
        const std::int64_t columns = column(chunk.first_column).c;
        const std::int64_t least = is_os() ? 1 : machine_.array_rows;
        std::int64_t step = limit / columns / least * least;
        if (resident_) step = std::max(step, least);
        if (step == 0)
            throw InputError("layer " + layer_.name + ": needs " + std::to_string(columns * least) +
                             " bytes for one tile of weights, half the weight buffer has " +
                             std::to_string(limit));
        if (is_os()) step = ceil_divide(reduction_, ceil_divide(reduction_, step));
        for (chunk.k0 = 0; chunk.k0 < reduction_; chunk.k0 += step) {
            chunk.k = std::min(step, reduction_ - chunk.k0);
            chunk.bytes = columns * chunk.k;
            chunks_.push_back(chunk);
        }
    }

    std::int64_t chunk_address(std::size_t use) const {
        if (resident_) return chunks_[uses_[use].chunk].address;
        return static_cast<std::int64_t>(use % 2) * (machine_.weight_buffer_bytes / 2);
    }

    void load_chunk(std::size_t use) {
        if (use >= uses_.size()) return;
        Chunk& chunk = chunks_[uses_[use].chunk];
        if (resident_ && chunk.loaded) return;
        chunk.loaded = true;
        const std::int64_t c0 = column(chunk.first_column).c0;
        const std::int64_t rows = chunk.bytes / chunk.k;
        Transfer transfer;
        transfer.buffer = Space::weights;
        transfer.dram_address =
            dram_.at(pass_.array_layer, Qp::Wq).address + c0 * reduction_ + chunk.k0;
        transfer.buffer_address = chunk_address(use);
        if (chunk.k == reduction_) {
            transfer.run_bytes = chunk.bytes;
        } else {
            transfer.run_bytes = chunk.k;
            transfer.counts[2] = rows;
            transfer.dram_strides[2] = reduction_;
            transfer.buffer_strides[2] = chunk.k;
        }
        Command load =
            emitter_.command(Unit::dma_read, pass_.array_layer, tile_number(uses_[use].tile),
                             channel_box(c0, rows), transfer);
        if (!resident_) emitter_.wait(load, weights_free());
        emitter_.give(load, weights_full());
        emitter_.emit(std::move(load));
    }

    // ---- the segment ------------------------------------------------------------------------

    /// Loads stand one step ahead of what needs them, so that they are on their way meanwhile;
    /// what frees their place stands before them.
    void lower_segment() {
        load_bias();
        load_input(0);
        load_chunk(0);
        load_parameters();
        prepare_parameters();
        std::size_t use = 0;
        for (std::size_t tile = 0; tile < tile_count(); ++tile) {
            bool first = true;
            for (; use < uses_.size() && uses_[use].tile == tile; ++use) {
                load_chunk(use + 1);
                if (first) {
                    if (tile_at(tile).loads) load_next_input(tile);
                    load_operands(tile, &tokens::operand_free, &tokens::operand_full);
                }
                const bool last = use + 1 == uses_.size() || uses_[use + 1].tile != tile;
                multiply(use, first, last);
                first = false;
            }
            work_on_tile(tile);
            store_tile(tile);
        }
    }

    void load_next_input(std::size_t tile) {
        for (std::size_t next = tile + 1; next < tile_count(); ++next)
            if (tile_at(next).loads) {
                load_input(next);
                return;
            }
    }

    void load_input(std::size_t tile) {
        const Place place = place_of(tile);
        Command load = emitter_.command(
            Unit::dma_read, pass_.array_layer, tile_number(tile), tile_at(tile).box,
            box_transfer(dram_.output(pass_.source), tile_at(tile).input,
                         place.input_base + place.placement.input));
        emitter_.wait(load, tokens::input_free);
        emitter_.give(load, tokens::input_full);
        emitter_.emit(std::move(load));
    }

    /// GEMMs of one chunk, and with ws their WLOADs; `first`, `last` of the tile's.
    void multiply(std::size_t use, bool first, bool last) {
        const std::size_t index = uses_[use].tile;
        const Tile& tile = tile_at(index);
        const Chunk& chunk = chunks_[uses_[use].chunk];
        const Place place = place_of(index);
        const std::int64_t step = is_os() ? chunk.k : machine_.array_rows;
        const int end = chunk.first_column + chunk.columns;
        for (int c = chunk.first_column; c < end; ++c) {
            for (std::int64_t k = chunk.k0; k < chunk.k0 + chunk.k; k += step) {
                const std::int64_t k_size = std::min(step, chunk.k0 + chunk.k - k);
                Piece piece;
                piece.starts = c == chunk.first_column && k == chunk.k0;
                piece.ends = c + 1 == end && k + k_size == chunk.k0 + chunk.k;
                piece.box = tile.box;
                piece.box.c0 = column(c).c0;
                piece.box.c = column(c).c;
                piece.weights = chunk_address(use) +
                                (piece.box.c0 - column(chunk.first_column).c0) * chunk.k +
                                (k - chunk.k0);

                Gemm gemm = gemm_of(tile, place, c, k, k_size);
                if (is_os()) {
                    gemm.weights.address = piece.weights;
                    gemm.weights.column_stride = chunk.k;
                } else {
                    load_weights(use, piece, gemm);
                    emitter_.give_at_swap(gemm, tokens::shadow_free);
                }
                Command command = emitter_.command(Unit::array, pass_.array_layer,
                                                   tile_number(index), piece.box, std::move(gemm));
                if (is_os())
                    set_weight_tokens(command, use, piece);
                else
                    emitter_.wait(command, tokens::shadow_full);
                set_gemm_tokens(command, tile, first && piece.starts, last && piece.ends, index);
                emitter_.emit(std::move(command));
            }
        }
    }

    /// ws: the WLOAD before a GEMM.
    void load_weights(std::size_t use, const Piece& piece, const Gemm& gemm) {
        WeightLoad weights;
        weights.weights.column_stride = chunks_[uses_[use].chunk].k;
        weights.weights.address = piece.weights;
        weights.rows = gemm.k;
        weights.columns = gemm.columns;
        Command load = emitter_.command(Unit::weight_loader, pass_.array_layer,
                                        tile_number(uses_[use].tile), piece.box, weights);
        emitter_.wait(load, tokens::shadow_free);
        emitter_.give(load, tokens::shadow_full);
        set_weight_tokens(load, use, piece);
        emitter_.emit(std::move(load));
    }

    /// Of a command that reads a chunk: the first of all waits for the LOAD, the last of each use
    /// gives a streamed one's half back.
    void set_weight_tokens(Command& reader, std::size_t use, const Piece& piece) {
        const bool new_weights = !resident_ || uses_[use].is_first;
        if (piece.starts && new_weights) emitter_.wait(reader, weights_full());
        if (piece.ends && !resident_) emitter_.give(reader, weights_free());
    }

    void set_gemm_tokens(Command& command, const Tile& tile, bool begins_tile, bool ends_tile,
                         std::size_t index) {
        if (begins_tile) {
            if (tile.loads) emitter_.wait(command, tokens::input_full);
            emitter_.wait(command,
                          pass_.drains() ? tokens::sums_free_drain : tokens::sums_free_vector);
            if (index == 0 && layer_.bias) emitter_.wait(command, tokens::bias_full);
        }
        if (ends_tile) {
            emitter_.give(command,
                          pass_.drains() ? tokens::sums_full_drain : tokens::sums_full_vector);
            if (tile.releases) emitter_.give(command, tokens::input_free);
        }
    }

    Gemm gemm_of(const Tile& tile, const Place& place, int c, std::int64_t k,
                 std::int64_t k_size) const {
        const Window window = window_of(layer_);
        const TensorPlan& input = plans_.output(pass_.source);
        const TileView view = dense_view(place.input_base + place.placement.input, input.bytes,
                                         input.format, tile.input);
        Gemm gemm;
        gemm.bytes = input.bytes;
        gemm.stride_n = view.stride_n;
        gemm.stride_h = view.stride_h;
        gemm.stride_w = view.stride_w;
        gemm.h0 = tile.input.h0;
        gemm.w0 = tile.input.w0;
        gemm.image_h = i32(layer_.in_shape.h);
        gemm.image_w = i32(layer_.in_shape.w);
        gemm.kernel_h = window.h.kernel;
        gemm.kernel_w = window.w.kernel;
        gemm.stride_y = window.h.stride;
        gemm.stride_x = window.w.stride;
        gemm.padding_h = window.h.padding;
        gemm.padding_w = window.w.padding;
        gemm.dilation_h = window.h.dilation;
        gemm.dilation_w = window.w.dilation;
        gemm.channels = i32(layer_.in_shape.c) / layer_.groups;
        gemm.address =
            view.address +
            (std::int64_t{column(c).group} * gemm.channels - tile.input.c0) * input.bytes;
        gemm.channel_major = layer_.type == LayerType::linear;
        gemm.k0 = i32(k);
        gemm.k = i32(k_size);
        gemm.columns = column(c).c;
        gemm.accumulator_row = place.accumulator_base + (c - tile.first_column) * tile.box.pixels();
        gemm.accumulate = k > 0;
        if (layer_.bias && k == 0)
            gemm.bias_address =
                segment_->parameters.address(pass_.array_layer, Qp::bias_q, column(c).c0);
        return gemm;
    }

    const Layer& layer_;
    const MachineConfig& machine_;
    std::int64_t reduction_ = 0;
    bool resident_ = false;
    std::vector<Chunk> chunks_;
    std::vector<ChunkUse> uses_;
};

}  // namespace

void lower_gemm_pass(const Job& job, const TensorPlans& plans, const DramLayout& dram,
                     const Pass& pass, const Tiling& tiling, Emitter& emitter) {
    GemmLowering(job, plans, dram, pass, tiling, emitter).lower();
}

}  // namespace wagesim::compile
