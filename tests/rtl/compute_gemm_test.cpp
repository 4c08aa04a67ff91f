// WLOAD and GEMM against a convolution written as its definition.
#include "gemm_fixture.h"

namespace wagesim::rtl {
namespace {

TEST_F(GemmTest, ConvolvesLikeItsDefinitionOverRandomShapesAndArrays) {
    Random random(20240611);
    for (int trial = 0; trial < 150; ++trial) {
        SCOPED_TRACE(trial);
        pick_array(random);
        const Convolution conv = random_convolution(random);
        expect_convolved(conv, run_somewhere(conv, random, config.array_rows));
        const std::int64_t pixels = conv.box.pixels();
        const std::int64_t tiles = (conv.reduction() + config.array_rows - 1) / config.array_rows;
        EXPECT_EQ(macs, pixels * conv.reduction() * conv.columns);
        EXPECT_EQ(macs + padding, pixels * tiles * config.array_rows * config.array_columns);
    }
    EXPECT_GT(checks, 5000);
}

TEST_F(GemmTest, ClampsOnceAfterEveryKTileInAscendingK) {
    for (const Overflow overflow : {Overflow::full, Overflow::saturate, Overflow::wrap}) {
        config.array_rows = 4;
        config.array_columns = 4;
        config.accumulator_bits = 12;
        config.accumulator_overflow = overflow;
        build_array();
        Convolution conv;
        conv.box = box_of(1, 5, 6, 1);
        conv.image_w = 6;
        Random random(77);
        randomize(conv, random);
        for (auto& code : image) code /= 4;
        for (auto& code : kernel) code /= 4;
        run(conv, 0, 0, 0, 4);
        std::int64_t differ = 0;
        for_each_output(
            conv, 0,
            [&](std::int64_t at, std::int32_t c, std::int32_t n, std::int32_t oh, std::int32_t ow) {
                const auto products = each_product(conv, n, oh, ow, c);
                std::int64_t sum = 0, descending = 0;
                bool left = false;
                for (std::int32_t k = 0; k < conv.reduction(); k += 4) {
                    const std::int64_t exact = sum + sum_of(products, k, 4);
                    sum = kept(exact);
                    left = left || sum != exact;
                    descending = kept(descending + sum_of(products, 32 - k, 4));
                }
                differ += descending != sum ? 1 : 0;
                EXPECT_EQ(memories->accumulators.value(at, c), sum);
                EXPECT_EQ(memories->accumulators.overflowed(at, c), left);
            });
        // The test tells the orders apart exactly where the order matters.
        EXPECT_EQ(differ > 0, overflow != Overflow::wrap);
    }
}

TEST_F(GemmTest, TakesTheCyclesOfTheTable) {
    struct Row {
        int rows, columns, k, bytes, port;
        std::int64_t busy, latency;
    };
    // 6 pixels. busy = 6 * max(1, ceil(k * bytes / port)), latency = R + C - 1.
    for (const Row& row : {Row{16, 16, 16, 1, 16, 6, 31}, Row{16, 16, 16, 2, 16, 12, 31},
                           Row{16, 16, 3, 2, 16, 6, 31}, Row{32, 8, 17, 1, 16, 12, 39},
                           Row{1, 1, 1, 1, 16, 6, 1}, Row{16, 16, 16, 1, 5, 24, 31}}) {
        config.array_rows = row.rows;
        config.array_columns = row.columns;
        config.bank_bytes_per_cycle = row.port;
        build_array();
        WeightLoad wload;
        wload.weights.column_stride = wload.rows = row.k;
        wload.columns = 1;
        put_bytes(memories->weights, row.k);
        const Work loading = execute(*loader, command_of(Box{}, wload), index, 0);
        EXPECT_EQ(loading.busy, row.rows);
        EXPECT_EQ(loading.latency, 0);
        Gemm gemm;
        gemm.bytes = row.bytes;
        gemm.channels = gemm.k = row.k;
        gemm.stride_w = row.k * row.bytes;
        gemm.image_h = 1;
        gemm.image_w = 6;
        gemm.columns = 1;
        put_bytes(memories->activations, 6 * row.k * row.bytes);
        const Work work = execute(*array, command_of(box_of(1, 1, 6, 1), gemm), index, row.rows);
        EXPECT_EQ(work.busy, row.busy);
        EXPECT_EQ(work.latency, row.latency);
        EXPECT_EQ(work.swap, row.latency);
    }
}

TEST_F(GemmTest, RefusesAnOperandThatNobodyWrote) {
    WeightLoad wload;
    wload.rows = wload.columns = 1;
    put_bytes(memories->weights, 1);
    Gemm gemm;
    gemm.address = 100;
    gemm.channels = gemm.k = gemm.columns = 1;
    gemm.stride_w = 1;
    gemm.image_h = 1;
    gemm.image_w = 3;
    put(memories->activations, 100, 1, 1);
    put(memories->activations, 102, 1, 1);
    execute(*loader, command_of(Box{}, wload), index, 0);
    const std::string what =
        machine_error([&] { execute(*array, command_of(box_of(1, 1, 3, 1), gemm), index, 16); });
    EXPECT_NE(what.find("activations"), std::string::npos) << what;
    EXPECT_NE(what.find("101"), std::string::npos) << what;
}

TEST_F(GemmTest, RefusesAWeightThatNobodyWrote) {
    WeightLoad wload;
    wload.rows = 3;
    wload.columns = 1;
    put_bytes(memories->weights, 2);
    const std::string what =
        machine_error([&] { execute(*loader, command_of(Box{}, wload), index, 0); });
    EXPECT_NE(what.find("weights"), std::string::npos) << what;
}

TEST_F(GemmTest, RefusesAnOperandOutsideItsTileThoughItsByteWasWritten) {
    WeightLoad wload;
    wload.rows = wload.columns = 1;
    put_bytes(memories->weights, 1);
    execute(*loader, command_of(Box{}, wload), index, 0);
    Gemm gemm;
    gemm.address = 10;
    gemm.channels = gemm.k = gemm.columns = 1;
    gemm.stride_w = 1;
    gemm.stride_h = 4;
    gemm.image_h = gemm.image_w = 4;
    gemm.h0 = 1;
    put_bytes(memories->activations, 40);
    const std::string what =
        machine_error([&] { execute(*array, command_of(box_of(1, 1, 1, 1), gemm), index, 16); });
    EXPECT_NE(what.find("tile"), std::string::npos) << what;
}

TEST_F(GemmTest, EveryWeightTileServesOneGemm) {
    put_bytes(memories->weights, 8);
    put_bytes(memories->activations, 8);
    WeightLoad wload;
    wload.rows = wload.columns = 2;
    wload.weights.column_stride = 2;
    Gemm gemm;
    gemm.channels = gemm.k = gemm.columns = 2;
    gemm.image_h = gemm.image_w = 1;
    const Command load_command = command_of(Box{}, wload);
    const Command gemm_command = command_of(Box{}, gemm);
    // None loaded yet; loaded, but not completely; then at the first cycle it may start.
    EXPECT_NE(machine_error([&] { execute(*array, gemm_command, index, 0); }), "");
    execute(*loader, load_command, index, 0);
    EXPECT_NE(machine_error([&] { execute(*array, gemm_command, index, 15); }), "");
    EXPECT_NE(machine_error([&] { execute(*loader, load_command, index, 16); }), "");
    execute(*array, gemm_command, index, 16);
    // The wavefront of that GEMM moves the last weight on in cycle 16 + 31.
    EXPECT_NE(machine_error([&] { execute(*array, gemm_command, index, 100); }), "");
    EXPECT_NE(machine_error([&] { execute(*loader, load_command, index, 46); }), "");
    execute(*loader, load_command, index, 47);
    // A tile of another size.
    gemm.k = 1;
    EXPECT_NE(machine_error([&] { execute(*array, command_of(Box{}, gemm), index, 100); }), "");
}

TEST_F(GemmTest, ATileOverwrittenInTheBufferStaysInTheRegisters) {
    put(memories->weights, 0, 1, 3);
    put(memories->activations, 0, 1, 5);
    WeightLoad wload;
    wload.rows = wload.columns = 1;
    Gemm gemm;
    gemm.channels = gemm.k = gemm.columns = 1;
    gemm.image_h = gemm.image_w = 1;
    execute(*loader, command_of(Box{}, wload), index, 0);
    put(memories->weights, 0, 1, 100);
    execute(*array, command_of(Box{}, gemm), index, 16);
    EXPECT_EQ(memories->accumulators.value(0, 0), 15);
}

}  // namespace
}  // namespace wagesim::rtl
