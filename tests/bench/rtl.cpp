// The SystemVerilog array alone, under Verilator: how many cycles a second. Compiled once per size
// (SIZE) and kind of wave (WAVE_VCD, WAVE_FST, or neither); a wave has all PE registers.
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "Varray_ws.h"
#include "array_workload.h"
#if defined WAVE_VCD
#include "verilated_vcd_c.h"
using Wave = VerilatedVcdC;
#elif defined WAVE_FST
#include "verilated_fst_c.h"
using Wave = VerilatedFstC;
#else
struct Wave {
    void dump(std::uint64_t) {}
};
#endif

namespace {

using Clock = std::chrono::steady_clock;

class Array {
public:
    Array() {
#if defined WAVE_VCD || defined WAVE_FST
        top.trace(&wave, 99);
#endif
        top.eval();
        top.rst_ni = 1;
    }

    /// Sums are looked at only if `right` is there to be told.
    void run(const ArrayWorkload& workload, bool* right = nullptr) {
        const auto element = [](int i) { return ArrayWorkload::at(i); };
        const int rows = workload.rows, columns = workload.columns;
        top.load_i = 1;
        for (int i = 0; i < rows; ++i) {
            std::memcpy(&top.weights_i, &workload.weights[element((rows - 1 - i) * columns)],
                        element(columns));
            edge();
        }
        top.load_i = 0;
        top.swap_i = 1;
        top.valid_i = 1;
        int left = 0;
        for (int p = 0; p < ArrayWorkload::pixels + workload.latency(); ++p) {
            if (p < ArrayWorkload::pixels) {
                std::memcpy(&top.operands_i, &workload.operands[element(p * rows)], element(rows));
            } else {
                top.valid_i = 0;
                std::memset(&top.operands_i, 0, element(rows));
            }
            edge();
            top.swap_i = 0;
            if (top.valid_o == 0) continue;
            if (right != nullptr) *right = *right && holds_sums(workload, left);
            ++left;
        }
        if (right != nullptr) *right = *right && left == ArrayWorkload::pixels;
    }

    std::int64_t cycles = 0;
    Varray_ws top;
    Wave wave;

private:
    void edge() {
        top.clk_i = 1;
        top.eval();
        wave.dump(static_cast<std::uint64_t>(cycles++));
        top.clk_i = 0;
        top.eval();
    }

    bool holds_sums(const ArrayWorkload& workload, int pixel) const {
        int bits = 16;
        for (int of_rows = 1; of_rows < workload.rows; of_rows *= 2) ++bits;
        const auto* const words = reinterpret_cast<const std::uint32_t*>(&top.sums_o);
        for (int c = 0; c < workload.columns; ++c) {
            std::uint32_t sum = 0;
            for (int bit = 0; bit < bits; ++bit) {
                const int place = c * bits + bit;
                sum |= (words[place / 32] >> (place % 32) & 1U) << bit;
            }
            const std::int32_t signed_sum =
                static_cast<std::int32_t>(sum << (32 - bits)) >> (32 - bits);
            if (signed_sum != workload.sums[ArrayWorkload::at(pixel * workload.columns + c)])
                return false;
        }
        return true;
    }
};

}  // namespace

int main(int argc, char** argv) {
#if defined WAVE_VCD || defined WAVE_FST
    if (argc < 2) {
        std::fprintf(stderr, "usage: %s FILE [TILES]\n", argv[0]);
        return 2;
    }
    const int tiles = argc > 2 ? std::atoi(argv[2]) : 8;
    Verilated::traceEverOn(true);
#else
    const int tiles = 8;
    const std::chrono::duration<double> least(argc > 1 ? std::atof(argv[1]) : 1.0);
#endif
    std::vector<ArrayWorkload> workloads;
    for (int tile = 0; tile < tiles; ++tile)
        workloads.emplace_back(SIZE, SIZE, static_cast<unsigned>(tile));
    Array array;
    bool right = true;
    array.run(ArrayWorkload(SIZE, SIZE, 99), &right);
    if (!right) {
        std::fprintf(stderr, "wrong sums\n");
        return 1;
    }
    const std::int64_t checked = array.cycles;
    const std::string name = "verilator_" + workloads.front().array();
    const auto begin = Clock::now();
#if defined WAVE_VCD || defined WAVE_FST
    array.wave.open(argv[1]);
    for (const ArrayWorkload& workload : workloads) array.run(workload);
    array.wave.close();
    const auto time = Clock::now() - begin;
    print_speed(name + WAVE_SUFFIX, array.cycles - checked, time,
                std::filesystem::file_size(argv[1]));
#else
    do {
        for (const ArrayWorkload& workload : workloads) array.run(workload);
    } while (Clock::now() - begin < least);
    print_speed(name, array.cycles - checked, Clock::now() - begin);
#endif
    return 0;
}
