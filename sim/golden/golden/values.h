// Real numbers on a grid, kept as the least integers that hold their codes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <utility>
#include <variant>
#include <vector>

namespace wagesim::golden {

/// Smallest and largest code.
struct CodeRange {
    double low, high;
};

/// Integers in the least type that holds their range.
class CompactCodes {
public:
    /// Zeros.
    CompactCodes(std::size_t size, CodeRange range);
    explicit CompactCodes(std::vector<std::int64_t> codes) : kept_(std::move(codes)) {}

    std::size_t size() const;
    std::int64_t operator[](std::size_t i) const;
    /// Largest absolute value.
    double largest() const;
    /// Whether elements [first, first + count) are these.
    bool equal(std::size_t first, std::size_t count, const std::int64_t* codes) const;
    /// Elements [first, first + count) times `unit`.
    void read(std::size_t first, std::size_t count, double unit, double* to) const;
    void write(std::size_t first, std::size_t count, const double* codes);
    std::vector<std::int64_t> all() const;

private:
    std::variant<std::vector<std::int8_t>, std::vector<std::int16_t>, std::vector<std::int32_t>,
                 std::vector<std::int64_t>>
        kept_;
};

/// Real numbers that do not change any more: a copy costs nothing.
class Values {
public:
    Values() = default;
    Values(std::vector<double> reals);
    Values(std::initializer_list<double> reals) : Values(std::vector<double>(reals)) {}
    /// CompactCodes of the unit 2^unit_log2.
    Values(CompactCodes codes, int unit_log2);
    /// Reals whose codes lie in the range: kept as codes of 32 bits at most, or as they are.
    Values(std::vector<double> reals, CodeRange range, int unit_log2);

    std::size_t size() const { return codes_ ? codes_->size() : reals_ ? reals_->size() : 0; }
    bool empty() const { return size() == 0; }
    double operator[](std::size_t i) const {
        return codes_ ? static_cast<double>((*codes_)[i]) * unit_ : (*reals_)[i];
    }
    double largest() const;
    template <class Real>
    void read(std::size_t first, std::size_t count, Real* to) const;
    std::vector<double> reals() const;
    Values times_power_of_two(int log2) const;

    /// In units of 2^unit_log2(); null: kept as they are.
    const std::shared_ptr<const CompactCodes>& codes() const { return codes_; }
    int unit_log2() const { return unit_log2_; }

private:
    std::shared_ptr<const std::vector<double>> reals_;
    std::shared_ptr<const CompactCodes> codes_;
    int unit_log2_ = 0;
    double unit_ = 1;
};

/// Values written run by run, in ascending order: as codes of 32 bits at most if their type is
/// exact and their range allows, or as doubles.
template <class Real>
class Writer {
public:
    Writer(std::size_t size, CodeRange range, int unit_log2);
    /// Integers.
    void write(std::size_t first, std::size_t count, const Real* codes);
    Values finish() &&;

private:
    const int unit_log2_;
    const double unit_;
    std::vector<double> reals_;
    std::unique_ptr<CompactCodes> codes_;
};

/// Values read run by run.
template <class Real>
class Reader {
public:
    explicit Reader(const Values& values) : values_(values) {}
    const Real* operator()(std::size_t first, std::size_t count) {
        if (run_.size() < count) run_.resize(count);
        values_.read(first, count, run_.data());
        return run_.data();
    }

private:
    const Values values_;
    std::vector<Real> run_;
};

}  // namespace wagesim::golden
