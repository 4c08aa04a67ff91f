// The datapath as the user configures it: formats of every quantisation point and the sizes and
// timings of the machine. Values and names only; presets and the reader are in datapath.cpp.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "wagesim/format/format.h"
#include "wagesim/network/network.h"

namespace wagesim {

enum class Normalize { divide, reciprocal };
enum class BnInference { normalize, folded };
enum class DividerKind { pipelined, iterative };

/// What stays in the PEs: weights, sums, or operands. The machine has the first two; `is` is only
/// for counting cycles (`wagesim cycles`).
enum class Dataflow { ws, os, is };
std::string_view to_string(Dataflow dataflow);

/// Sizes and timings of the modelled machine. Cycles are cycles of the one clock.
struct MachineConfig {
    // MAC array
    int array_rows = 16;               ///< R: the reduction (os: pixels)          [Gemmini]
    int array_columns = 16;            ///< C, output channels                     [Gemmini]
    Dataflow dataflow = Dataflow::ws;  ///< ws or os                        [Gemmini]
    int accumulator_bits = 40;         ///< physical width of a partial sum        [assumed]
    Overflow accumulator_overflow = Overflow::wrap;  ///< wrap, or full (saturate)  [knob]
    // Buffers, bytes
    std::int64_t weight_buffer_bytes = 64 * 1024;       ///< two halves           [assumed]
    std::int64_t activation_buffer_bytes = 128 * 1024;  ///< in banks             [Gemmini]
    int activation_banks = 4;                           ///<                      [Gemmini]
    int bank_bytes_per_cycle = 16;                      ///< one port per bank    [Gemmini]
    std::int64_t accumulator_bytes = 128 * 1024;  ///< two banks; a row is C x 5 bytes [Gemmini]
    std::int64_t parameter_bytes = 16 * 1024;     ///<                      [assumed]
    // Dram and Dma
    std::int64_t dram_bytes = std::int64_t{1} << 30;  ///< capacity             [assumed]
    int dram_bytes_per_cycle = 16;  ///< reads and writes together               [Gemmini]
    int dram_burst_bytes = 64;      ///<                                         [Gemmini]
    int dram_outstanding = 64;      ///< read bursts in flight                   [Gemmini]
    int dram_latency_cycles = 100;  ///<                                         [assumed]
    // Vector and update units
    int vector_lanes = 16;        ///<                                         [assumed]
    int vector_depth_cycles = 4;  ///< pipeline depth                          [assumed]
    DividerKind divider = DividerKind::pipelined;  ///< one per lane             [assumed]
    int sqrt_cycles = 18;             ///< one serial square root                  [assumed]
    int channel_divider_cycles = 96;  ///< one serial divider for statistics     [assumed]
    int update_lanes = 16;            ///< weights per cycle                       [assumed]
    // Control
    int queue_depth = 8;                    ///< commands per unit                       [Gemmini]
    int issue_cycles = 2;                   ///< between two commands                    [assumed]
    std::int64_t clock_hz = 1'000'000'000;  ///< only to print seconds           [assumed]
};

enum class ErrorQuantizer { flag8, sq16 };
enum class Loss { softmax, sse };
enum class RandomSource { xorshift, lfsr };

/// The choices of a training step (docs/training.md).
struct TrainingConfig {
    Loss loss = Loss::softmax;
    ErrorQuantizer e2 = ErrorQuantizer::flag8;
    bool masks_overflow = true;     ///< `ste: mask`: no error where A's code did not fit
    bool sigma_guard = true;        ///< no error through channels whose sigma is 0
    bool momentum_quarter = false;  ///< 1/4 instead of 3/4
    RandomSource random_source = RandomSource::xorshift;
    std::optional<int> weight_decay_log2;
};

/// A whole configuration: the machine, the quantisers, and the choices the contract leaves open.
struct Datapath {
    std::string name = "int8";
    MachineConfig machine;
    std::map<Qp, Quantizer> quantizers;
    /// Per layer, by layer name: quantisers that differ from the ones above.
    std::map<std::string, std::map<Qp, Quantizer>> layer_quantizers;
    Normalize normalize = Normalize::divide;
    BnInference bn_inference = BnInference::normalize;
    int running_shift = 4;  ///< t of the running statistics' update
    TrainingConfig training;

    /// The quantiser in force at a layer's quantisation point.
    const Quantizer& at(const std::string& layer, Qp qp) const;
};

/// The preset's values ("int8", "paper", "authors"). Throws InputError on an unknown name, listing
/// the known ones.
Datapath preset(const std::string& name);

/// A preset's name, or a path to a JSON file (which may extend a preset).
/// Throws InputError naming the file, the key and what was expected.
Datapath read_datapath(const std::string& preset_or_path);

/// The same from text; `origin` is the name used in messages.
Datapath parse_datapath(const std::string& text, const std::string& origin);

/// Throws InputError where a per-layer quantiser names a layer that the network doesn't have, or a
/// quantisation point that the layer doesn't have. `origin` is the datapath's name in messages.
void check_against(const Datapath& datapath, const Network& network, const std::string& origin);

/// All settings as JSON, every machine setting with its unit and provenance; reads back as is.
std::string to_json(const Datapath& datapath);

}  // namespace wagesim
