// The weight-stationary array in SystemVerilog beside the simulator's, on the same tiles.
#include "array/ws_registers.h"
#include "twin_test.h"

namespace wagesim::rtl::testing {
namespace {

class WsTwin : public TwinTest {
protected:
    using Registers = WsRegisters;
    struct Pe {
        Signal weight, next_weight, sum;
    };
    struct Column {
        Signal a, valid, swap;
        std::vector<Pe> pes;
    };

    WsTwin() : TwinTest("ws") {
        for (int of_rows = 1; of_rows < rows; of_rows *= 2) ++sum_bits;
        for (int c = 0; c < columns; ++c) {
            const std::string scope = "TOP.twin.ws.column[" + std::to_string(c) + "].pes";
            Column column{
                model.find(scope, "a"), model.find(scope, "valid"), model.find(scope, "swap"), {}};
            for (int r = 0; r < rows; ++r) {
                const std::string pe = scope + ".row[" + std::to_string(r) + "].pe";
                column.pes.push_back({model.find(pe, "weight"), model.find(pe, "next_weight"),
                                      model.find(pe, "sum")});
            }
            array.push_back(column);
        }
    }

    /// The cycle's inputs: to the array, and to the accumulators for the row that leaves it.
    void drive(const WsInputs& in) {
        const Row none(element(std::max(rows, columns)));
        const Row& load_row = in.load == nullptr ? none : *in.load;
        const Row& operand_row = in.operands == nullptr ? none : *in.operands;
        load.set_bit(in.load != nullptr);
        for (int c = 0; c < columns; ++c) weights.set_element(c, 8, load_row[element(c)]);
        swap.set_bit(in.swap);
        valid.set_bit(in.operands != nullptr);
        for (int r = 0; r < rows; ++r)
            operands.set_element(r, operand_bits, operand_row[element(r)]);
        if (in.leaving == nullptr) return;
        const TileGemm& gemm = *in.leaving;
        row.set_element(0, Model::row_bits, gemm.accumulator_row + in.pixel);
        start.set_bit(!gemm.accumulate);
        for (int c = 0; c < columns; ++c) {
            FlaggedSum first;
            if (!gemm.bias.empty()) first = accumulators.first_value(gemm.bias[element(c)]);
            initial.set_element(c, config.accumulator_bits, first.value);
            initial_overflowed.set_bit(c, first.overflowed);
        }
    }

    void expect_same_registers(const Registers& registers) {
        const std::int64_t cycle = registers.now();
        for (int c = 0; c < columns; ++c)
            for (int r = 0; r < rows; ++r) {
                const Column& column = array[element(c)];
                const Pe& pe = column.pes[element(r)];
                const auto where = [&] { return pe_differs(r, c, cycle); };
                ASSERT_EQ(column.a.element(r, operand_bits), registers.a(r)[c]) << where();
                ASSERT_EQ(column.valid.bit(r), registers.valid(r, c)) << where();
                ASSERT_EQ(column.swap.bit(r), registers.swap_bit(r, c)) << where();
                ASSERT_EQ(pe.weight.element(0, 8), registers.weight(r)[c]) << where();
                ASSERT_EQ(pe.next_weight.element(0, 8), registers.next_weight(r)[c]) << where();
                ASSERT_EQ(pe.sum.element(0, sum_bits), registers.sum(r, c)) << where();
                ++compared;
            }
        ASSERT_EQ(valid_out.bit(), registers.has_output(cycle)) << "differs in cycle " << cycle;
        if (cycle == 0) return;
        std::vector<std::int64_t> expected(element(columns));
        registers.output(cycle, expected.data());
        for (int c = 0; c < columns; ++c)
            ASSERT_EQ(sums.element(c, sum_bits), expected[element(c)])
                << "output " << c << " differs in cycle " << cycle;
    }

    int sum_bits = operand_bits + 8;
    const Signal load = model.port("ws_load_i"), weights = model.port("ws_weights_i"),
                 swap = model.port("ws_swap_i"), valid = model.port("ws_valid_i"),
                 operands = model.port("ws_operands_i"), row = model.port("ws_row_i"),
                 start = model.port("ws_start_i"), initial = model.port("ws_initial_i"),
                 initial_overflowed = model.port("ws_initial_overflowed_i"),
                 valid_out = model.port("ws_valid_o"), sums = model.port("ws_sums_o");
    std::vector<Column> array;
    Accumulators accumulators{Model::depth, columns, config.accumulator_bits,
                              config.accumulator_overflow};
};

TEST_F(WsTwin, HoldsInEveryCycleWhatTheSimulatorsRegistersHold) {
    Random random(31);
    const std::vector<TileGemm> gemms = random_ws_gemms(random, 10);
    Registers registers(rows, columns);
    std::vector<std::int64_t> leaving(element(columns));
    for (const WsInputs& in : ws_inputs(gemms)) {
        const std::int64_t cycle = registers.now();
        drive(in);
        model.settle();
        ASSERT_NO_FATAL_FAILURE(expect_same_registers(registers));
        if (in.leaving != nullptr) {
            const TileGemm& gemm = *in.leaving;
            const int at = gemm.accumulator_row + in.pixel;
            if (gemm.accumulate) {
                ASSERT_NO_FATAL_FAILURE(expect_same_row(accumulators, at, gemm.columns, cycle));
            }
            registers.output(cycle, leaving.data());
            accumulators.add_row(at, gemm.columns, leaving.data(), !gemm.accumulate,
                                 gemm.bias.empty() ? nullptr : gemm.bias.data());
        }
        if (in.load != nullptr) registers.load(in.load->data());
        if (in.swap) registers.swap();
        if (in.operands != nullptr) registers.enter(cycle, in.operands->data());
        registers.advance(1);
        model.edge();
        if (in.leaving != nullptr) {
            ASSERT_NO_FATAL_FAILURE(expect_same_row(accumulators,
                                                    in.leaving->accumulator_row + in.pixel,
                                                    in.leaving->columns, cycle + 1));
        }
    }
    EXPECT_GT(compared, 300 * rows * columns);
    EXPECT_EQ(overflows > 0, config.accumulator_bits < 30);
}

TEST_F(WsTwin, LeavesAGemmsSumsWhereAndWhenTheSimulatorDoes) {
    Random random(32);
    const std::vector<TileGemm> gemms = random_ws_gemms(random, 10);
    Memories memories(config);
    const auto simulator = make_ws_register_array(config, memories, nullptr, {});
    std::vector<Command> commands;
    for (const TileGemm& gemm : gemms) commands.push_back(command_of(gemm, memories));

    auto loading = gemms.begin(), starting = loading, ending = loading;
    std::optional<FlipWatch> last_row_touched;
    const auto watch = [&] {
        last_row_touched.emplace(memories.actor, last_row(*ending) * columns);
        memories.accumulators.watch(&*last_row_touched);
    };
    watch();
    std::int64_t cycle = 0;
    for (const WsInputs& in : ws_inputs(gemms)) {
        if (ending != gemms.end() && cycle == ws_end(*ending)) {
            simulator->settle(cycle);
            ASSERT_NE(last_row_touched->state(), FlipWatch::State::unread);
            memories.accumulators.watch(nullptr);
            ASSERT_NO_FATAL_FAILURE(expect_same_sums(memories.accumulators, *ending, cycle));
            ++ending;
            if (ending != gemms.end()) watch();
        }
        if (loading != gemms.end() && cycle == loading->load) {
            ArrayWeights::TileRegisters tile;
            for (const Row& of_pes : loading->weights)
                tile.weights.insert(tile.weights.end(), of_pes.begin(), of_pes.end());
            simulator->settle(cycle);
            simulator->load(tile);
            ++loading;
        }
        if (starting != gemms.end() && cycle == starting->start) {
            simulator->settle(cycle);
            const std::int64_t index = starting - gemms.begin();
            simulator->multiply(commands[element(index)], index,
                                starting->bias.empty() ? nullptr : starting->bias.data());
            ++starting;
        }
        if (ending != gemms.end() && cycle == ws_end(*ending) - 1) {
            simulator->settle(cycle);
            ASSERT_EQ(last_row_touched->state(), FlipWatch::State::unread);
            ASSERT_TRUE(valid_out.bit()) << "differs in cycle " << cycle;
        }
        drive(in);
        model.settle();
        model.edge();
        ++cycle;
    }
    EXPECT_EQ(ending, gemms.end());
}

}  // namespace
}  // namespace wagesim::rtl::testing
