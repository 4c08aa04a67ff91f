// What the tests of both arrays share: the twin, and its accumulators beside the simulator's.
#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "array/register_array.h"
#include "buffer/memories.h"
#include "model.h"
#include "schedule.h"

namespace wagesim::rtl::testing {

inline std::size_t element(std::int64_t i) { return static_cast<std::size_t>(i); }

class TwinTest : public ::testing::Test {
protected:
    /// `array`: ws or os, as its ports begin.
    explicit TwinTest(const std::string& array)
        : values(model.port(array + "_values_o")), overflowed(model.port(array + "_overflowed_o")) {
        config.bank_bytes_per_cycle = bank_bytes_per_cycle();
        config.dataflow = array == "os" ? Dataflow::os : Dataflow::ws;
    }

    /// An accumulator row as the drain reads it.
    void expect_same_row(const Accumulators& expected, std::int64_t row, int width,
                         std::int64_t cycle) {
        read_row.set_element(0, Model::row_bits, row);
        model.settle();
        for (int c = 0; c < width; ++c) {
            ASSERT_EQ(values.element(c, config.accumulator_bits), expected.value(row, c))
                << "accumulator (" << row << ", " << c << ") differs in cycle " << cycle;
            ASSERT_EQ(overflowed.bit(c), expected.overflowed(row, c))
                << "flag (" << row << ", " << c << ") differs in cycle " << cycle;
            overflows += expected.overflowed(row, c) ? 1 : 0;
        }
    }

    /// A GEMM's sums, and when the simulator touches the last row of them.
    void expect_same_sums(const Accumulators& expected, const TileGemm& gemm, std::int64_t cycle) {
        for (int p = 0; p < gemm.pixels; ++p)
            ASSERT_NO_FATAL_FAILURE(
                expect_same_row(expected, gemm.accumulator_row + p, gemm.columns, cycle));
    }
    static std::int64_t last_row(const TileGemm& gemm) {
        return gemm.accumulator_row + gemm.pixels - 1;
    }

    static std::string pe_differs(int row, int column, std::int64_t cycle) {
        return "PE (" + std::to_string(row) + ", " + std::to_string(column) +
               ") differs in cycle " + std::to_string(cycle);
    }

    /// The GEMM as the simulator takes it: its operands, and with os its weights, put into the
    /// memories from `address` on.
    Command command_of(const TileGemm& gemm, Memories& memories) {
        const int bytes = Model::operand_bytes();
        Gemm operands;
        operands.address = next_address;
        operands.bytes = bytes;
        operands.stride_w = std::int64_t{gemm.k} * bytes;
        operands.image_h = 1;
        operands.image_w = gemm.pixels;
        operands.channels = operands.k = gemm.k;
        operands.columns = gemm.columns;
        operands.accumulator_row = gemm.accumulator_row;
        operands.accumulate = gemm.accumulate;
        std::uint8_t* to = memories.activations.write(next_address, gemm.pixels * gemm.k * bytes);
        for (const Row& row : gemm.operands)
            for (int j = 0; j < gemm.k; ++j)
                for (int byte = 0; byte < bytes; ++byte)
                    *to++ = static_cast<std::uint8_t>(row[element(j)] >> (8 * byte));
        if (config.dataflow == Dataflow::os) {
            operands.weights.address = next_address;
            operands.weights.column_stride = gemm.k;
            to = memories.weights.write(next_address, gemm.columns * gemm.k);
            for (int c = 0; c < gemm.columns; ++c)
                for (const Row& weights : gemm.weights)
                    *to++ = static_cast<std::uint8_t>(weights[element(c)]);
        }
        next_address += gemm.k * std::max(gemm.pixels * bytes, gemm.columns);
        Command command;
        command.unit = Unit::array;
        command.box.w = gemm.pixels;
        command.box.c = gemm.columns;
        command.operands = operands;
        return command;
    }

    MachineConfig config = Model::config();
    const int rows = config.array_rows, columns = config.array_columns;
    const int operand_bits = 8 * Model::operand_bytes();
    Model model;
    const Signal read_row = model.port("read_row_i"), values, overflowed;
    std::int64_t compared = 0, overflows = 0;

private:
    std::int64_t next_address = 0;
};

}  // namespace wagesim::rtl::testing
