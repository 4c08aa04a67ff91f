// The output-stationary array in SystemVerilog beside the simulator's, on the same tiles.
#include <deque>

#include "array/os_registers.h"
#include "twin_test.h"

namespace wagesim::rtl::testing {
namespace {

class OsTwin : public TwinTest {
protected:
    struct Pe {
        Signal b, acc, acc_overflowed, next_acc, next_overflowed;
    };
    struct Column {
        Signal a, valid, swap;
        std::vector<Pe> pes;
    };

    OsTwin() : TwinTest("os") {
        for (int c = 0; c < columns; ++c) {
            const std::string scope = "TOP.twin.os.column[" + std::to_string(c) + "].pes";
            Column column{
                model.find(scope, "a"), model.find(scope, "valid"), model.find(scope, "swap"), {}};
            for (int r = 0; r < rows; ++r) {
                const std::string pe = scope + ".row[" + std::to_string(r) + "].pe";
                column.pes.push_back({model.find(pe, "b"), model.find(pe, "acc"),
                                      model.find(pe, "acc_overflowed"), model.find(pe, "next_acc"),
                                      model.find(pe, "next_overflowed")});
            }
            array.push_back(column);
        }
    }

    /// Sums of one to three GEMMs each, as the page schedules them.
    std::deque<OsGemm> random_gemms(Random& random, int sums_count) {
        std::deque<OsGemm> gemms;
        for (; sums_count > 0; --sums_count) {
            const TileGemm outputs = random_outputs(random);
            const std::int64_t count = random.between(1, 3);
            for (std::int64_t i = 0; i < count; ++i) {
                gemms.push_back(random_os_gemm(random, i > 0, outputs));
                schedule_os(gemms.back());
            }
        }
        return gemms;
    }

    /// The cycle's inputs: to the array, and to the accumulators for the row that leaves it.
    void drive(const OsInputs& in) {
        const Row none(element(std::max(rows, columns)));
        const Row& operand_row = in.operands == nullptr ? none : *in.operands;
        const Row& weight_row = in.weights == nullptr ? none : *in.weights;
        swap.set_bit(in.swap);
        valid.set_bit(in.operands != nullptr);
        for (int r = 0; r < rows; ++r)
            operands.set_element(r, operand_bits, operand_row[element(r)]);
        for (int c = 0; c < columns; ++c) weights.set_element(c, 8, weight_row[element(c)]);
        shift.set_bit(in.shift);
        const std::vector<FlaggedSum> entering = initial_sums(in);
        for (int c = 0; c < columns; ++c) {
            initial.set_element(c, config.accumulator_bits, entering[element(c)].value);
            initial_overflowed.set_bit(c, entering[element(c)].overflowed);
        }
        store.set_bit(in.leaves >= 0);
        if (in.leaves >= 0)
            row.set_element(0, Model::row_bits, in.gemm->accumulator_row + in.leaves);
    }

    /// What a row starts from: earlier sums as the twin's own accumulators have them.
    std::vector<FlaggedSum> initial_sums(const OsInputs& in) {
        std::vector<FlaggedSum> entering(element(columns));
        if (in.enters < 0) return entering;
        const TileGemm& gemm = *in.gemm;
        read_row.set_element(0, Model::row_bits, gemm.accumulator_row + in.enters);
        model.settle();
        for (int c = 0; c < gemm.columns; ++c) {
            FlaggedSum& sum = entering[element(c)];
            if (gemm.accumulate)
                sum = {values.element(c, config.accumulator_bits), overflowed.bit(c)};
            else if (!gemm.bias.empty())
                sum = accumulators.first_value(gemm.bias[element(c)]);
        }
        return entering;
    }

    void expect_same_registers(const OsRegisters& registers) {
        const std::int64_t cycle = registers.now();
        for (int c = 0; c < columns; ++c)
            for (int r = 0; r < rows; ++r) {
                const Column& column = array[element(c)];
                const Pe& pe = column.pes[element(r)];
                const auto where = [&] { return pe_differs(r, c, cycle); };
                const FlaggedSum acc = registers.acc(r, c), next = registers.next_acc(r, c);
                ASSERT_EQ(column.a.element(r, operand_bits), registers.a(r)[c]) << where();
                ASSERT_EQ(column.valid.bit(r), registers.valid(r, c)) << where();
                ASSERT_EQ(column.swap.bit(r), registers.swap_bit(r, c)) << where();
                ASSERT_EQ(pe.b.element(0, 8), registers.b(r)[c]) << where();
                ASSERT_EQ(pe.acc.element(0, config.accumulator_bits), acc.value) << where();
                ASSERT_EQ(pe.acc_overflowed.bit(), acc.overflowed) << where();
                ASSERT_EQ(pe.next_acc.element(0, config.accumulator_bits), next.value) << where();
                ASSERT_EQ(pe.next_overflowed.bit(), next.overflowed) << where();
                ++compared;
            }
        for (int c = 0; c < columns; ++c) {
            const FlaggedSum leaving = registers.next_acc(rows - 1, c);
            ASSERT_EQ(results.element(c, config.accumulator_bits), leaving.value)
                << "result " << c << " differs in cycle " << cycle;
            ASSERT_EQ(results_overflowed.bit(c), leaving.overflowed)
                << "flag of result " << c << " differs in cycle " << cycle;
        }
    }

    const Signal shift = model.port("os_shift_i"), initial = model.port("os_initial_i"),
                 initial_overflowed = model.port("os_initial_overflowed_i"),
                 swap = model.port("os_swap_i"), valid = model.port("os_valid_i"),
                 operands = model.port("os_operands_i"), weights = model.port("os_weights_i"),
                 store = model.port("os_store_i"), row = model.port("os_row_i"),
                 results = model.port("os_results_o"),
                 results_overflowed = model.port("os_results_overflowed_o");
    std::vector<Column> array;
    Accumulators accumulators{Model::depth, columns, config.accumulator_bits,
                              config.accumulator_overflow};
};

TEST_F(OsTwin, HoldsInEveryCycleWhatTheSimulatorsRegistersHold) {
    Random random(33);
    OsRegisters registers(rows, columns, config.accumulator_bits, config.accumulator_overflow);
    std::vector<FlaggedSum> leaving(element(columns));
    std::int64_t idle = 0;
    for (const OsGemm& gemm : random_gemms(random, 8)) {
        std::vector<OsInputs> inputs = gemm.inputs;
        inputs.resize(inputs.size() + element(idle++ % 3));
        for (const OsInputs& in : inputs) {
            const std::int64_t cycle = registers.now();
            drive(in);
            model.settle();
            ASSERT_NO_FATAL_FAILURE(expect_same_registers(registers));
            if (in.shift) {
                const std::vector<FlaggedSum> entering = initial_sums(in);
                registers.shift(entering.data(), leaving.data());
            }
            if (in.leaves >= 0)
                accumulators.store(in.gemm->accumulator_row + in.leaves, in.gemm->columns,
                                   leaving.data());
            if (in.swap) registers.swap();
            if (in.operands != nullptr)
                registers.enter(cycle, in.operands->data(), in.weights->data());
            registers.advance(1, config.accumulator_bits < 36);
            model.edge();
            if (in.leaves >= 0) {
                ASSERT_NO_FATAL_FAILURE(expect_same_row(accumulators,
                                                        in.gemm->accumulator_row + in.leaves,
                                                        in.gemm->columns, cycle + 1));
            }
        }
    }
    EXPECT_GT(compared, 300 * rows * columns);
    EXPECT_EQ(overflows > 0, config.accumulator_bits < 30);
}

TEST_F(OsTwin, LeavesAGemmsSumsWhereAndWhenTheSimulatorDoes) {
    Random random(34);
    const std::deque<OsGemm> gemms = random_gemms(random, 8);
    Memories memories(config);
    const auto simulator = make_os_register_array(config, memories, nullptr, {});
    std::int64_t cycle = 0;
    for (const OsGemm& os : gemms) {
        const TileGemm& gemm = os.gemm;
        const Command command = command_of(gemm, memories);
        simulator->settle(cycle);
        simulator->multiply(command, 0, gemm.bias.empty() ? nullptr : gemm.bias.data());
        // The last row to leave is the fold's first.
        FlipWatch touched(memories.actor,
                          (gemm.accumulator_row + (gemm.pixels - 1) / rows * rows) * columns);
        for (const OsInputs& in : os.inputs) {
            drive(in);
            model.settle();
            model.edge();
        }
        cycle += os.end() - 1;
        simulator->settle(cycle);
        memories.accumulators.watch(&touched);
        simulator->settle(++cycle);
        memories.accumulators.watch(nullptr);
        ASSERT_NE(touched.state(), FlipWatch::State::unread);
        ASSERT_NO_FATAL_FAILURE(expect_same_sums(memories.accumulators, gemm, cycle));
    }
}

}  // namespace
}  // namespace wagesim::rtl::testing
