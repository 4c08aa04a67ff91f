// Accumulators -> y: DRAIN, and the vector unit's GATHER and CLEAR.
#include "compute_fixture.h"

namespace wagesim::rtl {
namespace {

constexpr Format y_format{32, 12, true, 0};

class DrainTest : public ComputeTest {
protected:
    /// S and SS of a channel as the parameter RAM holds them.
    std::pair<Integer, Integer> statistics(std::int64_t address) {
        std::uint8_t bytes[16];
        for (int i = 0; i < 16; ++i) bytes[i] = *memories->parameters.read(address + i, 1);
        Integer sum = 0, squares = 0;
        for (int i = 5; i >= 0; --i) sum = sum * 256 + bytes[i];
        for (int i = 15; i >= 6; --i) squares = squares * 256 + bytes[i];
        if (sum >= Integer(1) << 47) sum -= Integer(1) << 48;
        return {sum, squares};
    }
    void expect_statistics(const std::vector<std::int64_t>& codes, const Box& box,
                           std::int64_t address, int times) {
        for (std::int32_t c = 0; c < box.c; ++c) {
            Integer sum = 0, squares = 0;
            for (std::size_t i = static_cast<std::size_t>(c); i < codes.size();
                 i += static_cast<std::size_t>(box.c)) {
                sum += codes[i];
                squares += Integer(codes[i]) * codes[i];
            }
            EXPECT_EQ(statistics(address + 16 * c).first, sum * times);
            EXPECT_EQ(statistics(address + 16 * c).second, squares * times);
        }
    }
};

TEST_F(DrainTest, MovesEveryChannelRowToItsPlaceAndAddsTheSums) {
    Random random(3);
    for (const std::int32_t per_row : {1, 3, 16}) {
        for (const std::int64_t gap : {0, 5}) {
            build();
            const Box box = box_of(2, 4, 3, 7);
            const std::vector<std::int64_t> sums =
                random.codes(box.size(), -2000000000, 2000000000);
            Drain operation;
            operation.source = accumulate(box, 9, per_row, y_format.frac, sums);
            operation.destination = view_of(box, 64, 4, y_format.frac, gap);
            operation.statistics_address = 32;
            const Clear clear{32, 16 * box.c};
            vector(box, clear);
            const Work work = drain(box, operation);
            EXPECT_EQ(contents(operation.destination, box), sums);
            expect_shown(Qp::y, y_format, box, sums, 0, 0, work, layer - 1);
            expect_statistics(sums, box, 32, 1);
            drain(box, operation);
            expect_statistics(sums, box, 32, 2);
        }
    }
}

TEST_F(DrainTest, YKeepsTheLow32BitsAndCountsWhatItLoses) {
    const Box box = box_of(1, 1, 1, 4);
    const std::int64_t low = std::int64_t{1} << 31;
    // Fits; one above; far above; the accumulator itself (40 bits) wrapped, back to 0.
    Drain operation;
    operation.source = accumulate(box, 0, 4, 12, {low - 1, low, 3 * low + 5, 2 * low});
    memories->accumulators.add(0, 3, (std::int64_t{1} << 40) - 2 * low);
    operation.destination = view_of(box, 0, 4, 12);
    const Work work = drain(box, operation);
    expect_shown(Qp::y, y_format, box, {low - 1, -low, -low + 5, 0}, 0, 3, work, layer - 1);
}

TEST_F(DrainTest, ASaturatingAccumulatorCountsAsSaturationOfY) {
    config.accumulator_bits = 12;
    config.accumulator_overflow = Overflow::full;
    build();
    const Box box = box_of(1, 1, 1, 3);
    Drain operation;
    operation.source = accumulate(box, 0, 4, 12, {5000, 2047, -5000});
    operation.destination = view_of(box, 0, 4, 12);
    const Work work = drain(box, operation);
    expect_shown(Qp::y, y_format, box, {2047, 2047, -2048}, 2, 0, work, layer - 1);
}

TEST_F(DrainTest, SumsWrapAtTheirWidths) {
    const Box box = box_of(1, 1, 1, 1);
    vector(box, Clear{0, 16});
    // S one below its end, SS one below its end.
    put_parameters(0, 6, {(std::int64_t{1} << 47) - 1});
    for (int i = 6; i < 16; ++i) put(memories->parameters, i, 1, 255);
    Gather operation;
    operation.source = view_of(box, 0, 4, 12);
    fill(operation.source, box, {2});
    vector(box, operation);
    EXPECT_EQ(statistics(0).first, Integer(1) - (Integer(1) << 47));
    EXPECT_EQ(statistics(0).second, 3);
}

TEST_F(DrainTest, GatherAddsATileOfAnyPlace) {
    Random random(4);
    const Box box = box_of(1, 9, 4, 5);
    const std::vector<std::int64_t> codes = random.codes(box.size(), -100000, 100000);
    vector(box, Clear{0, 16 * box.c});
    Gather operation;
    operation.source = view_of(box, 16, 4, 12, 3);
    fill(operation.source, box, codes);
    vector(box, operation);
    expect_statistics(codes, box, 0, 1);
    EXPECT_TRUE(probe.shown.empty());  // y was complete, and shown, before
    operation.source = accumulate(box, 1, 2, 12, codes);
    const Work work = vector(box, operation);
    expect_statistics(codes, box, 0, 2);
    expect_shown(Qp::y, y_format, box, codes, 0, 0, work, layer - 1);
}

TEST_F(DrainTest, StatisticsMustBeClearedBeforeTheirFirstTile) {
    const Box box = box_of(1, 1, 1, 1);
    Drain operation;
    operation.source = accumulate(box, 0, 1, 12, {1});
    operation.destination = view_of(box, 0, 4, 12);
    operation.statistics_address = 0;
    EXPECT_NE(machine_error([&] { drain(box, operation); }).find("parameters"), std::string::npos);
}

TEST_F(DrainTest, RefusesARowThatNoGemmStarted) {
    const Box box = box_of(1, 1, 2, 2);
    Drain operation;
    operation.source = accumulate(box_of(1, 1, 1, 2), 0, 2, 12, {1, 2});
    operation.destination = view_of(box, 0, 4, 12);
    EXPECT_NE(machine_error([&] { drain(box, operation); }).find("accumulators"),
              std::string::npos);
}

}  // namespace
}  // namespace wagesim::rtl
