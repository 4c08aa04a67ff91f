// The golden quantisers against the authors' (traces/peers).
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#include "golden/quantize.h"
#include "golden/scaled.h"

namespace wagesim::golden {
namespace {

/// A .npy file of float32 in C order.
std::vector<double> read_floats(const std::string& name) {
    std::ifstream file(std::string(WAGESIM_TRACES_DIR) + "/peers/" + name + ".npy",
                       std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(file), {}};
    if (bytes.size() < 10 || bytes.find("'descr': '<f4'") == std::string::npos)
        throw std::runtime_error(name + ": not a .npy of float32");
    const auto header = static_cast<std::size_t>(static_cast<unsigned char>(bytes[8])) +
                        256 * static_cast<std::size_t>(static_cast<unsigned char>(bytes[9]));
    std::vector<double> values;
    for (std::size_t at = 10 + header; at < bytes.size(); at += sizeof(float)) {
        float value = 0;
        std::memcpy(&value, bytes.data() + at, sizeof value);
        values.push_back(static_cast<double>(value));
    }
    return values;
}

Tensor tensor_of(const std::string& name) {
    Tensor tensor;
    tensor.values = read_floats(name);
    tensor.shape = {1, static_cast<std::int64_t>(tensor.values.size()), 1, 1};
    tensor.frac = 40;
    return tensor;
}

void expect_equal(const Tensor& tensor, const std::string& name) {
    const std::vector<double> expected = read_floats(name);
    ASSERT_EQ(tensor.values.size(), expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i)
        EXPECT_EQ(tensor.values[i], expected[i]) << name << " " << i;
    EXPECT_GT(largest(expected), 0);
}

TEST(AuthorsQuantizers, DirectEqualsQ) {
    for (const auto& [name, frac] : {std::pair{"Q", 7}, std::pair{"fBits", 23}}) {
        Tensor x = tensor_of(std::string(name) + "/x");
        quantize<double>(x, {{40, frac, true, 0}});
        expect_equal(x, std::string(name) + "/y");
    }
}

TEST(AuthorsQuantizers, WeightEqualsFw) {
    Tensor x = tensor_of("fw/x");
    quantize<double>(x, {{8, 7, true, 0}});
    expect_equal(x, "fw/y");
    EXPECT_GT(x.saturations, 0);
}

TEST(AuthorsQuantizers, ShiftWithABitMoreEqualsFe1) {
    expect_equal(shift_quantize<double>(tensor_of("fe1-8/dy"), {{9, 7, true, 0}}), "fe1-8/y");
    expect_equal(shift_quantize<double>(tensor_of("fe1-16/dy"), {{17, 15, true, 0}}), "fe1-16/y");
}

TEST(AuthorsQuantizers, ShiftOfZerosIsZeroWhereFe1IsNotANumber) {
    ASSERT_TRUE(std::isnan(read_floats("fe1-zeros/y").front()));
    const Tensor zeros = shift_quantize<double>(tensor_of("fe1-zeros/dy"), {{9, 7, true, 0}});
    EXPECT_EQ(largest(zeros.values), 0);
    EXPECT_EQ(zeros.exponent, -128);
}

TEST(AuthorsQuantizers, FlagEqualsFe2) {
    for (const std::string name : {"fe2-8", "fe2-outlier"})
        expect_equal(flag_quantize<double>(tensor_of(name + "/dy"), {{15, 14, true, 0}}),
                     name + "/y");
}

TEST(AuthorsQuantizers, ConstantEqualsFgUpToTheDrawsWidth) {
    for (const int dr_log2 : {7, 5, 1}) {
        const std::string name = "fg-" + std::to_string(1 << dr_log2);
        const Tensor x = tensor_of(name + "/x");
        const std::vector<double> rand = read_floats(name + "/rand"), y = read_floats(name + "/y");
        std::vector<std::uint16_t> draws;
        for (const double r : rand)
            draws.push_back(static_cast<std::uint16_t>(std::floor(r * 65536)));
        Quantizer rule{{8, 14, true, 0}, Rounding::stochastic};
        const Tensor g = constant_quantize<double>(x, rule, dr_log2, draws);
        const double scale = std::ldexp(1.0, dr_log2 - scale_log2<double>(x));
        for (std::size_t i = 0; i < y.size(); ++i) {
            const double scaled = std::abs(x.values[i]) * scale;
            if (std::floor((scaled - std::floor(scaled)) * 65536) == draws[i] && draws[i] != 0)
                continue;  // 16 bits do not tell which is larger
            EXPECT_EQ(g.values[i], y[i]) << name << " " << i;
        }
    }
}

}  // namespace
}  // namespace wagesim::golden
