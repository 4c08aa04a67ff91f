// Tiles of a pass: boxes of its output small enough for every buffer.
#include "compile/tiling.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <string>
#include <tuple>

#include "compile/dram_layout.h"
#include "compile/placement.h"
#include "compile/spatial.h"
#include "wagesim/error.h"

namespace wagesim::compile {
namespace {

constexpr std::int32_t channel_step = 16;  ///< runs of a tile's channels in Dram are multiples
constexpr std::int64_t plane_channels = 8;

/// A stretch of one direction: of the pass's grid, of what it stores, of what it loads.
struct Span {
    std::int64_t start = 0, size = 0;
    std::int64_t out_start = 0, out_size = 0;
    std::int64_t in_start = 0, in_size = 0;
};

/// One direction of a pass: its grid comes in units (windows of a last pool; else single pixels),
/// and what no window covers belongs to the last unit.
struct Axis {
    std::int64_t extent = 1;  ///< of the grid
    std::int64_t unit = 1;    ///< pixels
    std::int64_t units = 1;
    bool pooled = false;
    WindowAxis window;  ///< from the grid to what is loaded
    std::int64_t in_extent = 1;

    /// The largest tile of so many units.
    Span largest(std::int64_t count) const {
        Span span;
        span.size = std::min(extent, count * unit + (extent - units * unit));
        span.out_size = pooled ? count : span.size;
        const std::int64_t reach =
            (span.size - 1) * window.stride + std::int64_t{window.kernel - 1} * window.dilation + 1;
        span.in_size = std::min(reach, in_extent);
        return span;
    }

    std::vector<Span> split(std::int64_t count) const {
        std::vector<Span> spans;
        for (std::int64_t u = 0; u < units; u += count) {
            const std::int64_t end = std::min(u + count, units);
            Span span;
            span.start = u * unit;
            span.size = (end == units ? extent : end * unit) - span.start;
            span.out_start = pooled ? u : span.start;
            span.out_size = pooled ? end - u : span.size;
            std::tie(span.in_start, span.in_size) =
                rows_under(span.start, span.size, window, in_extent);
            spans.push_back(span);
        }
        return spans;
    }
};

/// Units of a tile in each direction.
struct TileUnits {
    std::int64_t n = 0, rows = 0, columns = 0;
    std::int64_t pixels = 0;  ///< of the largest tile; 0: nothing fits
};

class Tiler {
public:
    Tiler(const Job& job, const TensorPlans& plans, const Pass& pass)
        : job_(job), plans_(plans), pass_(pass), machine_(job.datapath.machine) {
        set_axes();
    }

    Tiling tile() {
        if (pass_.array_layer >= 0) set_columns();
        for (const auto& [first, end] : channel_blocks()) {
            Segment segment;
            segment.c0 = pass_.array_layer >= 0 ? column(first).c0 : i32(first);
            segment.c =
                (pass_.array_layer >= 0 ? column(end - 1).c0 + column(end - 1).c : i32(end)) -
                segment.c0;
            segment.parameters = plan_parameters(job_, pass_, segment.c0, segment.c);
            if (pass_.array_layer >= 0)
                tile_columns(first, end, segment);
            else
                tile_channels(segment);
            tiling_.segments.push_back(std::move(segment));
        }
        if (pass_.has_planes()) require_whole_bytes();
        return std::move(tiling_);
    }

private:
    /// Groups of channels may end within a byte of a bit plane: a shorter pass leaves the plane to
    /// the next one.
    void require_whole_bytes() const {
        for (const Segment& segment : tiling_.segments)
            for (const Tile& tile : segment.tiles)
                if (tile.out.c0 % plane_channels != 0)
                    throw InputError("layer " + layer_name() + ": a tile that begins at channel " +
                                     std::to_string(tile.out.c0) +
                                     " can't write a bit plane: its channels fill bytes of 8");
    }

    const ColumnTile& column(std::int64_t index) const {
        return tiling_.columns[static_cast<std::size_t>(index)];
    }

    std::string layer_name() const { return job_.layer(pass_.first_layer()).name; }

    void set_axes() {
        const Shape& source = job_.network.shape_of(pass_.source);
        Shape grid = source;
        Window window;
        int windowed = pass_.array_layer;
        if (pass_.pools_from_memory) windowed = pass_.steps.front().layer;
        if (windowed >= 0) {
            grid = job_.layer(windowed).out_shape;
            window = window_of(job_.layer(windowed));
        }
        channels_ = grid.c;
        rows_ = {grid.h, 1, grid.h, false, window.h, source.h};
        columns_ = {grid.w, 1, grid.w, false, window.w, source.w};
        if (pass_.pools_last) {
            const Layer& pool = job_.layer(pass_.steps.back().layer);
            const Window last = window_of(pool);
            rows_.pooled = columns_.pooled = true;
            rows_.unit = last.h.kernel;
            rows_.units = pool.out_shape.h;
            columns_.unit = last.w.kernel;
            columns_.units = pool.out_shape.w;
        }
    }

    void set_columns() {
        const Layer& layer = job_.layer(pass_.array_layer);
        const std::int32_t per_group = layer.out_channels / layer.groups;
        const std::int32_t widest = std::min(per_group, machine_.array_columns);
        tiling_.channels_per_row = widest;
        for (std::int32_t group = 0; group < layer.groups; ++group)
            for (std::int32_t c = 0; c < per_group; c += widest)
                tiling_.columns.push_back(
                    {group * per_group + c, std::min(widest, per_group - c), group});
        // Tiles of several groups need whole groups side by side in the accumulators.
        tiles_hold_groups_ = per_group == widest;
    }

    /// Channels, or column tiles of `per_row` of them, that fill whole bytes of a bit plane.
    std::int64_t plane_unit(std::int64_t per_row) const {
        return pass_.has_planes() ? plane_channels / std::gcd(plane_channels, per_row) : 1;
    }

    /// Blocks whose parameters fit: [first, end) in column tiles, or in channels.
    std::vector<std::pair<std::int64_t, std::int64_t>> channel_blocks() const {
        const bool by_columns = pass_.array_layer >= 0;
        const std::int64_t count =
            by_columns ? static_cast<std::int64_t>(tiling_.columns.size()) : channels_;
        const auto bytes_of_block = [&](std::int64_t units) {
            const std::int64_t c =
                by_columns ? std::min(units * tiling_.channels_per_row, channels_) : units;
            return plan_parameters(job_, pass_, 0, i32(c)).bytes;
        };
        const std::int64_t least = plane_unit(by_columns ? tiling_.channels_per_row : 1);
        std::int64_t most = count;
        while (most > least && bytes_of_block(most) > machine_.parameter_bytes) {
            const std::int64_t blocks = ceil_divide(count, most) + 1;
            const std::int64_t smaller = ceil_divide(ceil_divide(count, blocks), least) * least;
            most = smaller < most ? smaller : (most - 1) / least * least;
        }
        if (bytes_of_block(most) > machine_.parameter_bytes)
            throw InputError("layer " + layer_name() + ": needs " +
                             std::to_string(bytes_of_block(most)) +
                             " bytes of parameters for its smallest block of channels; "
                             "parameter_bytes is " +
                             std::to_string(machine_.parameter_bytes));
        std::vector<std::pair<std::int64_t, std::int64_t>> blocks;
        for (std::int64_t first = 0; first < count; first += most)
            blocks.emplace_back(first, std::min(first + most, count));
        return blocks;
    }

    /// A tile of the largest extents that so many units have.
    Tile largest_tile(std::int64_t n, std::int64_t rows, std::int64_t columns, std::int64_t c,
                      std::int64_t input_c) const {
        const Span h = rows_.largest(rows);
        const Span w = columns_.largest(columns);
        Tile tile;
        tile.box = {0, i32(n), 0, i32(h.size), 0, i32(w.size), 0, i32(c)};
        tile.out = {0, i32(n), 0, i32(h.out_size), 0, i32(w.out_size), 0, i32(c)};
        tile.input = {0, i32(n), 0, i32(h.in_size), 0, i32(w.in_size), 0, i32(input_c)};
        return tile;
    }

    bool fits(const Tile& tile, std::int64_t rows_per_pixel) const {
        const TilePlacement placement = place(plans_, pass_, tile);
        const std::int64_t bank = bank_bytes(machine_);
        return placement.input_bytes <= bank && placement.output_bytes <= bank &&
               tile.box.pixels() * rows_per_pixel <= accumulator_rows(machine_);
    }

    TileUnits largest_units(
        const std::function<bool(std::int64_t, std::int64_t, std::int64_t)>& holds) const {
        const SpatialSize size = largest_size({job_.batch, rows_.units, columns_.units}, holds);
        if (size.n == 0) return {};
        return {size.n, size.rows, size.columns,
                largest_tile(size.n, size.rows, size.columns, 1, 1).box.pixels()};
    }

    std::vector<Tile> spatial_tiles(const TileUnits& size) const {
        std::vector<Tile> tiles;
        for (std::int64_t n0 = 0; n0 < job_.batch; n0 += size.n) {
            const std::int32_t n = i32(std::min(size.n, job_.batch - n0));
            for (const Span& h : rows_.split(size.rows))
                for (const Span& w : columns_.split(size.columns)) {
                    Tile tile;
                    tile.box = {i32(n0), n, i32(h.start), i32(h.size), i32(w.start), i32(w.size),
                                0,       0};
                    tile.out = {i32(n0),
                                n,
                                i32(h.out_start),
                                i32(h.out_size),
                                i32(w.out_start),
                                i32(w.out_size),
                                0,
                                0};
                    tile.input = {i32(n0),
                                  n,
                                  i32(h.in_start),
                                  i32(h.in_size),
                                  i32(w.in_start),
                                  i32(w.in_size),
                                  0,
                                  0};
                    tiles.push_back(tile);
                }
        }
        return tiles;
    }

    [[noreturn]] void refuse(const Tile& smallest, std::int64_t rows_per_pixel) const {
        const TilePlacement placement = place(plans_, pass_, smallest);
        const std::int64_t bank = bank_bytes(machine_);
        const std::string bank_text =
            ", a bank of the activation buffer has " + std::to_string(bank);
        if (placement.input_bytes > bank)
            throw InputError("layer " + layer_name() + ": needs " +
                             std::to_string(placement.input_bytes) +
                             " bytes for one output pixel's inputs" + bank_text);
        if (placement.output_bytes > bank)
            throw InputError("layer " + layer_name() + ": needs " +
                             std::to_string(placement.output_bytes) +
                             " bytes for its smallest output tile" + bank_text);
        throw InputError("layer " + layer_name() + ": needs " +
                         std::to_string(smallest.box.pixels() * rows_per_pixel) +
                         " accumulator rows for its smallest output tile, a bank has " +
                         std::to_string(accumulator_rows(machine_)));
    }

    // ---- passes that multiply ---------------------------------------------------------------

    std::int64_t input_channels(std::int64_t column_tiles) const {
        const Layer& layer = job_.layer(pass_.array_layer);
        const std::int64_t per_group = layer.in_shape.c / layer.groups;
        return tiles_hold_groups_ ? column_tiles * per_group : per_group;
    }

    TileUnits size_for_columns(std::int64_t count) const {
        const std::int64_t c = std::min(count * tiling_.channels_per_row, channels_);
        return largest_units([&](std::int64_t n, std::int64_t rows, std::int64_t columns) {
            return fits(largest_tile(n, rows, columns, c, input_channels(count)), count);
        });
    }

    /// So many column tiles that tiles are wide enough for good runs in Dram and long enough that
    /// the next weights are in the array before a GEMM ends (os: more than two folds, which keeps
    /// most of them full; longer tiles of fewer channels cost the Dma what the array gains).
    void tile_columns(std::int64_t first, std::int64_t end, Segment& segment) const {
        const std::int64_t per_row = tiling_.channels_per_row;
        std::int64_t limit = end - first;
        if (!tiles_hold_groups_)
            limit = std::min(
                limit, ceil_divide(channels_ / job_.layer(pass_.array_layer).groups, per_row));
        const std::int64_t unit = plane_unit(per_row);
        const auto good = [&](std::int64_t count) {
            const bool whole = count == limit && (count * per_row >= channels_ || unit == 1 ||
                                                  limit * per_row % plane_channels == 0);
            return whole || (count % unit == 0 && (count * per_row < channel_step ||
                                                   count * per_row % channel_step == 0));
        };
        const std::int64_t all_pixels = job_.batch * rows_.extent * columns_.extent;
        const std::int64_t wanted =
            std::min<std::int64_t>(all_pixels, 2 * machine_.array_rows + machine_.array_columns);
        const std::int64_t preferred =
            std::min(limit, ceil_divide(std::int64_t{4} * machine_.array_columns, per_row));
        std::int64_t chosen = 0;
        TileUnits size;
        for (std::int64_t count = preferred; count >= 1 && size.pixels < wanted; --count) {
            if (!good(count)) continue;
            const TileUnits candidate = size_for_columns(count);
            if (candidate.pixels <= size.pixels) continue;
            size = candidate;
            chosen = count;
        }
        if (chosen == 0)
            refuse(largest_tile(1, 1, 1, std::min(per_row, channels_), input_channels(1)), 1);
        for (std::int64_t count = limit; count > chosen; --count) {
            if (!good(count) || size_for_columns(count).pixels < size.pixels) continue;
            chosen = count;
        }
        append_column_tiles(first, end, chosen, size_for_columns(chosen), segment);
    }

    void append_column_tiles(std::int64_t first, std::int64_t end, std::int64_t count,
                             const TileUnits& size, Segment& segment) const {
        const Layer& layer = job_.layer(pass_.array_layer);
        const std::int32_t per_group = i32(layer.in_shape.c) / layer.groups;
        for (Tile tile : spatial_tiles(size)) {
            std::int32_t held_group = -1, held_groups = 0;
            for (std::int64_t c = first; c < end; c += tile.columns) {
                const std::int32_t group = column(c).group;
                std::int64_t last = c + 1;
                while (last < end && last - c < count &&
                       (tiles_hold_groups_ || column(last).group == group))
                    ++last;
                const std::int32_t groups = column(last - 1).group - group + 1;
                tile.first_column = static_cast<int>(c);
                tile.columns = static_cast<int>(last - c);
                tile.box.c0 = tile.out.c0 = column(c).c0;
                tile.box.c = tile.out.c = column(last - 1).c0 + column(last - 1).c - tile.box.c0;
                tile.input.c0 = group * per_group;
                tile.input.c = groups * per_group;
                tile.loads = group != held_group || groups != held_groups;
                tile.releases = true;
                if (!tile.loads) segment.tiles.back().releases = false;
                held_group = group;
                held_groups = groups;
                segment.tiles.push_back(tile);
            }
        }
    }

    // ---- passes on tiles from Dram ----------------------------------------------------------

    TileUnits size_for_channels(std::int64_t c) const {
        return largest_units([&](std::int64_t n, std::int64_t rows, std::int64_t columns) {
            return fits(largest_tile(n, rows, columns, c, c), 0);
        });
    }

    /// All channels if that leaves some pixels, else a share of them.
    void tile_channels(Segment& segment) const {
        std::vector<std::int64_t> candidates{segment.c};
        for (std::int64_t c = (segment.c - 1) / channel_step * channel_step; c > 0;
             c -= channel_step)
            candidates.push_back(c);
        for (std::int64_t c = channel_step / 2; c >= plane_unit(1); c /= 2)
            if (c < segment.c) candidates.push_back(c);
        const std::int64_t wanted =
            std::min<std::int64_t>(channel_step, job_.batch * rows_.extent * columns_.extent);
        std::int64_t chosen = 0;
        TileUnits size;
        for (const std::int64_t c : candidates) {
            if (size.pixels >= wanted) break;
            const TileUnits candidate = size_for_channels(c);
            if (candidate.pixels <= size.pixels) continue;
            size = candidate;
            chosen = c;
        }
        if (chosen == 0) refuse(largest_tile(1, 1, 1, 1, 1), 0);
        const std::int32_t end = segment.c0 + segment.c;
        for (Tile tile : spatial_tiles(size))
            for (std::int32_t c0 = segment.c0; c0 < end; c0 += i32(chosen)) {
                tile.box.c0 = tile.out.c0 = tile.input.c0 = c0;
                tile.box.c = tile.out.c = tile.input.c = std::min(i32(chosen), end - c0);
                segment.tiles.push_back(tile);
            }
    }

    const Job& job_;
    const TensorPlans& plans_;
    const Pass& pass_;
    const MachineConfig& machine_;
    std::int64_t channels_ = 0;
    Axis rows_, columns_;
    bool tiles_hold_groups_ = false;
    Tiling tiling_;
};

}  // namespace

std::int64_t bank_bytes(const MachineConfig& machine) {
    return machine.activation_buffer_bytes / machine.activation_banks;
}

std::int64_t accumulator_rows(const MachineConfig& machine) {
    return machine.accumulator_bytes / 2 / (std::int64_t{machine.array_columns} * 5);
}

TilePlacement place(const TensorPlans& plans, const Pass& pass, const Tile& tile) {
    TilePlacement placement;
    const auto take = [](std::int64_t& used, std::int64_t bytes) {
        const std::int64_t address = ceil_divide(used, placement_alignment) * placement_alignment;
        used = address + bytes;
        return address;
    };
    placement.input =
        take(placement.input_bytes, tile.input.size() * plans.output(pass.source).bytes);
    // The array would meet the vector unit in its input bank.
    std::int64_t& operand_bank =
        pass.array_layer >= 0 ? placement.output_bytes : placement.input_bytes;
    for (const Step& step : pass.steps)
        placement.operands.push_back(
            step.has_operand
                ? take(operand_bank, tile.box.size() * plans.output(step.operand).bytes)
                : -1);
    if (pass.drains()) placement.drained = take(placement.output_bytes, tile.box.size() * 4);
    for (std::size_t i = 0; i < pass.steps.size(); ++i) {
        const bool pooled = pass.pools_last && i + 1 == pass.steps.size();
        const Box& box = pooled ? tile.out : tile.box;
        const Step& step = pass.steps[i];
        placement.results.push_back(take(placement.output_bytes, box.size() * step.bytes));
        placement.planes.push_back(
            step.plane_bits > 0
                ? take(placement.output_bytes, box.pixels() * plane_bytes(box.c, step.plane_bits))
                : -1);
    }
    return placement;
}

Tiling tile_pass(const Job& job, const TensorPlans& plans, const Pass& pass) {
    return Tiler(job, plans, pass).tile();
}

}  // namespace wagesim::compile
