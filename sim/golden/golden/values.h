// Real numbers on a grid, kept as the least integers that hold their codes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <new>
#include <utility>
#include <variant>
#include <vector>

namespace wagesim::golden {

/// Smallest and largest code.
struct CodeRange {
    double low, high;
};

/// Elements are not zeroed: they are written before they are read.
template <class T>
struct NotZeroed {
    using value_type = T;
    NotZeroed() = default;
    template <class U>
    NotZeroed(const NotZeroed<U>&) {}
    T* allocate(std::size_t count) { return std::allocator<T>().allocate(count); }
    void deallocate(T* elements, std::size_t count) {
        std::allocator<T>().deallocate(elements, count);
    }
    template <class U>
    void construct(U* element) {
        ::new (static_cast<void*>(element)) U;
    }
    friend bool operator==(const NotZeroed&, const NotZeroed&) { return true; }
    friend bool operator!=(const NotZeroed&, const NotZeroed&) { return false; }
};
template <class T>
using Buffer = std::vector<T, NotZeroed<T>>;

/// Integers in the least type that holds their range.
class CompactCodes {
public:
    CompactCodes(std::size_t size, CodeRange range);
    explicit CompactCodes(Buffer<std::int64_t> codes) : kept_(std::move(codes)) {}

    std::size_t size() const;
    std::int64_t operator[](std::size_t i) const;
    /// Largest absolute value.
    double largest() const;
    /// Whether elements [first, first + count) are these.
    bool equal(std::size_t first, std::size_t count, const std::int64_t* codes) const;
    /// Elements [first, first + count) times `unit`.
    void read(std::size_t first, std::size_t count, double unit, double* to) const;
    void read(std::size_t first, std::size_t count, float unit, float* to) const;
    void write(std::size_t first, std::size_t count, const double* codes);
    std::vector<std::int64_t> all() const;

private:
    std::variant<Buffer<std::int8_t>, Buffer<std::int16_t>, Buffer<std::int32_t>,
                 Buffer<std::int64_t>>
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
    Buffer<Real> run_;
};

}  // namespace wagesim::golden
