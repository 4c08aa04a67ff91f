// See values.h.
#include "golden/values.h"

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "golden/loops.h"

namespace wagesim::golden {
namespace {

bool holds(CodeRange range, int bits) {
    const double half = std::ldexp(1.0, bits - 1);
    return range.low >= -half && range.high <= half - 1;
}

template <class Integer>
const CodeLoops<Integer>& loops_of(const Buffer<Integer>&) {
    return code_loops<Integer>();
}

}  // namespace

CompactCodes::CompactCodes(std::size_t size, CodeRange range) {
    if (holds(range, 8))
        kept_ = Buffer<std::int8_t>(size);
    else if (holds(range, 16))
        kept_ = Buffer<std::int16_t>(size);
    else if (holds(range, 32))
        kept_ = Buffer<std::int32_t>(size);
    else
        kept_ = Buffer<std::int64_t>(size);
}

std::size_t CompactCodes::size() const {
    return std::visit([](const auto& codes) { return codes.size(); }, kept_);
}

std::int64_t CompactCodes::operator[](std::size_t i) const {
    return std::visit([i](const auto& codes) { return std::int64_t{codes[i]}; }, kept_);
}

double CompactCodes::largest() const {
    return std::visit(
        [](const auto& codes) { return loops_of(codes).largest(codes.data(), codes.size()); },
        kept_);
}

bool CompactCodes::equal(std::size_t first, std::size_t count, const std::int64_t* codes) const {
    return std::visit(
        [&](const auto& kept) { return loops_of(kept).equal(kept.data() + first, codes, count); },
        kept_);
}

void CompactCodes::read(std::size_t first, std::size_t count, double unit, double* to) const {
    std::visit(
        [&](const auto& codes) { loops_of(codes).scale(codes.data() + first, count, unit, to); },
        kept_);
}

void CompactCodes::read(std::size_t first, std::size_t count, float unit, float* to) const {
    std::visit(
        [&](const auto& codes) {
            loops_of(codes).scale_to_float(codes.data() + first, count, unit, to);
        },
        kept_);
}

void CompactCodes::write(std::size_t first, std::size_t count, const double* codes) {
    std::visit([&](auto& kept) { loops_of(kept).from_reals(codes, count, kept.data() + first); },
               kept_);
}

std::vector<std::int64_t> CompactCodes::all() const {
    return std::visit(
        [](const auto& codes) { return std::vector<std::int64_t>(codes.begin(), codes.end()); },
        kept_);
}

Values::Values(std::vector<double> reals)
    : reals_(std::make_shared<const std::vector<double>>(std::move(reals))) {}

Values::Values(CompactCodes codes, int unit_log2)
    : codes_(std::make_shared<const CompactCodes>(std::move(codes))),
      unit_log2_(unit_log2),
      unit_(std::ldexp(1.0, unit_log2)) {}

Values::Values(std::vector<double> reals, CodeRange range, int unit_log2) {
    if (!holds(range, 32)) {
        *this = Values(std::move(reals));
        return;
    }
    const double to_code = std::ldexp(1.0, -unit_log2);
    for (double& real : reals) real *= to_code;
    CompactCodes codes(reals.size(), range);
    codes.write(0, reals.size(), reals.data());
    *this = Values(std::move(codes), unit_log2);
}

double Values::largest() const {
    if (codes_) return codes_->largest() * unit_;
    return reals_ ? real_loops<double>().largest(reals_->data(), reals_->size()) : 0;
}

template <>
void Values::read(std::size_t first, std::size_t count, double* to) const {
    if (codes_)
        codes_->read(first, count, unit_, to);
    else
        std::copy_n(reals_->data() + first, count, to);
}
template <>
void Values::read(std::size_t first, std::size_t count, float* to) const {
    if (codes_)
        codes_->read(first, count, static_cast<float>(unit_), to);
    else
        for (std::size_t i = 0; i < count; ++i) to[i] = static_cast<float>((*reals_)[first + i]);
}

std::vector<double> Values::reals() const {
    if (!codes_) return reals_ ? *reals_ : std::vector<double>();
    std::vector<double> reals(codes_->size());
    read(0, reals.size(), reals.data());
    return reals;
}

Values Values::times_power_of_two(int log2) const {
    Values result = *this;
    if (codes_) {
        result.unit_log2_ += log2;
        result.unit_ = std::ldexp(1.0, result.unit_log2_);
    } else {
        std::vector<double> scaled = reals();
        for (double& real : scaled) real = std::ldexp(real, log2);
        result = std::move(scaled);
    }
    return result;
}

template <class Real>
Writer<Real>::Writer(std::size_t size, CodeRange range, int unit_log2)
    : unit_log2_(unit_log2), unit_(std::ldexp(1.0, unit_log2)) {
    if (std::is_same_v<Real, double> && holds(range, 32))
        codes_ = std::make_unique<CompactCodes>(size, range);
    else
        reals_.resize(size);
}

template <class Real>
void Writer<Real>::write(std::size_t first, std::size_t count, const Real* codes) {
    if constexpr (std::is_same_v<Real, double>)
        if (codes_) {
            codes_->write(first, count, codes);
            return;
        }
    for (std::size_t i = 0; i < count; ++i)  // -0 becomes 0
        reals_[first + i] = static_cast<double>(codes[i]) * unit_ + 0.0;
}

template <class Real>
Values Writer<Real>::finish() && {
    return codes_ ? Values(std::move(*codes_), unit_log2_) : Values(std::move(reals_));
}

template class Writer<double>;
template class Writer<float>;

}  // namespace wagesim::golden
