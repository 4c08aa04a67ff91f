// The array's passes of the backward pass: products of errors with weights and with activations.
#include "compile/gemm_stream.h"

#include <array>
#include <utility>

#include "compile/tiling.h"

namespace wagesim::compile {
namespace {

constexpr std::int64_t first_output_bank = 2;
// In `parameters`.
constexpr std::int64_t record_address = 0, operand_address = scale_bytes;

}  // namespace

GemmStream::GemmStream(const Job& job, Emitter& emitter, Phase phase, int layer)
    : job_(job), machine_(job.datapath.machine), emitter_(emitter), phase_(phase), layer_(layer) {}

int GemmStream::add_input(const Box& box, std::vector<Transfer> loads) {
    inputs_.push_back({box, std::move(loads)});
    return static_cast<int>(inputs_.size()) - 1;
}
int GemmStream::add_chunk(const Box& box, std::vector<Transfer> loads) {
    chunks_.push_back({box, std::move(loads)});
    return static_cast<int>(chunks_.size()) - 1;
}

/// A chunk that is in one of the halves is not loaded again; a new one takes the place of that
/// which was used longest ago, so that halves become free in the order in which they are filled.
void GemmStream::plan() {
    turns_.resize(work_.size());
    struct Half {
        int chunk = -1;
        std::size_t last_use = 0;
    };
    std::array<Half, 2> halves;
    std::size_t inputs = 0, sums = 0;
    for (std::size_t w = 0; w < work_.size(); ++w) {
        Turn& turn = turns_[w];
        const Work& work = work_[w];
        turn.loads_input = w == 0 || work_[w - 1].input != work.input;
        if (turn.loads_input) {
            ++inputs;
            if (w > 0) turns_[w - 1].releases_input = true;
        }
        turn.input = inputs - 1;
        turn.begins_sums = w == 0 || !work_[w - 1].results.empty();
        if (turn.begins_sums) ++sums;
        turn.sums = sums - 1;

        std::size_t half = 0;
        while (half < halves.size() && halves[half].chunk != work.chunk) ++half;
        if (half == halves.size()) {
            turn.loads_chunk = true;
            half = halves[0].chunk < 0                       ? 0
                   : halves[1].chunk < 0                     ? 1
                   : halves[0].last_use < halves[1].last_use ? 0
                                                             : 1;
            if (halves[half].chunk >= 0) turns_[halves[half].last_use].releases_chunk = true;
            halves[half].chunk = work.chunk;
        }
        halves[half].last_use = w;
        turn.half = half;
        results_ += work.results.size();
    }
    turns_.back().releases_input = true;
    for (const Half& half : halves)
        if (half.chunk >= 0) turns_[half.last_use].releases_chunk = true;
    results_left_ = results_;
}

void GemmStream::load_all(const Place& place, std::int64_t base, int number, const TokenKind& free,
                          const TokenKind& full) {
    for (std::size_t i = 0; i < place.loads.size(); ++i) {
        Transfer transfer = place.loads[i];
        transfer.buffer_address += base;
        Command load = emitter_.command(Unit::dma_read, layer_, number, place.box, transfer);
        if (i == 0) emitter_.wait(load, free);
        if (i + 1 == place.loads.size()) emitter_.give(load, full);
        emitter_.emit(std::move(load));
    }
}

/// What a piece of work needs and does not find.
void GemmStream::load(std::size_t w) {
    if (w >= work_.size()) return;
    const Turn& turn = turns_[w];
    const int number = static_cast<int>(turn.sums);
    const bool is_os = machine_.dataflow == Dataflow::os;
    if (turn.loads_input)
        load_all(inputs_[static_cast<std::size_t>(work_[w].input)],
                 static_cast<std::int64_t>(turn.input % 2) * bank_bytes(machine_), number,
                 tokens::input_free, tokens::input_full);
    if (turn.loads_chunk)
        load_all(chunks_[static_cast<std::size_t>(work_[w].chunk)],
                 static_cast<std::int64_t>(turn.half) * (machine_.weight_buffer_bytes / 2), number,
                 is_os ? tokens::weights_free_array : tokens::weights_free,
                 is_os ? tokens::weights_full_array : tokens::weights_full);
}

void GemmStream::set_chunk_tokens(Command& command, std::size_t w, const Product& product) {
    const bool is_os = machine_.dataflow == Dataflow::os;
    const std::vector<Product>& products = work_[w].products;
    if (&product == &products.front() && turns_[w].loads_chunk)
        emitter_.wait(command, is_os ? tokens::weights_full_array : tokens::weights_full);
    if (&product == &products.back() && turns_[w].releases_chunk)
        emitter_.give(command, is_os ? tokens::weights_free_array : tokens::weights_free);
}

void GemmStream::load_weights(std::size_t w, const Product& product, const Gemm& gemm) {
    Command load = emitter_.command(Unit::weight_loader, layer_, static_cast<int>(turns_[w].sums),
                                    product.box, WeightLoad{gemm.weights, gemm.k, gemm.columns});
    emitter_.wait(load, tokens::shadow_free);
    emitter_.give(load, tokens::shadow_full);
    set_chunk_tokens(load, w, product);
    emitter_.emit(std::move(load));
}

void GemmStream::multiply(std::size_t w) {
    const Turn& turn = turns_[w];
    const Work& work = work_[w];
    const std::int64_t half =
        static_cast<std::int64_t>(turn.half) * (machine_.weight_buffer_bytes / 2);
    const std::int64_t input = static_cast<std::int64_t>(turn.input % 2) * bank_bytes(machine_);
    const bool is_os = machine_.dataflow == Dataflow::os;
    for (const Product& product : work.products) {
        Gemm gemm = product.gemm;
        gemm.address += input;
        if (gemm.flags.exists()) gemm.flags.address += input;
        gemm.weights.address += half;
        if (gemm.weights.flags.exists()) gemm.weights.flags.address += half;
        gemm.accumulator_row +=
            static_cast<std::int64_t>(turn.sums % 2) * accumulator_rows(machine_);
        if (!is_os) {
            load_weights(w, product, gemm);
            emitter_.give_at_swap(gemm, tokens::shadow_free);
            gemm.weights = {};
        }
        Command command = emitter_.command(Unit::array, layer_, static_cast<int>(turn.sums),
                                           product.box, std::move(gemm));
        if (is_os)
            set_chunk_tokens(command, w, product);
        else
            emitter_.wait(command, tokens::shadow_full);
        if (&product == &work.products.front()) {
            if (turn.loads_input) emitter_.wait(command, tokens::input_full);
            if (turn.begins_sums) emitter_.wait(command, tokens::sums_free_drain);
        }
        if (&product == &work.products.back()) {
            if (!work.results.empty()) emitter_.give(command, tokens::sums_full_drain);
            if (turn.releases_input) emitter_.give(command, tokens::input_free);
        }
        emitter_.emit(std::move(command));
    }
}

void GemmStream::drain(std::size_t w) {
    const Turn& turn = turns_[w];
    const std::vector<Result>& results = work_[w].results;
    const int number = static_cast<int>(turn.sums);
    for (const Result& result : results) {
        const std::size_t index = results_ - results_left_;
        const std::int64_t bank =
            bank_bytes(machine_) * (first_output_bank + static_cast<std::int64_t>(index % 2));
        Drain drain = result.drain;
        drain.source.address +=
            static_cast<std::int64_t>(turn.sums % 2) * accumulator_rows(machine_);
        drain.destination.address += bank;
        drain.largest_address = record_address;
        drain.scale_address = operand_address;
        Command command = emitter_.command(Unit::drain, layer_, number, result.box, drain);
        if (&result == &results.front()) emitter_.wait(command, tokens::sums_full_drain);
        emitter_.wait(command, tokens::result_free_drain);
        if (index == 0) emitter_.wait(command, tokens::statistics_clear);
        if (&result == &results.back()) emitter_.give(command, tokens::sums_free_drain);
        emitter_.give(command, tokens::result_full_drain);
        if (--results_left_ == 0) emitter_.give(command, tokens::statistics_full);
        emitter_.emit(std::move(command));

        Transfer transfer = result.store;
        transfer.buffer_address += bank;
        Command store = emitter_.command(Unit::dma_write, layer_, number, result.box, transfer);
        emitter_.wait(store, tokens::result_full_drain);
        emitter_.give(store, tokens::result_free_drain);
        emitter_.emit(std::move(store));
    }
}

void GemmStream::run(const DramTensor& operand, const DramTensor& record, int frac) {
    emitter_.begin_phase(phase_);
    plan();
    const Box one = channel_box(0, 1);
    load(0);
    Command load_operand =
        emitter_.command(Unit::dma_read, layer_, 0, one,
                         run_transfer(operand, 0, 1, Space::parameters, operand_address));
    emitter_.give(load_operand, tokens::parameters_full);
    emitter_.emit(std::move(load_operand));
    Command clear =
        emitter_.command(Unit::vector, layer_, 0, one, Clear{record_address, scale_bytes});
    emitter_.wait(clear, tokens::parameters_full);
    emitter_.give(clear, tokens::statistics_clear);
    emitter_.emit(std::move(clear));

    for (std::size_t w = 0; w < work_.size(); ++w) {
        // Ahead of the work, so that it is on its way meanwhile.
        load(w + 1);
        multiply(w);
        drain(w);
    }

    const int number = static_cast<int>(turns_.back().sums);
    Exponent exponent;
    exponent.scale_address = record_address;
    exponent.frac = frac;
    exponent.operands.push_back({{operand_address, true, frac}, 40});
    Command complete = emitter_.command(Unit::vector, layer_, number, one, exponent);
    emitter_.wait(complete, tokens::statistics_full);
    emitter_.give(complete, tokens::statistics_done);
    emitter_.emit(std::move(complete));
    Command store = emitter_.command(Unit::dma_write, layer_, number, one,
                                     run_transfer(record, 0, 1, Space::parameters, record_address));
    emitter_.wait(store, tokens::statistics_done);
    emitter_.emit(std::move(store));
    emitter_.fence(layer_);
}

}  // namespace wagesim::compile
