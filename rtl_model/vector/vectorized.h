// Loops over many codes, on the widest vector registers that the host has.
#pragma once

namespace wagesim::rtl {

#if defined(__x86_64__) && defined(__GNUC__)
/// `flatten` brings the loop and all that it calls in here, where the compiler may use AVX2.
template <class Loop>
__attribute__((target("avx2"), flatten)) auto with_avx2(Loop loop) {
    return loop();
}
#endif

/// loop(), compiled for the host. A loop that captures by value keeps what it captures in
/// registers; what it makes, it returns.
template <class Loop>
auto vectorized(Loop loop) {
#if defined(__x86_64__) && defined(__GNUC__)
    if (__builtin_cpu_supports("avx2") != 0) return with_avx2(loop);
#endif
    return loop();
}

}  // namespace wagesim::rtl
