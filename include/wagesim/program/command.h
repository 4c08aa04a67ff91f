// The commands that the layer scheduler executes: what the compiler emits and the machine obeys.
//
// A program is a list of commands. The scheduler issues them in order, one every
// `issue_cycles`, each into the queue of its unit (`queue_depth` entries). A unit executes its
// commands in order: it waits for the command's tokens, works, and gives tokens. Units meet
// nowhere else. Every operand is an address in a buffer; nothing is passed by pointer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "wagesim/format/format.h"
#include "wagesim/program/operands.h"
#include "wagesim/tensor/tensor.h"

namespace wagesim {

/// Execution units, each with its own in-order command queue.
enum class Unit { dma_read, dma_write, weight_loader, array, drain, vector, update };
inline constexpr int unit_count = 7;

/// What a command belongs to, for the report.
enum class Phase { prepare, forward, error, gradient, batch_norm, update };
inline constexpr int phase_count = 6;

/// What a unit lacks while it waits for a token.
enum class StallCause {
    weights,       ///< weight tile not in its buffer or register
    activations,   ///< input tile not in its buffer
    accumulator,   ///< no accumulator bank free, or its sum not complete
    vector,        ///< the vector unit has not delivered
    parameters,    ///< batch-norm parameters or statistics not there
    dram,          ///< a Dma transfer or its buffer space
    control,       ///< nothing issued: the queue is empty
    backpressure,  ///< random stalls of --stall-seed
};
inline constexpr int stall_cause_count = 8;

struct TokenInfo {
    std::string name;
    StallCause cause = StallCause::control;  ///< of a unit that waits for it
    int initial = 0;
};

struct Command {
    using Operands =
        std::variant<Fence, Transfer, WeightLoad, Gemm, Drain, Gather, Clear, BnStat, BnCoef,
                     NormalizeCmd, Act, Add, Pool, QuantizeCmd, Softmax, Exponent, ShiftQuantize,
                     FlagQuantize, PoolBack, Reduce, BnBack, BnError, Fork, Update>;
    Unit unit = Unit::dma_read;  ///< ignored for FENCE
    std::int32_t layer = -1;     ///< index in the network file, for the report
    Phase phase = Phase::forward;
    std::int32_t tile = 0;  ///< output tile of the layer's pass
    Box box;                ///< the output elements it works on, in its layer's output tensor
    Operands operands;
    Tokens waits;
    Tokens gives;  ///< at completion
};

/// LOAD, STORE, WLOAD, ... as listings and traces print it.
std::string mnemonic(const Command& command);
std::string_view to_string(Unit unit);
std::string_view to_string(Phase phase);
std::string_view to_string(StallCause cause);
std::string_view to_string(Space space);

/// Order of a tensor's elements in Dram.
enum class MemoryOrder {
    nhwc,  ///< activations
    ohwi,  ///< conv2d weights: O, kh, kw, I
    flat,  ///< linear weights (O, I), channel vectors
};

/// What a place in the Dram holds of a quantisation point.
enum class Role {
    codes,
    mask,    ///< E1m: a bit an element
    index,   ///< a max pool's: a few bits an element
    flags,   ///< E2: a bit an element
    scale,   ///< a scale's record
    back,    ///< pool_err: a pool's error spread over its input
    labels,  ///< of the image, a byte each
};

/// Where a tensor lies in the Dram image.
struct DramTensor {
    QpId qp;
    Role role = Role::codes;
    Shape shape;
    Format format;
    std::int64_t address = 0;
    std::int32_t bytes = 1;       ///< per element, little-endian two's complement
    std::int32_t plane_bits = 0;  ///< mask, index, flags: per element, whole bytes a pixel
    MemoryOrder order = MemoryOrder::nhwc;
    bool from_host = false;  ///< written by the host before the program runs
};

/// Control registers of the update unit, which the host writes before a step.
struct StepRegisters {
    std::uint32_t seed = 1, step = 0;
    std::int32_t lr = 0;       ///< code at frac 9
    std::int32_t dr_log2 = 7;  ///< of CQ
};

/// Makes a large program's commands when they are needed, some passes at a time.
class ProgramSource {
public:
    virtual ~ProgramSource() = default;
    virtual std::size_t size() const = 0;
    /// Stays until two other passes' commands have been asked for.
    virtual const Command& at(std::size_t index) = 0;
};

struct Program {
    std::vector<Command> commands;          ///< empty where there is a source
    std::shared_ptr<ProgramSource> source;  ///< null: `commands` are all
    std::vector<TokenInfo> tokens;
    std::vector<DramTensor> tensors;
    std::int64_t dram_bytes = 0;

    std::size_t size() const { return source == nullptr ? commands.size() : source->size(); }
    const Command& at(std::size_t index) const {
        return source == nullptr ? commands[index] : source->at(index);
    }
};

}  // namespace wagesim
