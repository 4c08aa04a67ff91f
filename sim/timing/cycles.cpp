// See timing/cycles.h, where the formulas stand.
#include "timing/cycles.h"

#include <algorithm>
#include <charconv>
#include <sstream>

#include "text.h"
#include "wagesim/error.h"

namespace wagesim::timing {
namespace {

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return a / b + (a % b != 0 ? 1 : 0); }

double percent(std::int64_t part, double whole) {
    return whole > 0 ? 100.0 * static_cast<double>(part) / whole : 0;
}

struct Mapping {
    std::int64_t rows, columns, time;  // Sr, Sc, T
};

Mapping map(const Workload& w, Dataflow dataflow) {
    switch (dataflow) {
        case Dataflow::os:
            return {w.m, w.n, w.k};
        case Dataflow::is:
            return {w.k, w.m, w.n};
        default:
            return {w.k, w.n, w.m};
    }
}

LayerCycles scalesim_cycles(const Workload& w, const ArrayConfig& array, Dataflow dataflow,
                            bool paper) {
    const Mapping s = map(w, dataflow);
    const std::int64_t r = array.rows, c = array.columns;
    const bool is_os = dataflow == Dataflow::os;
    const std::int64_t folds = checked_product(ceil_div(s.rows, r), ceil_div(s.columns, c), w.name);

    LayerCycles cycles;
    cycles.folds = checked_product(folds, w.repeats, w.name);
    cycles.per_fold = s.time + c - 2 + (is_os && !paper ? r : 2 * r);
    cycles.compute_cycles = checked_product(cycles.folds, cycles.per_fold, w.name);
    cycles.reported_total = cycles.compute_cycles - (paper ? 0 : w.repeats);

    const auto pes = static_cast<double>(r) * static_cast<double>(c);
    const std::int64_t divisor =
        paper ? cycles.per_fold : s.time + (is_os ? r + c - 2 : 2 * r + 2 * c - 3);
    cycles.overall_util = percent(w.macs(), static_cast<double>(cycles.reported_total) * pes);
    cycles.mapping_efficiency = percent(s.rows * s.columns, static_cast<double>(folds) * pes);
    cycles.compute_util =
        cycles.mapping_efficiency * static_cast<double>(s.time) / static_cast<double>(divisor);
    return cycles;
}

/// Convention::wagesim, before the percentages.
struct Schedule {
    std::int64_t folds, per_fold, cycles, busy;  // busy: while GEMMs are
};

/// ws: w.m rows of `operand_bytes` stream through each tile of K x N; is, with M and N exchanged.
Schedule tile_by_tile(const Workload& w, const ArrayConfig& array, int operand_bytes) {
    const std::int64_t r = array.rows, c = array.columns;
    const std::int64_t wavefront = r + c - 1;
    const std::int64_t next_weights = wavefront + r;  // from a GEMM's start: swap, then WLOAD
    const auto times = [&](std::int64_t a, std::int64_t b) {
        return checked_product(a, b, w.name);
    };
    const auto plus = [&](std::int64_t a, std::int64_t b) { return checked_sum(a, b, w.name); };
    const auto busy = [&](std::int64_t k) {
        return times(w.m, ceil_div(k * operand_bytes, array.bank_bytes_per_cycle));
    };

    // Every column of tiles is full k tiles and one last, which may be shorter.
    const std::int64_t full = ceil_div(w.k, r) - 1, last_k = w.k - full * r;
    const std::int64_t columns = times(ceil_div(w.n, c), w.repeats);
    const std::int64_t full_busy = busy(std::min(w.k, r)), last_busy = busy(last_k);
    const std::int64_t full_step = std::max(full_busy, next_weights);
    const std::int64_t last_step = std::max(last_busy, next_weights);
    const std::int64_t all_but_last =
        plus(times(times(columns, full), full_step), times(columns - 1, last_step));
    return {times(columns, full + 1), full_step, plus(all_but_last, plus(last_busy, r + wavefront)),
            times(columns, plus(times(full, full_busy), last_busy))};
}

/// os: each column tile is one command, its pixels in folds of R.
Schedule column_by_column(const Workload& w, const ArrayConfig& array) {
    const std::int64_t r = array.rows, shift_out = 2 * r + array.columns - 1;
    const auto times = [&](std::int64_t a, std::int64_t b) {
        return checked_product(a, b, w.name);
    };
    const auto fold = [&](std::int64_t pixels) {
        return std::max(shift_out, times(w.k, ceil_div(pixels * array.operand_bytes,
                                                       array.bank_bytes_per_cycle)));
    };
    const std::int64_t full = ceil_div(w.m, r) - 1, last_pixels = w.m - full * r;
    const std::int64_t columns = times(ceil_div(w.n, array.columns), w.repeats);
    const std::int64_t full_fold = fold(std::min(w.m, r));
    const std::int64_t folds = checked_sum(times(full, full_fold), fold(last_pixels), w.name);
    const std::int64_t cycles = times(columns, checked_sum(folds, r + shift_out, w.name));
    return {times(columns, full + 1), full_fold, cycles, cycles};
}

LayerCycles wagesim_cycles(const Workload& w, const ArrayConfig& array, Dataflow dataflow) {
    constexpr int weight_bytes = 1;
    const Schedule schedule =
        dataflow == Dataflow::os ? column_by_column(w, array)
        : dataflow == Dataflow::ws
            ? tile_by_tile(w, array, array.operand_bytes)
            : tile_by_tile({w.name, w.n, w.m, w.k, w.repeats}, array, weight_bytes);
    const Mapping s = map(w, dataflow);
    const auto pes = static_cast<double>(array.rows) * static_cast<double>(array.columns);
    LayerCycles cycles;
    cycles.folds = schedule.folds;
    cycles.per_fold = schedule.per_fold;
    cycles.compute_cycles = cycles.reported_total = schedule.cycles;
    cycles.overall_util = percent(w.macs(), static_cast<double>(schedule.cycles) * pes);
    cycles.mapping_efficiency =
        percent(s.rows * s.columns * w.repeats, static_cast<double>(schedule.folds) * pes);
    cycles.compute_util = percent(w.macs(), static_cast<double>(schedule.busy) * pes);
    return cycles;
}

/// As Python prints a float: the shortest digits that read back, with a point.
std::string float_text(double value) {
    char digits[64];
    const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
    std::string text(digits, end);
    if (text.find_first_of(".e") == std::string::npos) text += ".0";
    return text;
}

}  // namespace

std::string_view to_string(Convention convention) {
    switch (convention) {
        case Convention::scalesim:
            return "scalesim";
        case Convention::scalesim_paper:
            return "scalesim-paper";
        default:
            return "wagesim";
    }
}

Dataflow parse_dataflow(const std::string& word, const std::string& origin) {
    for (const Dataflow dataflow : {Dataflow::ws, Dataflow::os, Dataflow::is})
        if (lower(word) == to_string(dataflow)) return dataflow;
    throw InputError(origin + ": expected ws, os or is, found '" + word + "'");
}

Convention parse_convention(const std::string& word, const std::string& origin) {
    for (const Convention convention :
         {Convention::wagesim, Convention::scalesim, Convention::scalesim_paper})
        if (word == to_string(convention)) return convention;
    throw InputError(origin + ": expected wagesim, scalesim or scalesim-paper, found '" + word +
                     "'");
}

LayerCycles layer_cycles(const Workload& workload, const ArrayConfig& array, Dataflow dataflow,
                         Convention convention) {
    if (array.rows < 1 || array.columns < 1)
        throw InputError("array " + std::to_string(array.rows) + "x" +
                         std::to_string(array.columns) + ": expected at least one row and column");
    if (convention != Convention::wagesim)
        return scalesim_cycles(workload, array, dataflow, convention == Convention::scalesim_paper);
    return wagesim_cycles(workload, array, dataflow);
}

NetworkCycles network_cycles(const std::vector<Workload>& workloads, const ArrayConfig& array,
                             Dataflow dataflow, Convention convention) {
    NetworkCycles sum;
    for (const Workload& w : workloads) {
        const LayerCycles layer = layer_cycles(w, array, dataflow, convention);
        sum.layers.push_back(layer);
        sum.macs = checked_sum(sum.macs, w.macs(), w.name);
        sum.folds = checked_sum(sum.folds, layer.folds, w.name);
        sum.compute_cycles = checked_sum(sum.compute_cycles, layer.compute_cycles, w.name);
        sum.reported_total = checked_sum(sum.reported_total, layer.reported_total, w.name);
    }
    sum.overall_util =
        percent(sum.macs, static_cast<double>(sum.reported_total) *
                              static_cast<double>(array.rows) * static_cast<double>(array.columns));
    return sum;
}

std::string compute_report(const NetworkCycles& network) {
    std::ostringstream out;
    out << "LayerID, Total Cycles (incl. prefetch), Total Cycles, Stall Cycles, Overall Util %, "
           "Mapping Efficiency %, Compute Util %,\n";
    for (std::size_t i = 0; i < network.layers.size(); ++i) {
        const LayerCycles& layer = network.layers[i];
        out << i << ", " << layer.reported_total << ", " << layer.reported_total << ", 0, "
            << float_text(layer.overall_util) << ", " << float_text(layer.mapping_efficiency)
            << ", " << float_text(layer.compute_util) << ",\n";
    }
    return out.str();
}

}  // namespace wagesim::timing
