// Random back-pressure and other Drams change cycles and not one byte: a small layer on all units.
#include <gtest/gtest.h>

#include <algorithm>
#include <ostream>
#include <vector>

#include "machine_fixture.h"

namespace wagesim::rtl {
namespace {

constexpr int tiles = 6, pixels = 8, channels = 16;
constexpr std::int64_t bank = 32 * 1024;
constexpr std::int64_t x_in_dram = 0, w_in_dram = 4096, master_in_dram = 8192, a_in_dram = 16384,
                       wq_in_dram = 32768;
constexpr std::int64_t master_count = 100;

struct Setting {
    std::uint32_t seed;
    int bytes_per_cycle, latency, queue_depth;
};
void PrintTo(const Setting& s, std::ostream* out) {
    *out << "seed" << s.seed << "_bandwidth" << s.bytes_per_cycle << "_latency" << s.latency
         << "_queue" << s.queue_depth;
}

/// A 1x1 convolution with ReLU over `tiles` tiles of pixels, every tile with weights of its own,
/// and a master tensor quantised beside it.
class StallsTest : public testing::MachineTest, public ::testing::WithParamInterface<Setting> {
protected:
    void build() {
        const Token x_room = token("x_room", StallCause::dram, 2);
        const Token x_full = token("x_full", StallCause::activations);
        const Token w_full = token("w_full", StallCause::weights);
        const Token shadow_free = token("shadow_free", StallCause::weights, 1);
        const Token shadow_full = token("shadow_full", StallCause::weights);
        const Token sums_free = token("sums_free", StallCause::accumulator, 1);
        const Token sums_full = token("sums_full", StallCause::accumulator);
        const Token y_free = token("y_free", StallCause::vector, 1);
        const Token y_full = token("y_full", StallCause::accumulator);
        const Token a_free = token("a_free", StallCause::dram, 1);
        const Token a_full = token("a_full", StallCause::vector);
        for (int t = 0; t < tiles; ++t) {
            const std::int64_t x_at = t % 2 * bank;
            add_transfer(Unit::dma_read, Space::weights, w_in_dram + t * 256, t * 256, 256, {},
                         {w_full});
            add_transfer(Unit::dma_read, Space::activations, x_in_dram + t * 128, x_at, 128,
                         {x_room}, {x_full});

            Command& load = add(Unit::weight_loader, 0, 0, {w_full, shadow_free}, {shadow_full});
            load.operands = WeightLoad{{t * 256, 1, channels}, channels, channels};

            Gemm gemm;
            gemm.address = x_at;
            gemm.stride_n = gemm.stride_h = pixels * channels;
            gemm.stride_w = channels;
            gemm.image_h = 1;
            gemm.image_w = pixels;
            gemm.channels = gemm.k = gemm.columns = channels;
            gemm.gives_at_swap = {shadow_free};
            on_tile(add(Unit::array, 0, 0, {shadow_full, x_full, sums_free}, {sums_full, x_room}))
                .operands = gemm;

            Drain drain;
            drain.source.space = Space::accumulators;
            drain.source.bytes = 4;
            drain.source.channels_per_row = channels;
            drain.source.frac = 14;
            drain.destination = view(2 * bank, 4, 14);
            on_tile(add(Unit::drain, 0, 0, {sums_full, y_free}, {sums_free, y_full})).operands =
                drain;

            Act act;
            act.source = view(2 * bank, 4, 14);
            act.destination = view(3 * bank, 1, 5);
            act.clip = Clip::relu;
            act.a.format = Format{8, 5, true, 0};
            on_tile(add(Unit::vector, 0, 0, {y_full, a_free}, {y_free, a_full})).operands = act;

            add_transfer(Unit::dma_write, Space::activations, a_in_dram + t * 128, 3 * bank, 128,
                         {a_full}, {a_free});
        }
        add_fence();
        const Token master = token("master", StallCause::dram);
        const Token wq = token("wq", StallCause::dram);
        add_transfer(Unit::dma_read, Space::activations, master_in_dram, 0, master_count * 3, {},
                     {master});
        QuantizeCmd quantize;
        quantize.destination_address = bank;
        quantize.count = master_count;
        quantize.quantizer.format = Format{8, 7, true, 0};
        add(Unit::update, 0, 0, {master}, {wq}).operands = quantize;
        add_transfer(Unit::dma_write, Space::activations, wq_in_dram, bank, master_count, {wq});
        program.dram_bytes = wq_in_dram + master_count;
    }
    static TileView view(std::int64_t address, int bytes, int frac) {
        TileView v;
        v.address = address;
        v.bytes = bytes;
        v.stride_w = channels * bytes;
        v.stride_n = v.stride_h = pixels * v.stride_w;
        v.frac = frac;
        return v;
    }
    static Command& on_tile(Command& command) {
        command.box.w = pixels;
        command.box.c = channels;
        return command;
    }

    static int x_code(int tile, int p, int c) { return (tile * 31 + p * 17 + c * 7) % 255 - 127; }
    static int w_code(int tile, int o, int c) { return (tile * 13 + o * 29 + c * 5) % 255 - 127; }
    static std::int64_t master_code(std::int64_t i) { return (i * 167773) % 16777215 - 8388607; }
    void put(std::int64_t address, std::int64_t code, int bytes) {
        for (int i = 0; i < bytes; ++i) {
            const auto byte = static_cast<std::uint8_t>(code >> (8 * i));
            machine_->write_dram(address + i, &byte, 1);
        }
    }
    void fill() {
        for (int t = 0; t < tiles; ++t)
            for (int c = 0; c < channels; ++c) {
                for (int p = 0; p < pixels; ++p)
                    put(x_in_dram + (t * pixels + p) * channels + c, x_code(t, p, c), 1);
                for (int o = 0; o < channels; ++o)
                    put(w_in_dram + (t * channels + o) * channels + c, w_code(t, o, c), 1);
            }
        for (std::int64_t i = 0; i < master_count; ++i)
            put(master_in_dram + 3 * i, master_code(i), 3);
    }
    // Round half to even of code / 2^shift, from quotient and remainder; then +-127.
    static std::int64_t quantized(std::int64_t code, std::int64_t divisor) {
        const std::int64_t magnitude = code < 0 ? -code : code;
        std::int64_t q = magnitude / divisor;
        const std::int64_t twice = 2 * (magnitude % divisor);
        if (twice > divisor || (twice == divisor && q % 2 == 1)) ++q;
        return std::min<std::int64_t>(q, 127) * (code < 0 ? -1 : 1);
    }
    int get(std::int64_t address) const {
        std::uint8_t byte = 0;
        machine_->read_dram(address, &byte, 1);
        return static_cast<std::int8_t>(byte);
    }
    void check() {
        int positive = 0, saturated = 0;
        for (int t = 0; t < tiles; ++t)
            for (int p = 0; p < pixels; ++p)
                for (int o = 0; o < channels; ++o) {
                    std::int64_t y = 0;
                    for (int c = 0; c < channels; ++c) y += x_code(t, p, c) * w_code(t, o, c);
                    const std::int64_t a = quantized(std::max<std::int64_t>(y, 0), 512);
                    positive += a > 0 && a < 127 ? 1 : 0;
                    saturated += a == 127 ? 1 : 0;
                    ASSERT_EQ(get(a_in_dram + (t * pixels + p) * channels + o), a)
                        << "tile " << t << " pixel " << p << " channel " << o;
                }
        EXPECT_GT(positive, 100);
        EXPECT_GT(saturated, 10);
        for (std::int64_t i = 0; i < master_count; ++i)
            ASSERT_EQ(get(wq_in_dram + i), quantized(master_code(i), 65536)) << i;
    }
};

TEST_P(StallsTest, ChangeNoByte) {
    const Setting& setting = GetParam();
    options.stall_seed = setting.seed;
    config.dram_bytes_per_cycle = setting.bytes_per_cycle;
    config.dram_latency_cycles = setting.latency;
    config.queue_depth = setting.queue_depth;
    real();
    fill();
    build();
    const Machine::Totals totals = machine_->run(program, recorder);
    check();
    EXPECT_EQ(recorder.count, static_cast<std::int64_t>(program.commands.size()));
    EXPECT_EQ(totals.macs, tiles * pixels * channels * channels);
    EXPECT_EQ(totals.padding_slots, 0);
    std::int64_t backpressure = 0;
    for (const Retired& r : recorder.by_command) {
        EXPECT_LE(r.issued, r.started);
        EXPECT_LE(r.started, r.finished);
        backpressure += r.stalls[static_cast<std::size_t>(StallCause::backpressure)];
    }
    EXPECT_EQ(backpressure > 0, setting.seed != 0);

    // Again on the same machine: the next batch gives the same bytes.
    fill();
    machine_->run(program, recorder);
    check();
}

INSTANTIATE_TEST_SUITE_P(AllUnits, StallsTest,
                         ::testing::Values(Setting{0, 16, 100, 8}, Setting{1, 16, 100, 8},
                                           Setting{2, 16, 100, 8}, Setting{3, 16, 100, 1},
                                           Setting{4, 1, 100, 8}, Setting{0, 1, 0, 2},
                                           Setting{5, 128, 0, 8}, Setting{6, 16, 1000, 8},
                                           Setting{77777, 8, 3, 4}));

}  // namespace
}  // namespace wagesim::rtl
