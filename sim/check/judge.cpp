// See judge.h.
#include "check/judge.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "wagesim/arith/wide.h"

namespace wagesim::check {
namespace {

using arith::UnsignedWide;

std::string decimal(Wide value) {
    if (value == 0) return "0";
    const bool negative = value < 0;
    std::string digits;
    UnsignedWide rest =
        negative ? -static_cast<UnsignedWide>(value) : static_cast<UnsignedWide>(value);
    for (; rest != 0; rest /= 10) digits += static_cast<char>('0' + static_cast<int>(rest % 10));
    if (negative) digits += '-';
    return {digits.rbegin(), digits.rend()};
}

/// Two's complement in the register's width; in full where the code does not fit it.
std::string hexadecimal(Wide value, int bits) {
    const int shown = std::clamp(bits, 1, 128);
    UnsignedWide rest = static_cast<UnsignedWide>(value);
    if (shown < 128) {
        const UnsignedWide mask = (static_cast<UnsignedWide>(1) << shown) - 1;
        const Wide top = value >> (shown - 1);
        if (top == 0 || top == -1 || top == 1) rest &= mask;
    }
    std::string digits;
    do {
        digits += "0123456789abcdef"[static_cast<int>(rest & 15)];
        rest >>= 4;
    } while (rest != 0);
    while (static_cast<int>(digits.size()) < (shown + 3) / 4) digits += '0';
    return "0x" + std::string(digits.rbegin(), digits.rend());
}

/// The code of a golden value that the grid of the hardware holds after scaling; false where the
/// value lies between two codes.
template <class Code>
bool to_code(double scaled, Code& code) {
    constexpr double limit = sizeof(Code) == 8 ? 9.2e18 : 1.7e38;  // a little under the largest
    if (!(std::abs(scaled) < limit)) return false;
    code = static_cast<Code>(scaled);
    return static_cast<double>(code) == scaled;
}

/// Golden's decimal strings hold integers beyond 2^53.
Wide parse_wide(const std::string& text) {
    Wide value = 0;
    std::size_t i = text.empty() || text[0] != '-' ? 0 : 1;
    for (; i < text.size(); ++i) value = value * 10 + (text[i] - '0');
    return text[0] == '-' ? -value : value;
}

Wide largest(const Format& format) {
    return (static_cast<Wide>(1) << (format.is_signed ? format.bits - 1 : format.bits)) - 1;
}

bool is_layer_output(Qp qp) {
    return qp == Qp::y || qp == Qp::z || qp == Qp::x2 || qp == Qp::A || qp == Qp::stream;
}

}  // namespace

std::string_view to_string(Cause cause) {
    switch (cause) {
        case Cause::rounding_tie:
            return "rounding tie";
        case Cause::rounding:
            return "rounding (last place)";
        case Cause::saturation:
            return "saturation";
        case Cause::wrap:
            return "wrap";
        case Cause::exponent:
            return "exponent off by one";
        case Cause::other:
            return "other";
    }
    return "other";
}

Judge::Judge(const Network& network, golden::Model* golden) : network_(network), golden_(golden) {}

std::string Judge::name_of(const QpId& qp) const {
    return network_.name_of(qp.layer) + "." + std::string(to_string(qp.qp));
}

void Judge::begin_batch(const std::vector<ExpectedTensor>& expected) {
    records_.clear();
    golden_layers_ = -2;
    for (const auto& [qp, shape] : expected) {
        const Key key{qp.layer, qp.qp};
        Record& fresh = records_[key];
        const auto [known, inserted] = verdict_index_.try_emplace(key, verdicts_.size());
        if (inserted) {
            TensorVerdict verdict;
            verdict.qp = qp;
            verdicts_.push_back(verdict);
        }
        fresh.verdict = known->second;
        verdicts_[fresh.verdict].shape = shape;
        fresh.actual.shape = shape;
        fresh.actual.codes.assign(static_cast<std::size_t>(shape.size()), 0);
        fresh.seen.assign(static_cast<std::size_t>(shape.size()), 0);
    }
}

Judge::Record& Judge::record(const QpId& qp) {
    const auto found = records_.find({qp.layer, qp.qp});
    if (found == records_.end())
        throw std::logic_error("the machine shows " + name_of(qp) +
                               ", a quantisation point that this run does not have");
    return found->second;
}

void Judge::prepare(Record& record, const Format& format) {
    record.prepared = true;
    record.actual.format = format;
    TensorVerdict& verdict = verdicts_[record.verdict];
    verdict.format = format;
    if (golden_ == nullptr) return;

    while (golden_layers_ < verdict.qp.layer) {
        ++golden_layers_;
        auto tensors = golden_->layer(golden_layers_);
        for (auto& [qp, tensor] : tensors) {
            const auto found = records_.find({golden_layers_, qp});
            if (found != records_.end()) found->second.golden = std::move(tensor);
        }
    }
    const golden::Tensor& golden = record.golden;
    const auto size = static_cast<std::size_t>(record.actual.shape.size());
    if (golden.values.size() != size) {
        findings_.push_back(
            {name_of(verdict.qp), "the golden model has " + std::to_string(golden.values.size()) +
                                      " elements, expected " + std::to_string(size)});
        record.expected.assign(format.bits > 64 ? 0 : size, 0);
        record.wide.assign(format.bits > 64 ? size : 0, 0);
        record.on_grid.assign(size, false);
        return;
    }
    const double scale = std::ldexp(1.0, format.frac - format.exponent);
    const auto convert = [&](auto& codes) {
        codes.resize(size);
        for (std::size_t i = 0; i < size; ++i) {
            if (to_code(golden.values[i] * scale, codes[i])) continue;
            if (record.on_grid.empty()) record.on_grid.assign(size, true);
            record.on_grid[i] = false;
        }
    };
    if (format.bits > 64) {
        convert(record.wide);
        for (std::size_t i = 0; i < golden.exact.size(); ++i)
            if (!golden.exact[i].empty()) {
                record.wide[i] = parse_wide(golden.exact[i]);
                if (!record.on_grid.empty()) record.on_grid[i] = true;
            }
    } else {
        convert(record.expected);
    }
    // A mantissa with an exponent per channel, shown as one integer: no register of that width.
    const bool floating = verdict.qp.qp == Qp::inv || verdict.qp.qp == Qp::fold_a;
    if (!floating && golden.bits != 0 &&
        (golden.bits != format.bits || golden.is_signed != format.is_signed))
        findings_.push_back(
            {name_of(verdict.qp), "the hardware's register has " + std::to_string(format.bits) +
                                      (format.is_signed ? " bits signed" : " bits unsigned") +
                                      ", the golden model's " + std::to_string(golden.bits) +
                                      (golden.is_signed ? " bits signed" : " bits unsigned")});
    if (!golden.certified) {
        verdict.certified = false;
        verdict.why_not = golden.why_not;
    }
    verdict.differs_from_wide += golden.differs_from_wide;
}

std::array<std::int64_t, 4> Judge::coordinates(const Record& record, std::int64_t index) const {
    const Shape& shape = record.actual.shape;
    const std::int64_t w = index % shape.w, h = index / shape.w % shape.h;
    const std::int64_t c = index / (shape.w * shape.h) % shape.c;
    return {index / (shape.w * shape.h * shape.c), c, h, w};
}

Cause Judge::classify(const Record& record, std::int64_t index, Wide expected, Wide got) const {
    const Format& format = record.actual.format;
    const Wide difference = got - expected;
    const Wide top = largest(format), bottom = format.is_signed ? -top : Wide{0};
    const auto at_bound = [&](Wide code) { return code >= top || code <= bottom; };
    if (format.bits < 120 && difference % (static_cast<Wide>(1) << format.bits) == 0)
        return Cause::wrap;
    const bool bounded = at_bound(expected) != at_bound(got) && (expected != 0 && got != 0);
    if (bounded && (record.golden.saturations > 0 || record.saturations > 0))
        return Cause::saturation;
    if ((record.golden.wraps > 0 || record.wraps > 0) && (difference > top || difference < -top))
        return Cause::wrap;
    if (difference == 1 || difference == -1) {
        const auto& ties = record.golden.ties;
        return !ties.empty() && ties[static_cast<std::size_t>(index)] ? Cause::rounding_tie
                                                                      : Cause::rounding;
    }
    if (got == 2 * expected || expected == 2 * got || expected == 2 * got + 1 ||
        expected == 2 * got - 1)
        return Cause::exponent;
    return Cause::other;
}

void Judge::note_mismatch(Record& record, std::int64_t index, Wide got, const Tap& tap) {
    TensorVerdict& verdict = verdicts_[record.verdict];
    const auto i = static_cast<std::size_t>(index);
    const bool on_grid = record.on_grid.empty() || record.on_grid[i];
    const Wide expected = record.wide.empty() ? Wide{record.expected[i]} : record.wide[i];
    ++verdict.mismatches;
    const Cause cause = on_grid ? classify(record, index, expected, got) : Cause::other;
    ++verdict.causes[cause];
    if (verdict.first) return;

    Mismatch mismatch;
    mismatch.qp = tap.qp;
    mismatch.at = coordinates(record, index);
    mismatch.cycle = tap.cycle;
    mismatch.command = tap.command;
    mismatch.cause = cause;
    const int scale = tap.format.exponent - tap.format.frac;
    mismatch.got = decimal(got);
    mismatch.got_hex = hexadecimal(got, tap.format.bits);
    mismatch.got_value = std::ldexp(static_cast<double>(got), scale);
    mismatch.expected_value = record.golden.values.size() > i ? record.golden.values[i] : 0;
    mismatch.expected = on_grid ? decimal(expected) : "between two codes";
    mismatch.expected_hex = on_grid ? hexadecimal(expected, tap.format.bits) : "-";
    Wide differing = expected ^ got;
    while (on_grid && (differing & 1) == 0 && mismatch.first_bit < 127) {
        differing >>= 1;
        ++mismatch.first_bit;
    }
    verdict.first = mismatch;
    if (!first_mismatch_) first_mismatch_ = mismatch;
}

void Judge::on_tap(const Tap& tap) {
    Record& here = record(tap.qp);
    if (!here.prepared) prepare(here, tap.format);
    here.saturations += tap.saturations;
    here.wraps += tap.wraps;
    const Shape& shape = here.actual.shape;

    const bool judged = golden_ != nullptr;
    const std::int64_t delivered_before = here.delivered;
    const auto take = [&](std::int64_t index, std::int64_t k) {
        const auto i = static_cast<std::size_t>(index);
        if (here.seen[i] != 0) {
            ++here.duplicates;
            return;
        }
        here.seen[i] = 1;
        ++here.delivered;
        const Wide got = tap.wide != nullptr ? tap.wide[k] : Wide{tap.codes[k]};
        here.actual.codes[i] = static_cast<std::int64_t>(got);
        if (!judged) return;
        const Wide expected = here.wide.empty() ? Wide{here.expected[i]} : here.wide[i];
        if (expected != got || !(here.on_grid.empty() || here.on_grid[i]))
            note_mismatch(here, index, got, tap);
    };
    const auto outside = [&] {
        return std::logic_error("the machine shows an element outside " + name_of(tap.qp));
    };

    const Box& box = tap.box;
    if (tap.first >= 0) {
        // Memory order: weights O, kh, kw, I; shape.n, c, h, w are O, I, kh, kw.
        if (tap.first + box.c > shape.size()) throw outside();
        for (std::int64_t k = 0; k < tap.box.c; ++k) {
            const std::int64_t m = tap.first + k;
            const std::int64_t i = m % shape.c, w = m / shape.c % shape.w;
            const std::int64_t h = m / (shape.c * shape.w) % shape.h;
            take(shape.index(m / (shape.c * shape.w * shape.h), i, h, w), k);
        }
    } else {
        if (box.n0 < 0 || box.n0 + box.n > shape.n || box.c0 < 0 || box.c0 + box.c > shape.c ||
            box.h0 < 0 || box.h0 + box.h > shape.h || box.w0 < 0 || box.w0 + box.w > shape.w)
            throw outside();
        const std::int64_t plane = shape.h * shape.w;
        std::int64_t k = 0;
        for (std::int64_t n = box.n0; n < box.n0 + box.n; ++n)
            for (std::int64_t h = box.h0; h < box.h0 + box.h; ++h)
                for (std::int64_t w = box.w0; w < box.w0 + box.w; ++w) {
                    std::int64_t index = shape.index(n, box.c0, h, w);
                    for (std::int32_t c = 0; c < box.c; ++c, index += plane) take(index, k++);
                }
    }
    if (judged) verdicts_[here.verdict].checked += here.delivered - delivered_before;
}

void Judge::check_stored(const QpId& qp, const std::vector<std::int64_t>& codes) {
    const Record& here = record(qp);
    for (std::size_t i = 0; i < codes.size(); ++i) {
        if (here.actual.codes[i] == codes[i]) continue;
        const auto at = coordinates(here, static_cast<std::int64_t>(i));
        findings_.push_back(
            {name_of(qp),
             "the Dram holds " + std::to_string(codes[i]) + " at [" + std::to_string(at[0]) + "," +
                 std::to_string(at[1]) + "," + std::to_string(at[2]) + "," + std::to_string(at[3]) +
                 "], the machine had computed " + std::to_string(here.actual.codes[i])});
        return;
    }
}

void Judge::end_batch() {
    for (auto& [key, here] : records_) {
        TensorVerdict& verdict = verdicts_[here.verdict];
        const std::string name = name_of(verdict.qp);
        const std::int64_t size = here.actual.shape.size();
        if (here.delivered != size)
            findings_.push_back({name, std::to_string(size - here.delivered) + " of " +
                                           std::to_string(size) + " elements were never made"});
        if (here.duplicates != 0)
            findings_.push_back(
                {name, std::to_string(here.duplicates) + " elements were made more than once"});
        verdict.saturations += here.saturations;
        verdict.wraps += here.wraps;
        if (golden_ == nullptr || !here.prepared) continue;
        const auto differ = [&](const char* what, std::int64_t hardware, std::int64_t golden) {
            if (hardware != golden)
                findings_.push_back({name, "the hardware counts " + std::to_string(hardware) + " " +
                                               what + ", the golden model " +
                                               std::to_string(golden)});
        };
        differ("saturations", here.saturations, here.golden.saturations);
        differ("wraps", here.wraps, here.golden.wraps);

        if (verdict.qp.layer < 0 || !is_layer_output(verdict.qp.qp)) continue;
        const auto reference = golden_->unquantized(verdict.qp.layer);
        if (reference.size() != here.actual.codes.size()) continue;
        double signal = 0, noise = 0, largest_error = 0;
        const double unit = std::ldexp(1.0, verdict.format.exponent - verdict.format.frac);
        for (std::size_t i = 0; i < reference.size(); ++i) {
            const double error = static_cast<double>(here.actual.codes[i]) * unit - reference[i];
            signal += reference[i] * reference[i];
            noise += error * error;
            largest_error = std::max(largest_error, std::abs(error));
        }
        verdict.largest_error = largest_error;
        if (noise > 0 && signal > 0) verdict.sqnr_db = 10 * std::log10(signal / noise);
    }
}

const Tensor* Judge::tensor(const QpId& qp) const {
    const auto found = records_.find({qp.layer, qp.qp});
    return found == records_.end() ? nullptr : &found->second.actual;
}

std::optional<Tensor> Judge::expected(const QpId& qp) const {
    const auto found = records_.find({qp.layer, qp.qp});
    if (found == records_.end()) return std::nullopt;
    const Record& here = found->second;
    if (here.expected.empty() && here.wide.empty()) return std::nullopt;
    Tensor tensor{here.actual.shape, here.actual.format, here.expected};
    for (const Wide code : here.wide) tensor.codes.push_back(static_cast<std::int64_t>(code));
    return tensor;
}

std::int64_t Judge::mismatches() const {
    std::int64_t sum = 0;
    for (const auto& verdict : verdicts_) sum += verdict.mismatches;
    return sum;
}
std::int64_t Judge::elements_checked() const {
    std::int64_t sum = 0;
    for (const auto& verdict : verdicts_) sum += verdict.checked;
    return sum;
}
std::int64_t Judge::tensors_checked() const {
    return std::count_if(verdicts_.begin(), verdicts_.end(),
                         [](const TensorVerdict& verdict) { return verdict.checked > 0; });
}
std::int64_t Judge::uncertified() const {
    return std::count_if(verdicts_.begin(), verdicts_.end(),
                         [](const TensorVerdict& verdict) { return !verdict.certified; });
}

std::string Judge::describe(const Mismatch& mismatch) const {
    const auto& verdict = verdicts_[verdict_index_.at({mismatch.qp.layer, mismatch.qp.qp})];
    std::string text = name_of(mismatch.qp) + "[" + std::to_string(mismatch.at[0]) + "," +
                       std::to_string(mismatch.at[1]) + "," + std::to_string(mismatch.at[2]) + "," +
                       std::to_string(mismatch.at[3]) + "] at cycle " +
                       std::to_string(mismatch.cycle) + " (command " +
                       std::to_string(mismatch.command) + ")\n";
    const auto line = [&](const char* who, const std::string& code, const std::string& hex,
                          double value) {
        text += std::string("  ") + who + " " + code + "  " + hex + "  = " + std::to_string(value) +
                "\n";
    };
    line("expected", mismatch.expected, mismatch.expected_hex, mismatch.expected_value);
    line("got     ", mismatch.got, mismatch.got_hex, mismatch.got_value);
    text += "  first differing bit " + std::to_string(mismatch.first_bit) +
            ", probable cause: " + std::string(to_string(mismatch.cause)) + "; " +
            std::to_string(verdict.mismatches) + " of " + std::to_string(verdict.checked) +
            " elements of this tensor differ\n";
    return text;
}

}  // namespace wagesim::check
