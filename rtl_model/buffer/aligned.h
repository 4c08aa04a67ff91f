// Vectors that begin where one of the host's cache lines does.
#pragma once

#include <cstddef>
#include <new>
#include <vector>

namespace wagesim::rtl {

template <class T>
struct AlignedAllocator {
    using value_type = T;
    static constexpr std::align_val_t line{64};

    AlignedAllocator() = default;
    template <class U>
    AlignedAllocator(const AlignedAllocator<U>&) {}

    T* allocate(std::size_t count) {
        return static_cast<T*>(::operator new(count * sizeof(T), line));
    }
    void deallocate(T* at, std::size_t) { ::operator delete(at, line); }

    bool operator==(const AlignedAllocator&) const { return true; }
    bool operator!=(const AlignedAllocator&) const { return false; }
};

/// For what kernels load and store by whole lines: half as much again is their time where each
/// load meets two.
template <class T>
using AlignedVector = std::vector<T, AlignedAllocator<T>>;

}  // namespace wagesim::rtl
