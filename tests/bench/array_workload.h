// What every simulation of the weight-stationary array is timed on: R cycles of weight load, 1024
// rows of operands, R + C - 1 cycles of drain; and again.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

struct ArrayWorkload {
    static constexpr int pixels = 1024;

    /// Full-range codes of 8 bits. The sums by a plain loop.
    ArrayWorkload(int array_rows, int array_columns, unsigned seed)
        : rows(array_rows), columns(array_columns) {
        std::mt19937 random(seed);
        weights.resize(at(rows * columns));
        operands.resize(at(pixels * rows));
        sums.resize(at(pixels * columns));
        for (auto* codes : {&weights, &operands})
            for (auto& code : *codes) code = static_cast<std::int8_t>(random());
        for (int p = 0; p < pixels; ++p)
            for (int c = 0; c < columns; ++c)
                for (int r = 0; r < rows; ++r)
                    sums[at(p * columns + c)] +=
                        operands[at(p * rows + r)] * weights[at(r * columns + c)];
    }

    int latency() const { return rows + columns - 1; }
    int cycles() const { return rows + pixels + latency(); }
    std::string array() const { return std::to_string(rows) + "x" + std::to_string(columns); }
    static std::size_t at(int i) { return static_cast<std::size_t>(i); }

    const int rows, columns;
    std::vector<std::int8_t> weights;   // row by row
    std::vector<std::int8_t> operands;  // pixel by pixel
    std::vector<std::int32_t> sums;
};

/// One line for whoever collects the figures.
inline void print_speed(const std::string& name, std::int64_t cycles,
                        std::chrono::steady_clock::duration time, std::uintmax_t bytes = 0) {
    const double seconds = std::chrono::duration<double>(time).count();
    std::printf("%s %.1f kcycles/s %lld cycles %llu bytes\n", name.c_str(),
                static_cast<double>(cycles) / seconds / 1e3, static_cast<long long>(cycles),
                static_cast<unsigned long long>(bytes));
}
