// Cycles of matrix products on an array by closed formulas: no simulation, no memory, no stalls.
//
// Symbols: R rows, C columns of the array; Sr, Sc the extents mapped to them, T the one in time:
//   ws  Sr = K, Sc = N, T = M      os  Sr = M, Sc = N, T = K      is  Sr = K, Sc = M, T = N
// F = ceil(Sr / R) * ceil(Sc / C) folds, a partial one as long as a full one.
//
// Convention::scalesim: F folds one after the other, of R + C + T - 2 cycles (os) or
// 2R + C + T - 2 (ws, is). `scalesim_paper` differs for os: 2R + C + T - 2.
//
// Convention::wagesim: this project's array alone, by the rules of docs/cycles.md, with every
// weight and operand at hand, and room in the accumulators for all M rows.
//
// ws: per fold one WLOAD and one GEMM; i counts folds, k tiles innermost:
//   busy(i)      = M * max(1, ceil(k(i) * operand bytes / bank bytes a cycle))
//   GEMM(0)      starts at R: the first WLOAD must be over
//   WLOAD(i + 1) starts R + C - 1 after GEMM(i) (its swap is over: the only set of shadow registers
//                is free) and takes R
//   GEMM(i + 1)  starts max(busy(i), 2R + C - 1) after GEMM(i): array free, weights loaded
//   the end      is R + C - 1 (the wavefront) after the last GEMM's busy, which waits for no WLOAD
//   cycles       = R + sum over all folds but the last of max(busy, 2R + C - 1) + busy(last)
//                  + R + C - 1
// is: the same with M and N exchanged; weights, of one byte, stream past operands.
// os: per column tile one GEMM of all M pixels and all K, in ceil(M / R) folds of R pixels, one
// GEMM after the other:
//   a fold       = max(K * max(1, ceil(its pixels * operand bytes / bank bytes a cycle)), 2R + C -
//   1) a GEMM       = R + its folds + 2R + C - 1
// This holds while commands are issued in time: issue_cycles <= R.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "timing/topology.h"
#include "wagesim/network/datapath.h"

namespace wagesim::timing {

enum class Convention { wagesim, scalesim, scalesim_paper };

std::string_view to_string(Convention convention);  ///< "scalesim-paper" for the third
/// Throw InputError listing the names; `origin` says where the word stands.
Dataflow parse_dataflow(const std::string& word, const std::string& origin);
Convention parse_convention(const std::string& word, const std::string& origin);

struct ArrayConfig {
    int rows = 16;
    int columns = 16;
    int bank_bytes_per_cycle = 16;  ///< Convention::wagesim only
    int operand_bytes = 1;          ///< Convention::wagesim only
};

struct LayerCycles {
    std::int64_t folds = 0;     ///< of all repeats
    std::int64_t per_fold = 0;  ///< wagesim: from one full fold's start to the next
    std::int64_t compute_cycles = 0;
    /// What the tool of that convention prints as total. SCALE-Sim prints the index of the last
    /// cycle, counted from 0: one less than the cycles, for each repeat.
    std::int64_t reported_total = 0;
    double overall_util = 0;        ///< %: MACs of reported_total * R * C
    double mapping_efficiency = 0;  ///< %: PEs with a weight (or output), mean over the folds
    /// %: mean over the folds of used * T / (R * C * d). SCALE-Sim's d is R + C + T - 2 (os) but
    /// 2R + 2C + T - 3 (ws, is), C - 1 more than it charges; for scalesim_paper d is what is
    /// charged. wagesim: MACs of the slots while GEMMs are busy.
    double compute_util = 0;
};

/// Throws InputError for an array without PEs, or counts beyond 64 bits.
LayerCycles layer_cycles(const Workload& workload, const ArrayConfig& array, Dataflow dataflow,
                         Convention convention);

/// Layers one after the other, as SCALE-Sim runs them.
struct NetworkCycles {
    std::vector<LayerCycles> layers;  ///< as the workloads
    std::int64_t macs = 0, folds = 0, compute_cycles = 0, reported_total = 0;
    double overall_util = 0;  ///< %: MACs of reported_total * R * C
};

NetworkCycles network_cycles(const std::vector<Workload>& workloads, const ArrayConfig& array,
                             Dataflow dataflow, Convention convention);

/// SCALE-Sim's COMPUTE_REPORT.csv, a row per workload: its columns, spaces and closing commas.
/// Stall Cycles are 0 and the total with prefetch is the total: memory is not modelled.
std::string compute_report(const NetworkCycles& network);

}  // namespace wagesim::timing
