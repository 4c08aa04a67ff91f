// The array of docs/array.md as the page reads: one struct a PE, one edge at a time. For tests.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

namespace wagesim::rtl::testing {

/// A delay of so many edges.
template <class T>
class Delay {
public:
    explicit Delay(int edges) : stages_(static_cast<std::size_t>(edges)) {}
    T edge(const T& in) {
        stages_.push_back(in);
        const T out = stages_.front();
        stages_.pop_front();
        return out;
    }

private:
    std::deque<T> stages_;
};

/// An operand with what travels with it.
struct Moving {
    std::int64_t value = 0;
    bool valid = false, swap = false;
};

class PlainWsArray {
public:
    struct Pe {
        Moving a;
        std::int64_t weight = 0, next_weight = 0, sum = 0;
    };
    struct Inputs {
        const std::vector<std::int64_t>* load = nullptr;
        const std::vector<std::int64_t>* operands = nullptr;
        bool swap = false;
    };

    PlainWsArray(int rows, int columns)
        : rows_(rows), columns_(columns), pes_(static_cast<std::size_t>(rows * columns)) {
        for (int r = 0; r < rows; ++r) skew_.emplace_back(r);
        for (int c = 0; c < columns; ++c) deskew_.emplace_back(columns - 1 - c);
        outputs_.resize(static_cast<std::size_t>(columns));
    }

    const Pe& pe(int r, int c) const { return pes_[static_cast<std::size_t>(r * columns_ + c)]; }

    void edge(const Inputs& in) {
        std::vector<Pe> next(pes_.size());
        for (int r = 0; r < rows_; ++r) {
            Moving moving = skew_[static_cast<std::size_t>(r)].edge(entering(in, r));
            for (int c = 0; c < columns_; ++c) {
                const Pe& now = pe(r, c);
                const Moving a_in = c == 0 ? moving : pe(r, c - 1).a;
                const std::int64_t above = r == 0 ? 0 : pe(r - 1, c).sum;
                const std::int64_t used = a_in.swap ? now.next_weight : now.weight;
                Pe& then = next[static_cast<std::size_t>(r * columns_ + c)];
                then.a = a_in;
                then.weight = used;
                then.sum = above + a_in.value * used;
                then.next_weight = now.next_weight;
                if (in.load != nullptr)
                    then.next_weight =
                        r == 0 ? (*in.load)[static_cast<std::size_t>(c)] : pe(r - 1, c).next_weight;
                if (a_in.valid) ++pe_operations;
            }
        }
        // Column c's sum and valid bit go through C - 1 - c registers.
        for (int c = 0; c < columns_; ++c) {
            const Pe& bottom = next[static_cast<std::size_t>((rows_ - 1) * columns_ + c)];
            outputs_[static_cast<std::size_t>(c)] =
                deskew_[static_cast<std::size_t>(c)].edge({bottom.sum, bottom.a.valid, false});
        }
        pes_ = next;
    }

    /// What stands at the output after the last edge.
    const std::vector<Moving>& outputs() const { return outputs_; }
    std::int64_t pe_operations = 0;

private:
    static Moving entering(const Inputs& in, int r) {
        Moving moving;
        moving.swap = in.swap;
        moving.valid = in.operands != nullptr;
        if (moving.valid) moving.value = (*in.operands)[static_cast<std::size_t>(r)];
        return moving;
    }

    int rows_, columns_;
    std::vector<Pe> pes_;
    std::vector<Delay<Moving>> skew_, deskew_;
    std::vector<Moving> outputs_;
};

class PlainOsArray {
public:
    struct Sum {
        std::int64_t value = 0;
        bool overflowed = false;
    };
    struct Pe {
        Moving a;
        std::int64_t b = 0;
        Sum acc, next_acc;
    };
    struct Inputs {
        const std::vector<std::int64_t>* operands = nullptr;
        const std::vector<std::int64_t>* weights = nullptr;
        const std::vector<Sum>* first = nullptr;  ///< `shift`, with this initial row
        bool swap = false;
    };

    PlainOsArray(int rows, int columns, int bits, bool saturates)
        : rows_(rows),
          columns_(columns),
          bits_(bits),
          saturates_(saturates),
          pes_(static_cast<std::size_t>(rows * columns)) {
        for (int r = 0; r < rows; ++r) skew_.emplace_back(r);
        for (int c = 0; c < columns; ++c) top_skew_.emplace_back(c);
    }

    const Pe& pe(int r, int c) const { return pes_[static_cast<std::size_t>(r * columns_ + c)]; }

    void edge(const Inputs& in) {
        std::vector<Pe> next(pes_.size());
        std::vector<std::int64_t> top;
        for (int c = 0; c < columns_; ++c)
            top.push_back(top_skew_[static_cast<std::size_t>(c)].edge(
                in.weights == nullptr ? 0 : (*in.weights)[static_cast<std::size_t>(c)]));
        for (int r = 0; r < rows_; ++r) {
            Moving entering;
            entering.swap = in.swap;
            entering.valid = in.operands != nullptr;
            if (entering.valid) entering.value = (*in.operands)[static_cast<std::size_t>(r)];
            const Moving left = skew_[static_cast<std::size_t>(r)].edge(entering);
            for (int c = 0; c < columns_; ++c) {
                const Pe& now = pe(r, c);
                Pe& then = next[static_cast<std::size_t>(r * columns_ + c)];
                then.a = c == 0 ? left : pe(r, c - 1).a;
                then.b = r == 0 ? top[static_cast<std::size_t>(c)] : pe(r - 1, c).b;
                const Sum start = then.a.swap ? now.next_acc : now.acc;
                then.acc = then.a.valid ? fit(start, then.a.value * then.b) : start;
                then.next_acc = now.next_acc;
                if (then.a.swap)
                    then.next_acc = now.acc;
                else if (in.first != nullptr)
                    then.next_acc =
                        r == 0 ? (*in.first)[static_cast<std::size_t>(c)] : pe(r - 1, c).next_acc;
                if (then.a.valid) ++pe_operations;
            }
        }
        pes_ = next;
    }
    std::int64_t pe_operations = 0;

private:
    Sum fit(Sum sum, std::int64_t product) const {
        const std::int64_t high = (std::int64_t{1} << (bits_ - 1)) - 1, low = -high - 1;
        sum.value += product;
        if (sum.value <= high && sum.value >= low) return sum;
        sum.overflowed = true;
        if (saturates_) {
            sum.value = sum.value > high ? high : low;
            return sum;
        }
        while (sum.value > high) sum.value -= std::int64_t{1} << bits_;
        while (sum.value < low) sum.value += std::int64_t{1} << bits_;
        return sum;
    }

    int rows_, columns_, bits_;
    bool saturates_;
    std::vector<Pe> pes_;
    std::vector<Delay<Moving>> skew_;
    std::vector<Delay<std::int64_t>> top_skew_;
};

}  // namespace wagesim::rtl::testing
