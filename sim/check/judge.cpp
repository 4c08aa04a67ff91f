// See judge.h.
#include "check/judge.h"

#include <algorithm>
#include <cmath>
#include <cstring>
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

/// Integers in doubles as codes; false where one is not an integer or is 2^51 or larger. Adding
/// 1.5 * 2^52 leaves an integer's two's complement in the low bits of the double.
bool to_codes(const double* values, double scale, std::size_t count, std::int64_t* codes) {
    constexpr double shift = 0x1.8p52;
    std::int64_t shift_bits = 0;
    std::memcpy(&shift_bits, &shift, sizeof shift);
    std::int64_t wrong = 0;
    for (std::size_t i = 0; i < count; ++i) {
        const double value = values[i] * scale, shifted = value + shift;
        std::int64_t bits = 0;
        std::memcpy(&bits, &shifted, sizeof bits);
        codes[i] = bits - shift_bits;
        wrong += shifted - shift == value && std::abs(value) < 0x1p51 ? 0 : 1;
    }
    return wrong == 0;
}

Wide largest(const Format& format) {
    return (static_cast<Wide>(1) << (format.is_signed ? format.bits - 1 : format.bits)) - 1;
}

bool is_layer_output(Qp qp) {
    return qp == Qp::y || qp == Qp::z || qp == Qp::x2 || qp == Qp::A || qp == Qp::stream;
}

/// Whose codes have an exponent (docs/training.md, numbers).
bool has_exponent(Qp qp) {
    switch (qp) {
        case Qp::e0:
        case Qp::E1:
        case Qp::E1m:
        case Qp::g_beta:
        case Qp::g_gamma:
        case Qp::m1:
        case Qp::m2:
        case Qp::bn_err:
        case Qp::pool_err:
        case Qp::fork:
        case Qp::E2:
        case Qp::dx:
        case Qp::gW:
            return true;
        default:
            return false;
    }
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

Judge::Judge(const Network& network, golden::Model* golden) : network_(network), model_(golden) {}

std::string Judge::name_of(const QpId& qp) const {
    return network_.name_of(qp.layer) + "." + std::string(to_string(qp.qp));
}

void Judge::begin(const std::vector<ExpectedTensor>& expected) {
    records_.clear();
    for (const auto& [qp, shape] : expected) {
        const Key key{qp.layer, qp.qp};
        const auto [known, inserted] = verdict_index_.try_emplace(key, verdicts_.size());
        if (inserted) {
            TensorVerdict verdict;
            verdict.qp = qp;
            verdicts_.push_back(verdict);
        }
        verdicts_[known->second].shape = shape;
        Record& fresh = records_[key];
        fresh.verdict = known->second;
        fresh.shape = shape;
    }
}

void Judge::begin_batch(const std::vector<ExpectedTensor>& expected) {
    is_step_ = false;
    is_judging_ = model_ != nullptr;
    model_layers_ = -2;
    points_.clear();
    begin(expected);
}

void Judge::begin_step(const std::vector<ExpectedTensor>& expected, golden::Points points) {
    is_step_ = is_judging_ = true;
    points_ = std::move(points);
    begin(expected);
}

const Judge::Record* Judge::find(const QpId& qp) const {
    const auto found = records_.find({qp.layer, qp.qp});
    return found == records_.end() ? nullptr : &found->second;
}

Judge::Record& Judge::record(const QpId& qp) {
    const auto found = records_.find({qp.layer, qp.qp});
    if (found == records_.end())
        throw std::logic_error("the machine shows " + name_of(qp) +
                               ", a quantisation point that this run does not have");
    return found->second;
}

void Judge::prepare(Record& record, const Format& format) {
    record.is_prepared = true;
    record.format = format;
    TensorVerdict& verdict = verdicts_[record.verdict];
    verdict.format = format;
    const auto size = static_cast<std::size_t>(record.shape.size());
    record.seen.assign(size, 0);
    if (!is_judging_) {
        record.is_let_go = !collects_;
        if (collects_) record.got.assign(size, 0);
        return;
    }
    if (!is_step_)
        while (model_layers_ < verdict.qp.layer) {
            ++model_layers_;
            for (auto& [qp, tensor] : model_->layer(model_layers_))
                points_[{model_layers_, qp}] = tensor;
        }
    // Taken: a batch's tensors are not kept longer than needed.
    if (auto made = points_.extract({verdict.qp.layer, verdict.qp.qp}); !made.empty())
        record.golden = std::move(made.mapped());
    const std::size_t made = record.golden ? record.golden->values.size() : 0;
    if (made != size) {
        findings_.push_back({name_of(verdict.qp), "the golden model has " + std::to_string(made) +
                                                      " elements, expected " +
                                                      std::to_string(size)});
        record.golden = std::make_shared<golden::Tensor>();
        record.expected =
            std::make_shared<const golden::CompactCodes>(golden::Buffer<std::int64_t>(size, 0));
        record.between.assign(size, true);
        return;
    }
    const golden::Tensor& golden = *record.golden;
    convert(record);
    check_format(record, format);
    if (!golden.certified) {
        verdict.certified = false;
        verdict.why_not = golden.why_not;
    }
    verdict.differs_from_wide += golden.differs_from_wide;
    record.golden_counts = {golden.saturations, golden.wraps, golden.underflows,
                            golden.align_rounded};
}

/// Golden values to codes of the hardware's unit.
void Judge::convert(Record& record) {
    const golden::Tensor& golden = *record.golden;
    const std::size_t size = golden.values.size();
    const int unit_log2 = record.format.exponent - record.format.frac;
    const double scale = std::ldexp(1.0, -unit_log2);
    if (record.format.bits <= 64 && golden.exact.empty() && golden.values.codes() &&
        golden.values.unit_log2() == unit_log2) {
        record.expected = golden.values.codes();
        return;
    }
    const std::vector<double> values = golden.values.reals();
    golden::Buffer<std::int64_t> codes(size);
    if (record.format.bits <= 64 && golden.exact.empty() &&
        to_codes(values.data(), scale, size, codes.data())) {
        record.expected = std::make_shared<const golden::CompactCodes>(std::move(codes));
        return;
    }
    // Codes beyond the doubles are at the golden model's own unit.
    const bool is_exact = !golden.exact.empty() && golden.exponent - golden.frac == unit_log2;
    const bool is_wide = record.format.bits > 64;
    const double limit = is_wide ? 1.7e38 : 9.2e18;  // a little under the largest
    if (is_wide) record.wide.assign(size, 0);
    for (std::size_t i = 0; i < size; ++i) {
        const double scaled = values[i] * scale;
        Wide code = 0;
        bool on_grid = true;
        if (is_exact) {
            code = golden.exact[i];
        } else {
            on_grid = std::abs(scaled) < limit;
            if (on_grid) code = static_cast<Wide>(std::floor(scaled));
            on_grid = on_grid && static_cast<double>(code) == scaled;
        }
        if (is_wide) record.wide[i] = code;
        codes[i] = static_cast<std::int64_t>(code);
        if (on_grid) continue;
        record.between.resize(size);
        record.between[i] = true;
    }
    record.expected = std::make_shared<const golden::CompactCodes>(std::move(codes));
}

void Judge::check_format(const Record& record, const Format& format) {
    const golden::Tensor& golden = *record.golden;
    const QpId& qp = verdicts_[record.verdict].qp;
    // A mantissa with an exponent per channel, shown as one integer: no register of that width.
    if (qp.qp == Qp::inv || qp.qp == Qp::fold_a) return;
    const auto differ = [&](const std::string& hardware, const std::string& model) {
        findings_.push_back(
            {name_of(qp), "the hardware's " + hardware + ", the golden model's " + model});
    };
    const auto width = [](int bits, bool is_signed) {
        return std::to_string(bits) + (is_signed ? " bits signed" : " bits unsigned");
    };
    const auto unit = [](int frac, int exponent) {
        return "frac " + std::to_string(frac) + " and exponent " + std::to_string(exponent);
    };
    if (golden.bits != 0 && (golden.bits != format.bits || golden.is_signed != format.is_signed))
        differ("register has " + width(format.bits, format.is_signed),
               width(golden.bits, golden.is_signed));
    if (is_step_ && (golden.frac != format.frac || golden.exponent != format.exponent))
        differ("codes have " + unit(format.frac, format.exponent),
               unit(golden.frac, golden.exponent));
}

std::array<std::int64_t, 4> Judge::coordinates(const Record& record, std::int64_t index) const {
    const Shape& shape = record.shape;
    const std::int64_t c = index % shape.c, w = index / shape.c % shape.w;
    const std::int64_t h = index / (shape.c * shape.w) % shape.h;
    return {index / (shape.c * shape.w * shape.h), c, h, w};
}

Cause Judge::classify(const Record& record, std::int64_t index, Wide expected, Wide got) const {
    const Format& format = record.format;
    const Wide difference = got - expected;
    const Wide top = largest(format), bottom = format.is_signed ? -top : Wide{0};
    const auto at_bound = [&](Wide code) { return code >= top || code <= bottom; };
    if (format.bits < 120 && difference % (static_cast<Wide>(1) << format.bits) == 0)
        return Cause::wrap;
    const bool bounded = at_bound(expected) != at_bound(got) && (expected != 0 && got != 0);
    if (bounded && (record.golden->saturations > 0 || record.counts.saturations > 0))
        return Cause::saturation;
    if ((record.golden->wraps > 0 || record.counts.wraps > 0) &&
        (difference > top || difference < -top))
        return Cause::wrap;
    if (difference == 1 || difference == -1) {
        const auto& ties = record.golden->ties;
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
    const bool on_grid = record.between.empty() || !record.between[i];
    const Wide expected = record.wide.empty() ? Wide{(*record.expected)[i]} : record.wide[i];
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
    mismatch.expected_value = record.golden->values.size() > i ? record.golden->values[i] : 0;
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
    if (!here.is_prepared) prepare(here, tap.format);
    if (tap.format != here.format && !here.has_two_formats) {
        here.has_two_formats = true;
        findings_.push_back({name_of(tap.qp), "the hardware's tiles differ in their format"});
    }
    here.counts.saturations += tap.saturations;
    here.counts.wraps += tap.wraps;
    here.counts.underflows += tap.underflows;
    here.counts.align_rounded += tap.align_rounded;

    const Shape& shape = here.shape;
    const Box& box = tap.box;
    const auto outside = [&] {
        return std::logic_error("the machine shows an element outside " + name_of(tap.qp));
    };
    if (tap.first >= 0) {
        if (tap.first + box.c > shape.size()) throw outside();
        take(here, tap.first, box.c, tap, 0);
        return;
    }
    if (box.n0 < 0 || box.n0 + box.n > shape.n || box.c0 < 0 || box.c0 + box.c > shape.c ||
        box.h0 < 0 || box.h0 + (box.h - 1) * box.step_h >= shape.h || box.w0 < 0 ||
        box.w0 + (box.w - 1) * box.step_w >= shape.w)
        throw outside();
    // The longest runs that are contiguous in memory order.
    const bool whole_pixels = box.c == shape.c && (box.step_w == 1 || box.w == 1);
    const bool whole_rows = whole_pixels && box.w == shape.w && (box.step_h == 1 || box.h == 1);
    const bool whole_images = whole_rows && box.h == shape.h;
    const std::int32_t n_runs = whole_images ? 1 : box.n;
    const std::int32_t h_runs = whole_rows ? 1 : box.h;
    const std::int32_t w_runs = whole_pixels ? 1 : box.w;
    const std::int64_t count = box.size() / (std::int64_t{n_runs} * h_runs * w_runs);
    std::int64_t offset = 0;
    for (std::int32_t n = 0; n < n_runs; ++n)
        for (std::int32_t h = 0; h < h_runs; ++h)
            for (std::int32_t w = 0; w < w_runs; ++w, offset += count)
                take(here,
                     shape.memory_index(box.n0 + n, box.c0, box.h0 + h * box.step_h,
                                        box.w0 + w * box.step_w),
                     count, tap, offset);
}

/// Elements [first, first + count) in memory order are the tap's codes from `offset` on.
void Judge::take(Record& record, std::int64_t first, std::int64_t count, const Tap& tap,
                 std::int64_t offset) {
    if (record.is_complete()) {
        record.duplicates += count;
        return;
    }
    const auto from = static_cast<std::size_t>(first), size = static_cast<std::size_t>(count);
    std::uint8_t* seen = record.seen.data() + from;
    const bool is_first_time = std::memchr(seen, 1, size) == nullptr;
    if (is_first_time && !is_judging_ && tap.wide == nullptr) {
        std::memset(seen, 1, size);
        record.delivered += count;
        if (!record.got.empty()) std::copy_n(tap.codes + offset, count, record.got.begin() + first);
        if (record.is_complete()) complete(record);
        return;
    }
    if (is_first_time && is_judging_ && tap.wide == nullptr && record.wide.empty() &&
        record.between.empty() && record.got.empty() &&
        record.expected->equal(from, size, tap.codes + offset)) {
        std::memset(seen, 1, size);
        record.delivered += count;
        verdicts_[record.verdict].checked += count;
        if (record.is_complete()) complete(record);
        return;
    }
    for (std::int64_t k = 0; k < count; ++k) {
        if (seen[k] != 0) {
            ++record.duplicates;
            continue;
        }
        seen[k] = 1;
        ++record.delivered;
        const Wide got = tap.wide != nullptr ? tap.wide[offset + k] : Wide{tap.codes[offset + k]};
        const std::size_t i = from + static_cast<std::size_t>(k);
        if (!record.got.empty()) record.got[i] = static_cast<std::int64_t>(got);
        if (!is_judging_) continue;
        ++verdicts_[record.verdict].checked;
        const Wide expected = record.wide.empty() ? Wide{(*record.expected)[i]} : record.wide[i];
        if (expected == got && (record.between.empty() || !record.between[i])) continue;
        if (record.got.empty()) {
            record.got = record.expected->all();
            record.got[i] = static_cast<std::int64_t>(got);
        }
        note_mismatch(record, first + k, got, tap);
    }
    if (record.is_complete()) complete(record);
}

void Judge::complete(Record& record) {
    record.seen = std::vector<std::uint8_t>();
    if (!stays_(verdicts_[record.verdict])) record.let_go();
}

void Judge::Record::let_go() {
    is_let_go = true;
    golden.reset();
    expected.reset();
    wide = std::vector<Wide>();
    between = std::vector<bool>();
    got = std::vector<std::int64_t>();
}

void Judge::check_stored(const QpId& qp, const std::vector<std::int64_t>& codes) {
    const Record& here = record(qp);
    const Tensor shown = tensor(qp).value();
    for (std::size_t i = 0; i < codes.size(); ++i) {
        const std::int64_t made = shown.codes[i];
        if (made == codes[i]) continue;
        const Shape& shape = here.shape;
        const auto index = static_cast<std::int64_t>(i);
        const std::int64_t w = index % shape.w, h = index / shape.w % shape.h;
        const std::int64_t c = index / (shape.w * shape.h) % shape.c;
        const std::int64_t n = index / (shape.w * shape.h * shape.c);
        findings_.push_back({name_of(qp), "the Dram holds " + std::to_string(codes[i]) + " at [" +
                                              std::to_string(n) + "," + std::to_string(c) + "," +
                                              std::to_string(h) + "," + std::to_string(w) +
                                              "], the machine had computed " +
                                              std::to_string(made)});
        return;
    }
}

void Judge::finish() {
    for (auto& [key, here] : records_) {
        TensorVerdict& verdict = verdicts_[here.verdict];
        const std::string name = name_of(verdict.qp);
        const std::int64_t size = here.shape.size();
        if (here.delivered != size)
            findings_.push_back({name, std::to_string(size - here.delivered) + " of " +
                                           std::to_string(size) + " elements were never made"});
        if (here.duplicates != 0)
            findings_.push_back(
                {name, std::to_string(here.duplicates) + " elements were made more than once"});
        verdict.saturations += here.counts.saturations;
        verdict.wraps += here.counts.wraps;
        verdict.underflows += here.counts.underflows;
        verdict.align_rounded += here.counts.align_rounded;
        if (is_step_ && here.is_prepared && has_exponent(verdict.qp.qp)) {
            const int exponent = here.format.exponent;
            if (!verdict.exponents) verdict.exponents.emplace(exponent, exponent);
            verdict.exponents->first = std::min(verdict.exponents->first, exponent);
            verdict.exponents->second = std::max(verdict.exponents->second, exponent);
        }
        if (!is_judging_ || !here.is_prepared) continue;
        const auto differ = [&](const char* what, std::int64_t hardware, std::int64_t golden) {
            if (hardware != golden)
                findings_.push_back({name, "the hardware counts " + std::to_string(hardware) + " " +
                                               what + ", the golden model " +
                                               std::to_string(golden)});
        };
        differ("saturations", here.counts.saturations, here.golden_counts.saturations);
        differ("wraps", here.counts.wraps, here.golden_counts.wraps);
        differ("underflows", here.counts.underflows, here.golden_counts.underflows);
        differ("aligned elements that it rounded", here.counts.align_rounded,
               here.golden_counts.align_rounded);
        if (!is_step_ && verdict.qp.layer >= 0 && is_layer_output(verdict.qp.qp))
            compare_with_unquantized(here);
    }
    points_.clear();
}

void Judge::compare_with_unquantized(const Record& record) {
    TensorVerdict& verdict = verdicts_[record.verdict];
    const std::vector<double> reference = model_->unquantized(verdict.qp.layer);
    const std::vector<std::int64_t> codes = shown(record);
    if (reference.size() != codes.size()) return;
    double signal = 0, noise = 0, largest_error = 0;
    const double unit = std::ldexp(1.0, verdict.format.exponent - verdict.format.frac);
    for (std::size_t i = 0; i < reference.size(); ++i) {
        const bool is_made = record.seen.empty() || record.seen[i] != 0;
        const double made = is_made ? static_cast<double>(codes[i]) * unit : 0.0;
        const double error = made - reference[i];
        signal += reference[i] * reference[i];
        noise += error * error;
        largest_error = std::max(largest_error, std::abs(error));
    }
    verdict.largest_error = largest_error;
    if (noise > 0 && signal > 0) verdict.sqnr_db = 10 * std::log10(signal / noise);
}

std::vector<std::int64_t> Judge::shown(const Record& record) {
    return record.got.empty() && record.expected ? record.expected->all() : record.got;
}

std::optional<Tensor> Judge::tensor(const QpId& qp) const {
    const Record* here = find(qp);
    if (here == nullptr || here->is_let_go) return std::nullopt;
    Tensor tensor{here->shape, here->format, {}};
    std::vector<std::int64_t> codes = shown(*here);
    codes.resize(static_cast<std::size_t>(here->shape.size()));
    for (std::size_t i = 0; i < here->seen.size(); ++i)
        if (here->seen[i] == 0) codes[i] = 0;
    tensor.codes = to_file_order(here->shape, codes);
    return tensor;
}

std::optional<Tensor> Judge::expected(const QpId& qp) const {
    const Record* here = find(qp);
    if (here == nullptr || !is_judging_ || !here->is_prepared || here->is_let_go)
        return std::nullopt;
    return Tensor{here->shape, here->format, to_file_order(here->shape, here->expected->all())};
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
