// The array's registers against PEs taken one by one, in every cycle, for any number of cycles at
// a time.
#include <gtest/gtest.h>

#include <optional>
#include <ostream>
#include <random>

#include "array/os_registers.h"
#include "array/ws_registers.h"
#include "plain_array.h"

namespace wagesim::rtl {
namespace {

using testing::PlainOsArray;
using testing::PlainWsArray;
using Row = std::vector<std::int64_t>;

struct Setting {
    int rows, columns;
    int most_at_once;  ///< cycles of an advance()
};
void PrintTo(const Setting& s, std::ostream* out) {
    *out << s.rows << "x" << s.columns << "_up_to_" << s.most_at_once;
}
const std::vector<Setting> settings{{1, 1, 1},   {4, 4, 1},    {4, 4, 7},   {8, 16, 1},
                                    {16, 16, 1}, {16, 16, 64}, {32, 8, 20}, {3, 37, 256}};

class Registers : public ::testing::TestWithParam<Setting> {
protected:
    std::int64_t between(std::int64_t low, std::int64_t high) {
        return low +
               static_cast<std::int64_t>(engine_() % static_cast<std::uint64_t>(high - low + 1));
    }
    Row row(int size, std::int64_t magnitude) {
        Row values;
        for (int i = 0; i < size; ++i) values.push_back(between(-magnitude, magnitude));
        return values;
    }
    static std::vector<std::int16_t> narrow(const Row& row) { return {row.begin(), row.end()}; }

    std::mt19937_64 engine_{7};
};

// ---- weight-stationary ---------------------------------------------------------------------

/// What stands at the array's inputs in each cycle: tiles loaded as early as may be or later, rows
/// with gaps or without.
struct WsStimulus {
    struct Cycle {
        std::optional<Row> load, operands;
        bool swap = false;
    };
    std::vector<Cycle> cycles;
};

class WsRegistersTest : public Registers {
protected:
    WsStimulus stimulus(int tiles) {
        const Setting s = GetParam();
        WsStimulus stimulus;
        const auto at = [&](std::int64_t cycle) -> WsStimulus::Cycle& {
            if (stimulus.cycles.size() <= static_cast<std::size_t>(cycle))
                stimulus.cycles.resize(static_cast<std::size_t>(cycle) + 1);
            return stimulus.cycles[static_cast<std::size_t>(cycle)];
        };
        std::int64_t load = 0, array_free = 0;
        for (int tile = 0; tile < tiles; ++tile) {
            for (int r = 0; r < s.rows; ++r) at(load + r).load = row(s.columns, 127);
            const std::int64_t begin =
                std::max(load + s.rows, array_free) + (tile % 2 == 0 ? 0 : between(0, 9));
            at(begin).swap = true;
            std::int64_t cycle = begin;
            for (std::int64_t n = between(1, 3 * s.rows); n > 0; --n) {
                at(cycle).operands = row(s.rows, 32767);
                cycle += tile % 3 == 1 ? between(1, 3) : 1;
            }
            array_free = cycle;
            load = begin + s.rows + s.columns - 1 + (tile % 4 == 3 ? between(0, 9) : 0);
        }
        at(std::max(array_free, load) + s.rows + s.columns + 3);
        return stimulus;
    }
};

TEST_P(WsRegistersTest, HoldInEveryCycleWhatPesOneByOneHold) {
    const Setting s = GetParam();
    const WsStimulus inputs = stimulus(9);
    PlainWsArray plain(s.rows, s.columns);
    WsRegisters registers(s.rows, s.columns);
    std::vector<std::int64_t> sums(static_cast<std::size_t>(s.columns));
    std::int64_t compared = 0, outputs = 0, nonzero = 0;
    for (std::size_t cycle = 0; cycle < inputs.cycles.size();) {
        // As many cycles as have the same kind of input.
        const auto count = static_cast<std::size_t>(between(1, s.most_at_once));
        std::size_t end = cycle;
        const bool loads = inputs.cycles[cycle].load.has_value();
        if (inputs.cycles[cycle].swap) registers.swap();
        registers.set_wide(between(0, 1) == 1);
        while (end < inputs.cycles.size() && end < cycle + count &&
               inputs.cycles[end].load.has_value() == loads &&
               (end == cycle || !inputs.cycles[end].swap)) {
            const auto& in = inputs.cycles[end];
            if (in.load) registers.load(narrow(*in.load).data());
            if (in.operands)
                registers.enter(static_cast<std::int64_t>(end), narrow(*in.operands).data());
            ++end;
        }
        registers.advance(static_cast<int>(end - cycle));
        for (; cycle < end; ++cycle) {
            const auto& in = inputs.cycles[cycle];
            if (cycle > 0) {
                const bool has_output = registers.has_output(static_cast<std::int64_t>(cycle));
                for (const auto& output : plain.outputs()) ASSERT_EQ(output.valid, has_output);
                if (has_output) {
                    registers.output(static_cast<std::int64_t>(cycle), sums.data());
                    for (std::size_t c = 0; c < sums.size(); ++c)
                        ASSERT_EQ(sums[c], plain.outputs()[c].value) << "cycle " << cycle;
                    ++outputs;
                }
            }
            plain.edge(
                {in.load ? &*in.load : nullptr, in.operands ? &*in.operands : nullptr, in.swap});
        }
        for (int r = 0; r < s.rows; ++r)
            for (int c = 0; c < s.columns; ++c) {
                const PlainWsArray::Pe& pe = plain.pe(r, c);
                ASSERT_EQ(registers.a(r)[c], pe.a.value) << r << "," << c << " cycle " << cycle;
                ASSERT_EQ(registers.weight(r)[c], pe.weight);
                ASSERT_EQ(registers.next_weight(r)[c], pe.next_weight);
                ASSERT_EQ(registers.sum(r, c), pe.sum);
                ASSERT_EQ(registers.valid(r, c), pe.a.valid);
                ASSERT_EQ(registers.swap_bit(r, c), pe.a.swap);
                ++compared;
                nonzero += pe.sum != 0;
            }
    }
    EXPECT_EQ(registers.pe_operations(), plain.pe_operations);
    EXPECT_GT(outputs, 9);
    EXPECT_GT(compared, 9 * s.rows * s.columns);
    EXPECT_GT(nonzero, compared / 50);
}

INSTANTIATE_TEST_SUITE_P(Arrays, WsRegistersTest, ::testing::ValuesIn(settings));

TEST(WsRegisters, SumIn32BitsWhatTheySumIn64) {
    WsRegisters narrow(16, 16), wide(16, 16);
    wide.set_wide(true);
    const std::vector<std::int16_t> most(16, 32767), weights(16, -127);
    for (int r = 0; r < 16; ++r) {
        narrow.load(weights.data());
        wide.load(weights.data());
    }
    narrow.advance(16);
    wide.advance(16);
    narrow.swap();
    wide.swap();
    narrow.enter(16, most.data());
    wide.enter(16, most.data());
    narrow.advance(40);
    wide.advance(40);
    std::vector<std::int64_t> narrow_sums(16), wide_sums(16);
    ASSERT_TRUE(narrow.has_output(16 + 31));
    narrow.output(16 + 31, narrow_sums.data());
    wide.output(16 + 31, wide_sums.data());
    for (std::size_t c = 0; c < 16; ++c) {
        EXPECT_EQ(wide_sums[c], 16 * 32767 * -127);
        EXPECT_EQ(narrow_sums[c], wide_sums[c]);
    }
}

TEST(WsRegisters, StandStillWhileNothingEnters) {
    WsRegisters registers(4, 4);
    const std::vector<std::int16_t> row{1, 2, 3, 4};
    const auto pass = [&] {
        for (int r = 0; r < 4; ++r) registers.load(row.data());
        registers.advance(4);
        registers.swap();
        registers.enter(registers.now(), row.data());
        const std::int64_t out = registers.now() + 7;
        registers.advance(12);
        ASSERT_TRUE(registers.has_output(out));
        std::vector<std::int64_t> sums(4);
        registers.output(out, sums.data());
        EXPECT_EQ(sums, (std::vector<std::int64_t>{10, 20, 30, 40}));
    };
    pass();
    registers.idle_until(123'456'789'000);
    EXPECT_EQ(registers.weight(3)[2], 3);
    EXPECT_EQ(registers.pe_operations(), 16);
    pass();
    EXPECT_EQ(registers.pe_operations(), 32);
}

// ---- output-stationary ---------------------------------------------------------------------

struct OsSetting {
    Setting array;
    int bits;
    Overflow overflow;
};
void PrintTo(const OsSetting& s, std::ostream* out) {
    PrintTo(s.array, out);
    *out << "_" << s.bits << "_bits_" << (s.overflow == Overflow::wrap ? "wrap" : "saturate");
}

class OsRegistersTest : public ::testing::TestWithParam<OsSetting> {
protected:
    using Sums = std::vector<PlainOsArray::Sum>;
    struct Cycle {
        std::optional<Row> operands, weights;
        std::optional<Sums> first;
        bool swap = false;
    };
    std::int64_t between(std::int64_t low, std::int64_t high) {
        return low +
               static_cast<std::int64_t>(engine_() % static_cast<std::uint64_t>(high - low + 1));
    }
    Row row(int size, std::int64_t magnitude) {
        Row values;
        for (int i = 0; i < size; ++i) values.push_back(between(-magnitude, magnitude));
        return values;
    }
    /// Folds of docs/array.md with random numbers of steps.
    std::vector<Cycle> folds(int count) {
        const OsSetting s = GetParam();
        const int rows = s.array.rows, columns = s.array.columns;
        std::vector<Cycle> cycles;
        const auto at = [&](std::int64_t cycle) -> Cycle& {
            if (cycles.size() <= static_cast<std::size_t>(cycle))
                cycles.resize(static_cast<std::size_t>(cycle) + 1);
            return cycles[static_cast<std::size_t>(cycle)];
        };
        const auto shift = [&](std::int64_t begin) {
            for (int r = 0; r < rows; ++r) {
                Sums first;
                for (int c = 0; c < columns; ++c)
                    first.push_back({between(-100, 100), between(0, 9) == 0});
                at(begin + r).first = first;
            }
        };
        shift(0);
        std::int64_t begin = rows;
        for (int fold = 0; fold <= count; ++fold) {
            at(begin).swap = true;
            shift(begin + rows + columns - 1);
            const std::int64_t steps = fold == count ? 0 : between(1, 5 * rows);
            const std::int64_t gap = fold % 3;
            for (std::int64_t j = 0; j < steps; ++j) {
                Cycle& cycle = at(begin + j * (1 + gap) + gap);
                cycle.operands = row(rows, 127);
                cycle.weights = row(columns, 127);
            }
            begin += std::max<std::int64_t>(steps * (1 + gap), 2 * rows + columns - 1);
        }
        at(begin + 2);
        return cycles;
    }

    std::mt19937_64 engine_{11};
};

TEST_P(OsRegistersTest, HoldInEveryCycleWhatPesOneByOneHold) {
    const OsSetting s = GetParam();
    const int rows = s.array.rows, columns = s.array.columns;
    const std::vector<Cycle> inputs = folds(6);
    PlainOsArray plain(rows, columns, s.bits, s.overflow != Overflow::wrap);
    OsRegisters registers(rows, columns, s.bits, s.overflow);
    std::vector<FlaggedSum> last(static_cast<std::size_t>(columns));
    std::int64_t overflowed = 0, compared = 0;
    for (std::size_t cycle = 0; cycle < inputs.size();) {
        const auto count = static_cast<std::size_t>(between(1, s.array.most_at_once));
        std::size_t end = cycle;
        const bool shifts = inputs[cycle].first.has_value();
        if (inputs[cycle].swap) registers.swap();
        const std::size_t begin = cycle;
        while (end < inputs.size() && end < begin + count &&
               inputs[end].first.has_value() == shifts && (end == begin || !inputs[end].swap)) {
            const Cycle& in = inputs[end];
            if (in.operands) {
                const std::vector<std::int16_t> a(in.operands->begin(), in.operands->end());
                const std::vector<std::int16_t> b(in.weights->begin(), in.weights->end());
                registers.enter(static_cast<std::int64_t>(end), a.data(), b.data());
            }
            ++end;
        }
        for (; cycle < end; ++cycle) {
            const Cycle& in = inputs[cycle];
            if (in.first) {
                std::vector<FlaggedSum> first;
                for (const auto& sum : *in.first) first.push_back({sum.value, sum.overflowed});
                registers.shift(first.data(), last.data());
                for (int c = 0; c < columns; ++c) {
                    const PlainOsArray::Sum& leaving = plain.pe(rows - 1, c).next_acc;
                    ASSERT_EQ(last[static_cast<std::size_t>(c)].value, leaving.value);
                    ASSERT_EQ(last[static_cast<std::size_t>(c)].overflowed, leaving.overflowed);
                }
            }
            plain.edge({in.operands ? &*in.operands : nullptr, in.weights ? &*in.weights : nullptr,
                        in.first ? &*in.first : nullptr, in.swap});
        }
        registers.advance(static_cast<int>(end - begin), s.bits < 32);
        for (int r = 0; r < rows; ++r)
            for (int c = 0; c < columns; ++c) {
                const PlainOsArray::Pe& pe = plain.pe(r, c);
                ASSERT_EQ(registers.a(r)[c], pe.a.value) << r << "," << c << " cycle " << cycle;
                ASSERT_EQ(registers.b(r)[c], pe.b) << r << "," << c << " cycle " << cycle;
                ASSERT_EQ(registers.acc(r, c).value, pe.acc.value);
                ASSERT_EQ(registers.acc(r, c).overflowed, pe.acc.overflowed);
                ASSERT_EQ(registers.next_acc(r, c).value, pe.next_acc.value);
                ASSERT_EQ(registers.next_acc(r, c).overflowed, pe.next_acc.overflowed);
                ASSERT_EQ(registers.valid(r, c), pe.a.valid);
                ASSERT_EQ(registers.swap_bit(r, c), pe.a.swap);
                overflowed += pe.acc.overflowed;
                ++compared;
            }
    }
    EXPECT_EQ(registers.pe_operations(), plain.pe_operations);
    EXPECT_GT(overflowed, 0);
    EXPECT_LT(overflowed, compared);
}

INSTANTIATE_TEST_SUITE_P(Arrays, OsRegistersTest,
                         ::testing::Values(OsSetting{{1, 1, 1}, 40, Overflow::wrap},
                                           OsSetting{{4, 4, 1}, 40, Overflow::wrap},
                                           OsSetting{{16, 16, 64}, 40, Overflow::wrap},
                                           OsSetting{{32, 8, 20}, 40, Overflow::full},
                                           OsSetting{{3, 37, 256}, 40, Overflow::wrap},
                                           OsSetting{{8, 16, 9}, 18, Overflow::wrap},
                                           OsSetting{{8, 16, 1}, 18, Overflow::full},
                                           OsSetting{{4, 4, 30}, 10, Overflow::wrap},
                                           OsSetting{{1, 5, 3}, 16, Overflow::full}));

}  // namespace
}  // namespace wagesim::rtl
