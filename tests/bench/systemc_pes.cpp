// The array as one writes it first in SystemC: a module per PE, a signal per register that a
// neighbour reads. The same registers as docs/array.md's; native integers. How many cycles a
// second.
#include <cstdlib>
#include <memory>
#include <systemc>

#include "array_workload.h"

namespace {

using sc_core::sc_in;
using sc_core::sc_out;
using sc_core::sc_signal;

class Pe : public sc_core::sc_module {
public:
    sc_in<bool> clk_i{"clk_i"}, load_i{"load_i"}, valid_i{"valid_i"}, swap_i{"swap_i"};
    sc_in<std::int8_t> a_i{"a_i"}, next_weight_i{"next_weight_i"};
    sc_in<std::int32_t> sum_i{"sum_i"};
    sc_out<bool> valid_o{"valid_o"}, swap_o{"swap_o"};
    sc_out<std::int8_t> a_o{"a_o"}, next_weight_o{"next_weight_o"};
    sc_out<std::int32_t> sum_o{"sum_o"};

    explicit Pe(const sc_core::sc_module_name& name) : sc_module(name) {
        SC_HAS_PROCESS(Pe);
        SC_METHOD(on_edge);
        sensitive << clk_i.pos();
        dont_initialize();
    }

private:
    void on_edge() {
        if (swap_i.read()) weight_ = next_weight_o.read();
        a_o.write(a_i.read());
        valid_o.write(valid_i.read());
        swap_o.write(swap_i.read());
        sum_o.write(sum_i.read() + a_i.read() * weight_);
        if (load_i.read()) next_weight_o.write(next_weight_i.read());
    }
    std::int8_t weight_ = 0;
};

/// Skew, deskew, the loader and whoever looks at the sums are one process with plain arrays: only
/// the PEs are counted against SystemC.
class Bench : public sc_core::sc_module {
public:
    explicit Bench(const ArrayWorkload& workload)
        : sc_module(sc_core::sc_module_name("bench")), w_(workload), sums_(w_.sums.size()) {
        for (int i = 0; i < w_.rows * (w_.columns + 1); ++i) {
            a_.push_back(std::make_unique<sc_signal<std::int8_t>>());
            valid_.push_back(std::make_unique<sc_signal<bool>>());
            swap_.push_back(std::make_unique<sc_signal<bool>>());
        }
        for (int i = 0; i < (w_.rows + 1) * w_.columns; ++i) {
            next_weight_.push_back(std::make_unique<sc_signal<std::int8_t>>());
            sum_.push_back(std::make_unique<sc_signal<std::int32_t>>());
        }
        for (int r = 0; r < w_.rows; ++r)
            for (int c = 0; c < w_.columns; ++c) {
                auto pe = std::make_unique<Pe>(sc_core::sc_gen_unique_name("pe"));
                pe->clk_i(clock_);
                pe->load_i(load_);
                pe->valid_i(*valid_[left_of(r, c)]);
                pe->swap_i(*swap_[left_of(r, c)]);
                pe->a_i(*a_[left_of(r, c)]);
                pe->next_weight_i(*next_weight_[above(r, c)]);
                pe->sum_i(*sum_[above(r, c)]);
                pe->valid_o(*valid_[left_of(r, c + 1)]);
                pe->swap_o(*swap_[left_of(r, c + 1)]);
                pe->a_o(*a_[left_of(r, c + 1)]);
                pe->next_weight_o(*next_weight_[above(r + 1, c)]);
                pe->sum_o(*sum_[above(r + 1, c)]);
                pes_.push_back(std::move(pe));
            }
        SC_HAS_PROCESS(Bench);
        SC_METHOD(on_edge);
        sensitive << clock_.posedge_event();
        dont_initialize();
    }

    static constexpr double period_ns = 1;
    bool right() const { return sums_ == w_.sums; }

private:
    std::size_t left_of(int r, int c) const { return w_.at(r * (w_.columns + 1) + c); }
    std::size_t above(int r, int c) const { return w_.at(r * w_.columns + c); }

    /// Reads what stood at the array's output in the cycle that ends, and sets its inputs of the
    /// next one: cycle 0 of the workload is the first after the first edge.
    void on_edge() {
        const int cycle = cycle_ - w_.rows - 1;  // since the GEMM's start
        for (int c = 0; c < w_.columns; ++c) {
            const int pixel = cycle - w_.rows - c;
            if (pixel >= 0 && pixel < ArrayWorkload::pixels)
                sums_[w_.at(pixel * w_.columns + c)] = sum_[above(w_.rows, c)]->read();
        }
        if (++cycle_ > w_.cycles()) cycle_ = 1;

        const int row = w_.rows - cycle_;  // of the tile
        load_.write(row >= 0);
        for (int c = 0; row >= 0 && c < w_.columns; ++c)
            next_weight_[above(0, c)]->write(w_.weights[w_.at(row * w_.columns + c)]);
        for (int r = 0; r < w_.rows; ++r) {
            const int pixel = cycle_ - 1 - w_.rows - r;
            const bool enters = pixel >= 0 && pixel < ArrayWorkload::pixels;
            a_[left_of(r, 0)]->write(enters ? w_.operands[w_.at(pixel * w_.rows + r)]
                                            : std::int8_t{0});
            valid_[left_of(r, 0)]->write(enters);
            swap_[left_of(r, 0)]->write(pixel == 0);
        }
    }

    const ArrayWorkload& w_;
    std::vector<std::int32_t> sums_;
    int cycle_ = 0;  // whose inputs stand at the array, from 1
    sc_core::sc_clock clock_{"clock", period_ns, sc_core::SC_NS};
    sc_signal<bool> load_{"load"};
    std::vector<std::unique_ptr<sc_signal<bool>>> valid_, swap_;
    std::vector<std::unique_ptr<sc_signal<std::int8_t>>> a_, next_weight_;
    std::vector<std::unique_ptr<sc_signal<std::int32_t>>> sum_;
    std::vector<std::unique_ptr<Pe>> pes_;
};

/// Keeps SystemC's banner off the terminal; it is printed before sc_main().
const int no_banner = setenv("SYSTEMC_DISABLE_COPYRIGHT_MESSAGE", "1", 0);

}  // namespace

int sc_main(int argc, char** argv) {
    const int size = argc > 1 ? std::atoi(argv[1]) : 16;
    const std::chrono::duration<double> least(argc > 2 ? std::atof(argv[2]) : 1.0);
    if (size < 1) {
        std::fprintf(stderr, "usage: %s [SIZE] [SECONDS]\n", argv[0]);
        return 2;
    }
    const ArrayWorkload workload(size, size, 1);
    Bench bench(workload);
    const sc_core::sc_time tile = workload.cycles() * sc_core::sc_time(1, sc_core::SC_NS);
    sc_core::sc_start(tile + sc_core::sc_time(1, sc_core::SC_NS));
    if (!bench.right()) {
        std::fprintf(stderr, "wrong sums\n");
        return 1;
    }
    std::int64_t cycles = 0;
    const auto begin = std::chrono::steady_clock::now();
    while (std::chrono::steady_clock::now() - begin < least) {
        sc_core::sc_start(tile);
        cycles += workload.cycles();
    }
    print_speed("systemc_pes_" + workload.array(), cycles,
                std::chrono::steady_clock::now() - begin);
    return 0;
}
