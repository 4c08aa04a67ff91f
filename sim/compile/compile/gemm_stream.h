// The array's passes of the backward pass: products of errors with weights and with activations.
#pragma once

#include <cstddef>
#include <vector>

#include "compile/dram_layout.h"
#include "compile/emitter.h"

namespace wagesim::compile {

/// Input tiles through banks 0 and 1, stationary operands in chunks through the halves of the
/// weight buffer, sums in the two banks of accumulators, drained to banks 2 and 3 and stored. All
/// addresses that it is given count from the start of a bank or half.
class GemmStream {
public:
    GemmStream(const Job& job, Emitter& emitter, Phase phase, int layer);

    /// LOADs of a tile of `activations`, of a chunk of `weights`.
    int add_input(const Box& box, std::vector<Transfer> loads);
    int add_chunk(const Box& box, std::vector<Transfer> loads);

    struct Product {
        Box box;
        Gemm gemm;  ///< with the place of its weights, for ws too
    };
    /// Accumulators that go to Dram.
    struct Result {
        Box box;
        Drain drain;
        Transfer store;
    };
    /// GEMMs of one input tile with one chunk. With `results` a bank of sums ends.
    struct Work {
        int input = 0, chunk = 0;
        std::vector<Product> products;
        std::vector<Result> results;
    };
    void add(Work work) { work_.push_back(std::move(work)); }

    /// What is stored is measured: `record` gets its largest magnitude, and its unit, whose
    /// exponent is s of `operand`.
    void run(const DramTensor& operand, const DramTensor& record, int frac);

private:
    struct Place {
        Box box;
        std::vector<Transfer> loads;
    };
    /// What is known of a piece of work before any command is emitted.
    struct Turn {
        std::size_t input = 0, half = 0, sums = 0;  ///< counts; their banks take turns
        bool loads_input = false, releases_input = false;
        bool loads_chunk = false, releases_chunk = false;
        bool begins_sums = false;
    };
    void plan();
    void load(std::size_t work);
    void load_all(const Place& place, std::int64_t base, int number, const TokenKind& free,
                  const TokenKind& full);
    void multiply(std::size_t work);
    void load_weights(std::size_t work, const Product& product, const Gemm& gemm);
    void set_chunk_tokens(Command& command, std::size_t work, const Product& product);
    void drain(std::size_t work);

    const Job& job_;
    const MachineConfig& machine_;
    Emitter& emitter_;
    const Phase phase_;
    const int layer_;
    std::vector<Place> inputs_, chunks_;
    std::vector<Work> work_;
    std::vector<Turn> turns_;
    std::size_t results_ = 0, results_left_ = 0;
};

}  // namespace wagesim::compile
