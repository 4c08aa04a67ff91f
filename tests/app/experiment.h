// A network through the machine, the golden model and the judge, in a process of its own:
// SystemC elaborates once per process, and many tests compare several machines.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "buffer/injection.h"
#include "compile/compile.h"
#include "machine.h"
#include "parameters.h"
#include "wagesim/program/probe.h"
#include "wagesim/trace/wave_writer.h"

namespace wagesim::test {

struct Experiment {
    std::string network;          ///< JSON text
    std::string datapath = "{}";  ///< JSON text
    compile::BatchNorm batch_norm = compile::BatchNorm::running;
    std::vector<std::int64_t> batches{1};  ///< images in each
    std::vector<std::uint8_t> pixels;      ///< of all images; empty: seeded random ones
    std::uint32_t seed = 1;                ///< of the start weights and random pixels
    std::uint32_t stall_seed = 0;
    rtl::Fidelity fidelity = rtl::Fidelity::tile;
    int quantum = 64;
    std::optional<rtl::Injection> injection;
    std::string wave;  ///< file to write; empty: none
    trace::WaveWriter::Options wave_options;
    bool keep_codes = false;  ///< Outcome::tensors
    /// Changes the start parameters.
    std::function<void(const Network&, const Datapath&, app::Parameters&)> set_parameters;
    /// What stands between the machine and the judge.
    std::function<std::unique_ptr<Probe>(Probe& judge, const Network&)> between;
    /// Sees the program and every retired command of the first batch; its text is Outcome::note.
    std::function<std::string(const Program&, const std::vector<Retired>&, const Network&)> inspect;
};

struct FirstMismatch {
    std::string tensor, expected, got, expected_hex, got_hex, cause;
    std::vector<std::int64_t> at;
    std::int64_t cycle = -1;
    int first_bit = -1;
};

struct BatchOutcome {
    std::int64_t cycles = 0;     ///< simulated
    std::int64_t predicted = 0;  ///< by the recurrence of docs/cycles.md
    std::int64_t serial = 0, overlap = 0;
    std::int64_t macs = 0, padding_slots = 0, pe_operations = 0;
    std::int64_t points = 0;  ///< quantisation points announced
    /// Commands of compute units that are busy as long as the recurrence says; the others.
    std::int64_t busy_equal = 0, busy_other = 0;
};

struct Outcome {
    bool clean = false;
    std::int64_t checked = 0, tensors_checked = 0, mismatches = 0, uncertified = 0;
    std::int64_t saturations = 0, wraps = 0, differs_from_wide = 0;
    std::vector<std::string> findings;
    FirstMismatch first;  ///< tensor empty: none
    std::vector<BatchOutcome> batches;
    std::int64_t cycles = 0;
    std::vector<std::vector<std::int64_t>> stalls;  ///< by unit and cause
    bool injection_hit = false;
    std::string injection_story;
    std::string note;
    /// LAYER.QP -> codes of every batch, one after the other (N, C, H, W).
    std::map<std::string, std::vector<std::int64_t>> tensors;

    /// What a failing test prints.
    std::string story() const;
};

/// Runs it in a child process. Throws InputError as the machine's and compiler's own; any other
/// exception or death of the child as std::runtime_error.
Outcome run(const Experiment& experiment);

std::string network_file(const std::string& name);  ///< text of networks/NAME.json

/// The first images of Fashion-MNIST's test set, or seeded random ones where it is not installed.
std::vector<std::uint8_t> test_images(std::int64_t count);

/// The same numbers on every machine.
class Random {
public:
    explicit Random(std::uint64_t seed) : state_(seed * 0xD1342543DE82EF95U + 1) { next(); }
    std::uint64_t next() {
        std::uint64_t z = (state_ += 0x9E3779B97F4A7C15U);
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
        return z ^ (z >> 31);
    }
    std::int64_t between(std::int64_t low, std::int64_t high) {
        return low + static_cast<std::int64_t>(next() % static_cast<std::uint64_t>(high - low + 1));
    }
    bool chance(int percent) { return between(1, 100) <= percent; }
    template <class T>
    T pick(std::initializer_list<T> list) {
        return *(list.begin() + between(0, static_cast<std::int64_t>(list.size()) - 1));
    }

private:
    std::uint64_t state_;
};

}  // namespace wagesim::test
