// Fitting a code into a register: symmetric or full saturation, or wrapping.
#pragma once

#include <cassert>
#include <cstdint>

#include "wagesim/arith/wide.h"
#include "wagesim/format/format.h"

namespace wagesim::arith {

/// `clipped`: the value changed on its way into the register.
template <class T>
struct Clipped {
    T value;
    bool clipped;
};

/// The largest code of a format. Widths up to 127 bits (unsigned 126).
constexpr Wide max_code(const Format& format, Overflow /*overflow*/) {
    assert(format.bits >= 1 && format.bits <= (format.is_signed ? 127 : 126));
    return (Wide{1} << (format.bits - (format.is_signed ? 1 : 0))) - 1;
}

/// The smallest code of a format: `saturate` leaves out the most negative one.
constexpr Wide min_code(const Format& format, Overflow overflow) {
    if (!format.is_signed) return 0;
    return overflow == Overflow::saturate ? -max_code(format, overflow)
                                          : -max_code(format, overflow) - 1;
}

/// The low `bits` bits of a code, read as signed or unsigned; for registers of up to 127 bits.
constexpr Wide wrap_wide(Wide code, int bits, bool is_signed) {
    assert(bits >= 1 && bits <= 127);
    const auto raised = static_cast<UnsignedWide>(code) << (128 - bits);
    return is_signed ? static_cast<Wide>(raised) >> (128 - bits)
                     : static_cast<Wide>(raised >> (128 - bits));
}

/// The same for registers of up to 64 bits (unsigned 63).
constexpr std::int64_t wrap(std::int64_t code, int bits, bool is_signed) {
    assert(bits >= 1 && bits <= (is_signed ? 64 : 63));
    const auto high_up = static_cast<std::uint64_t>(code) << (64 - bits);
    return is_signed ? static_cast<std::int64_t>(high_up) >> (64 - bits)
                     : static_cast<std::int64_t>(high_up >> (64 - bits));
}
constexpr std::int64_t wrap(Wide code, int bits, bool is_signed) {
    return wrap(static_cast<std::int64_t>(code), bits, is_signed);  // the low bits are all it needs
}
template <class T, class = EnableIfNarrow<T>>
constexpr std::int64_t wrap(T code, int bits, bool is_signed) {
    return wrap(std::int64_t{code}, bits, is_signed);
}

/// Puts a code into a register of the format's width, by the rule of `overflow`.
constexpr Clipped<Wide> fit(Wide code, const Format& format, Overflow overflow) {
    if (overflow == Overflow::wrap) {
        const Wide wrapped = wrap_wide(code, format.bits, format.is_signed);
        return {wrapped, wrapped != code};
    }
    const Wide highest = max_code(format, overflow);
    const Wide lowest = min_code(format, overflow);
    if (code > highest) return {highest, true};
    if (code < lowest) return {lowest, true};
    return {code, false};
}
constexpr Clipped<std::int64_t> fit(std::int64_t code, const Format& format, Overflow overflow) {
    if (format.bits >= 63) {  // limits that need more than 64 bits
        const Clipped<Wide> wide = fit(Wide{code}, format, overflow);
        assert(wide.value == static_cast<std::int64_t>(wide.value));
        return {static_cast<std::int64_t>(wide.value), wide.clipped};
    }
    std::int64_t value = code;
    if (overflow == Overflow::wrap) {
        value = wrap(code, format.bits, format.is_signed);
    } else {
        const std::int64_t top =
            (std::int64_t{1} << (format.bits - (format.is_signed ? 1 : 0))) - 1;
        const std::int64_t bottom =
            !format.is_signed ? 0 : (overflow == Overflow::full ? -top - 1 : -top);
        value = code > top ? top : (code < bottom ? bottom : code);
    }
    return {value, value != code};
}
template <class T, class = EnableIfNarrow<T>>
constexpr Clipped<std::int64_t> fit(T code, const Format& format, Overflow overflow) {
    return fit(std::int64_t{code}, format, overflow);
}

}  // namespace wagesim::arith
