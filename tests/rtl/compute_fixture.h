// What the tests of the compute units share: memories, a recording probe, and arithmetic by
// definition (exact rationals) to compare with.
#pragma once

#include <gtest/gtest.h>

#include <boost/multiprecision/cpp_int.hpp>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "array/drain.h"
#include "array/tile_array.h"
#include "array/weight_loader.h"
#include "update/update_unit.h"
#include "vector/vector_unit.h"

namespace wagesim::rtl {

using Integer = boost::multiprecision::cpp_int;
using Rational = boost::multiprecision::cpp_rational;

inline Rational power_of_two(int exponent) {
    const Integer power = Integer(1) << (exponent < 0 ? -exponent : exponent);
    return exponent < 0 ? Rational(Integer(1), power) : Rational(power);
}
inline Rational value_of(Integer code, int frac) { return Rational(code) * power_of_two(-frac); }

inline Integer floor_of(const Rational& x) {
    const Integer above = boost::multiprecision::numerator(x);
    const Integer below = boost::multiprecision::denominator(x);
    Integer quotient = above / below;
    if (quotient * below > above) quotient -= 1;
    return quotient;
}

inline Integer rounded(const Rational& x, Rounding rounding) {
    const Integer low = floor_of(x);
    const Rational rest = x - low;
    const Rational half(1, 2);
    switch (rounding) {
        case Rounding::floor:
            return low;
        case Rounding::toward_zero:
            return x < 0 && rest > 0 ? Integer(low + 1) : low;
        case Rounding::half_up:
            return floor_of(x + half);
        case Rounding::half_away:
            return x < 0 ? Integer(-floor_of(half - x)) : floor_of(x + half);
        default:
            break;
    }
    if (rest == half) return low % 2 == 0 ? low : Integer(low + 1);
    return rest > half ? Integer(low + 1) : low;
}

struct Expected {
    std::int64_t code = 0;
    bool clipped = false;
};

inline Expected fitted(const Integer& code, const Format& format, Overflow overflow) {
    const Integer states = Integer(1) << format.bits;
    const Integer top = format.is_signed ? Integer(states / 2 - 1) : Integer(states - 1);
    Integer bottom = 0;
    if (format.is_signed)
        bottom = overflow == Overflow::saturate ? Integer(-top) : Integer(-top - 1);
    Integer result = code;
    if (overflow == Overflow::wrap) {
        while (result > top) result -= states * ((result - top + states - 1) / states);
        while (result < bottom) result += states * ((bottom - result + states - 1) / states);
    } else {
        if (result > top) result = top;
        if (result < bottom) result = bottom;
    }
    return {static_cast<std::int64_t>(result), result != code};
}

/// A real value at a quantisation point.
inline Expected quantized(const Rational& value, const Quantizer& quantizer) {
    return fitted(rounded(value * power_of_two(quantizer.format.frac), quantizer.rounding),
                  quantizer.format, quantizer.overflow);
}

class Random {
public:
    explicit Random(std::uint64_t seed) : engine_(seed) {}
    std::int64_t between(std::int64_t low, std::int64_t high) {
        return low +
               static_cast<std::int64_t>(engine_() % (static_cast<std::uint64_t>(high - low) + 1));
    }
    std::vector<std::int64_t> codes(std::int64_t count, std::int64_t low, std::int64_t high) {
        std::vector<std::int64_t> result;
        for (std::int64_t i = 0; i < count; ++i) result.push_back(between(low, high));
        return result;
    }

private:
    std::mt19937_64 engine_;
};

class RecordingProbe : public Probe {
public:
    struct Shown {
        Tap tap;
        std::vector<std::int64_t> codes;
        std::vector<Wide> wide;
    };
    std::vector<Shown> shown;

    void on_tap(const Tap& tap) override {
        Shown copy{tap, {}, {}};
        if (tap.codes != nullptr) copy.codes.assign(tap.codes, tap.codes + tap.box.size());
        if (tap.wide != nullptr) copy.wide.assign(tap.wide, tap.wide + tap.box.size());
        shown.push_back(copy);
    }
    void on_retired(const Retired&) override {}

    /// The only tap of a point.
    const Shown& at(Qp qp) const {
        const Shown* found = nullptr;
        for (const Shown& candidate : shown) {
            if (candidate.tap.qp.qp != qp) continue;
            if (found != nullptr) ADD_FAILURE() << to_string(qp) << " was shown twice";
            found = &candidate;
        }
        static const Shown none{};
        if (found == nullptr) ADD_FAILURE() << to_string(qp) << " was not shown";
        return found == nullptr ? none : *found;
    }
};

inline Box box_of(std::int32_t n, std::int32_t h, std::int32_t w, std::int32_t c) {
    Box box;
    box.n = n;
    box.h = h;
    box.w = w;
    box.c = c;
    return box;
}

/// As a unit's shell does it.
inline Work execute(Executor& executor, const Command& command, std::int64_t index,
                    std::int64_t start) {
    const Work work = executor.duration(command);
    executor.execute(command, index, start, work);
    return work;
}

class ComputeTest : public ::testing::Test {
protected:
    static constexpr std::int32_t layer = 5;
    static constexpr std::int64_t index = 42;
    static constexpr std::int64_t start = 1000;

    MachineConfig config;
    std::unique_ptr<Memories> memories;
    std::unique_ptr<ArrayWeights> weights;
    RecordingProbe probe;
    Watch watch{&probe};

    /// Forgets everything; `config` is in force from here on.
    void build() {
        memories = std::make_unique<Memories>(config);
        weights = std::make_unique<ArrayWeights>(config);
        probe.shown.clear();
    }
    void SetUp() override { build(); }

    template <class Operands>
    static Command command_of(const Box& box, const Operands& operands) {
        Command command;
        command.layer = layer;
        command.box = box;
        command.operands = operands;
        return command;
    }
    template <class Operands>
    Work vector(const Box& box, const Operands& operands) {
        VectorUnit unit(config, *memories, watch);
        return execute(unit, command_of(box, operands), index, start);
    }
    template <class Operands>
    Work drain(const Box& box, const Operands& operands) {
        DrainUnit unit(config, *memories, watch);
        return execute(unit, command_of(box, operands), index, start);
    }
    template <class Operands>
    Work update(const Operands& operands) {
        UpdateUnit unit(config, *memories, watch);
        return execute(unit, command_of(Box{}, operands), index, start);
    }

    static void put(Buffer& buffer, std::int64_t address, int bytes, std::int64_t code) {
        for (int byte = 0; byte < bytes; ++byte)
            *buffer.write(address + byte, 1) = static_cast<std::uint8_t>(code >> (8 * byte));
    }
    static std::int64_t get(Buffer& buffer, std::int64_t address, int bytes, bool is_signed) {
        std::int64_t code = 0;
        for (int byte = 0; byte < bytes; ++byte)
            code += std::int64_t{*buffer.read(address + byte, 1)} << (8 * byte);
        if (is_signed && bytes < 8 && code >= (std::int64_t{1} << (8 * bytes - 1)))
            code -= std::int64_t{1} << (8 * bytes);
        return code;
    }

    /// Something in bytes [0, count).
    static void put_bytes(Buffer& buffer, std::int64_t count) {
        for (std::int64_t i = 0; i < count; ++i) put(buffer, i, 1, i % 7 - 3);
    }

    /// A tile of the activations. `gap`: unused bytes after each pixel, row and image.
    static TileView view_of(const Box& box, std::int64_t address, int bytes, int frac,
                            std::int64_t gap = 0, bool is_signed = true) {
        TileView view;
        view.address = address;
        view.bytes = bytes;
        view.is_signed = is_signed;
        view.frac = frac;
        view.stride_w = std::int64_t{box.c} * bytes + gap;
        view.stride_h = box.w * view.stride_w + gap;
        view.stride_n = box.h * view.stride_h + gap;
        return view;
    }
    template <class Function>
    static void for_each_element(const TileView& view, const Box& box, Function f) {
        std::size_t i = 0;
        for (std::int64_t n = 0; n < box.n; ++n)
            for (std::int64_t h = 0; h < box.h; ++h)
                for (std::int64_t w = 0; w < box.w; ++w)
                    for (std::int64_t c = 0; c < box.c; ++c)
                        f(view.address + n * view.stride_n + h * view.stride_h + w * view.stride_w +
                              c * view.bytes,
                          i++);
    }
    void fill(const TileView& view, const Box& box, const std::vector<std::int64_t>& codes) {
        for_each_element(view, box, [&](std::int64_t address, std::size_t i) {
            put(memories->activations, address, view.bytes, codes[i]);
        });
    }
    std::vector<std::int64_t> contents(const TileView& view, const Box& box) {
        std::vector<std::int64_t> codes;
        for_each_element(view, box, [&](std::int64_t address, std::size_t) {
            codes.push_back(get(memories->activations, address, view.bytes, view.is_signed));
        });
        return codes;
    }
    /// Sums in the accumulators as a GEMM leaves them.
    TileView accumulate(const Box& box, std::int64_t row, std::int32_t channels_per_row, int frac,
                        const std::vector<std::int64_t>& sums) {
        TileView view;
        view.space = Space::accumulators;
        view.address = row;
        view.channels_per_row = channels_per_row;
        view.frac = frac;
        view.qp = {layer - 1, Qp::y};
        const std::int64_t pixels = box.pixels();
        for (std::int64_t c = 0; c < box.c; c += channels_per_row) {
            const std::int64_t columns = std::min<std::int64_t>(channels_per_row, box.c - c);
            for (std::int64_t p = 0; p < pixels; ++p) {
                const std::int64_t at = row + c / channels_per_row * pixels + p;
                memories->accumulators.start(at, columns, nullptr);
                for (std::int64_t column = 0; column < columns; ++column)
                    memories->accumulators.add(
                        at, column, sums[static_cast<std::size_t>(p * box.c + c + column)]);
            }
        }
        return view;
    }
    void put_parameters(std::int64_t address, int bytes, const std::vector<std::int64_t>& codes) {
        for (const std::int64_t code : codes) {
            put(memories->parameters, address, bytes, code);
            address += bytes;
        }
    }
    std::vector<std::int64_t> parameters(std::int64_t address, std::size_t count, int bytes,
                                         bool is_signed) {
        std::vector<std::int64_t> codes;
        for (std::size_t i = 0; i < count; ++i)
            codes.push_back(get(memories->parameters,
                                address + static_cast<std::int64_t>(i) * bytes, bytes, is_signed));
        return codes;
    }

    /// A tap's codes, counts, command and cycle.
    void expect_shown(Qp qp, const Format& format, const Box& box,
                      const std::vector<std::int64_t>& codes, std::int64_t saturations,
                      std::int64_t wraps, const Work& work, std::int32_t at_layer = layer) {
        const RecordingProbe::Shown& shown = probe.at(qp);
        EXPECT_EQ(shown.codes, codes) << to_string(qp);
        EXPECT_EQ(shown.tap.format, format) << to_string(qp);
        EXPECT_EQ(shown.tap.qp.layer, at_layer) << to_string(qp);
        EXPECT_EQ(shown.tap.box.size(), box.size()) << to_string(qp);
        EXPECT_EQ(shown.tap.box.c0, box.c0) << to_string(qp);
        EXPECT_EQ(shown.tap.saturations, saturations) << to_string(qp);
        EXPECT_EQ(shown.tap.wraps, wraps) << to_string(qp);
        EXPECT_EQ(shown.tap.command, index);
        EXPECT_EQ(shown.tap.cycle, start + work.latency) << to_string(qp);
    }
};

/// Message of the MachineError that `f` throws; "" if it throws none.
template <class Function>
std::string machine_error(Function f) {
    try {
        f();
    } catch (const MachineError& error) {
        return error.what();
    }
    return "";
}

}  // namespace wagesim::rtl
