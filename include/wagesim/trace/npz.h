// Tensors of integer codes in NumPy's .npz files.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "wagesim/format/format.h"
#include "wagesim/tensor/tensor.h"
#include "wagesim/trace/files.h"

namespace wagesim::trace {

struct NpyArray {
    std::vector<std::int64_t> shape;
    std::vector<std::int64_t> codes;  ///< row-major; of u8 the same 64 bits
    std::string dtype;                ///< i1 i2 i4 i8 u1 u2 u4 u8 b1
};

/// Arrays by name (without ".npy"); with `wanted`, only those it accepts.
/// Little-endian integers and booleans; anything else, and every kind of damage, throws InputError
/// naming the file, the member, and the byte offset or what was expected.
std::map<std::string, NpyArray> read_npz(
    const std::string& path, const std::function<bool(const std::string&)>& wanted = {});

/// Writes an .npz that appears at `path` on close(). The same arrays give the same bytes.
/// Throws HostError where the disk fails; then, and where it is not closed, no file is left.
class NpzWriter {
public:
    /// `level`: zlib's, 0 (stored size) to 9 (smallest).
    explicit NpzWriter(const std::string& path, int level = 1);

    /// Stored in the smallest integer type that holds the format's bits (at most 64).
    void add(const std::string& name, const std::vector<std::int64_t>& shape,
             const std::vector<std::int64_t>& codes, const Format& format);
    /// Shape (n, c, h, w).
    void add(const std::string& name, const Tensor& tensor);
    void close();

private:
    struct Entry {
        std::string name;
        std::uint32_t crc = 0;
        std::uint64_t compressed = 0, size = 0, offset = 0;
    };
    void write_local_header(const Entry& entry);

    AtomicFile file_;
    int level_;
    std::vector<Entry> entries_;
    bool closed_ = false;
};

}  // namespace wagesim::trace
