// NumPy's .npz: a zip archive of .npy members (NEP 1). Read through libzip; written here, because
// libzip keeps every member in memory until the archive is closed.
#include "wagesim/trace/npz.h"

#include <zip.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <memory>
#include <stdexcept>

#include "wagesim/error.h"

namespace wagesim::trace {

namespace {

constexpr std::string_view npy_magic{"\x93NUMPY", 6};
constexpr std::uint32_t zip32_limit = 0xFFFFFFFF;

[[noreturn]] void fail(const std::string& path, const std::string& what) {
    throw InputError(path + ": " + what);
}

// ---- reading ------------------------------------------------------------------------------

/// A .npy member: what its header says, and its bytes.
class NpyMember {
public:
    NpyMember(std::string where, std::string bytes)
        : where_(std::move(where)), bytes_(std::move(bytes)) {}

    NpyArray read() {
        read_header();
        NpyArray array;
        array.shape = shape_;
        array.dtype = dtype_;
        const std::size_t item = static_cast<std::size_t>(dtype_[1] - '0');
        const std::uint64_t have = bytes_.size() - at_;
        std::uint64_t elements = 1;
        for (const std::int64_t extent : shape_)
            if (extent == 0) elements = 0;
        if (elements != 0) {
            for (const std::int64_t extent : shape_) {
                if (elements > (std::uint64_t{1} << 56) / static_cast<std::uint64_t>(extent))
                    fail(at_, "expected a shape of less than 2^56 elements");
                elements *= static_cast<std::uint64_t>(extent);
            }
        }
        if (elements * item != have)
            fail(at_, "expected " + std::to_string(elements * item) + " bytes of data (" +
                          std::to_string(elements) + " elements of " + dtype_ + "), found " +
                          std::to_string(have));
        array.codes.resize(static_cast<std::size_t>(elements));
        decode(array.codes, item);
        if (is_fortran_ && shape_.size() > 1) to_row_major(array.codes);
        return array;
    }

private:
    [[noreturn]] void fail(std::size_t offset, const std::string& what) const {
        throw InputError(where_ + ": at byte " + std::to_string(offset) + ": " + what);
    }

    void read_header() {
        if (bytes_.compare(0, npy_magic.size(), npy_magic) != 0)
            fail(0, "expected the magic bytes 93 'NUMPY'");
        if (bytes_.size() < 10) fail(bytes_.size(), "the header is cut short");
        const unsigned version = byte(6);
        if (version < 1 || version > 3)
            fail(6, "expected .npy version 1, 2 or 3, found " + std::to_string(version));
        std::size_t length = byte(8) | byte(9) << 8;
        at_ = 10;
        if (version > 1) {
            if (bytes_.size() < 12) fail(bytes_.size(), "the header is cut short");
            length |= std::size_t{byte(10)} << 16 | std::size_t{byte(11)} << 24;
            at_ = 12;
        }
        if (length > bytes_.size() - at_)
            fail(at_, "expected a header of " + std::to_string(length) + " bytes, found only " +
                          std::to_string(bytes_.size() - at_));
        end_ = at_ + length;
        bool has_type = false, has_order = false, has_shape = false;
        expect('{');
        while (!accept('}')) {
            const std::string key = quoted();
            expect(':');
            if (key == "descr" && !has_type) {
                has_type = true;
                read_type();
            } else if (key == "fortran_order" && !has_order) {
                has_order = true;
                is_fortran_ = boolean();
            } else if (key == "shape" && !has_shape) {
                has_shape = true;
                read_shape();
            } else {
                fail(at_, "expected the keys descr, fortran_order and shape, once each, found '" +
                              key + "'");
            }
            if (!accept(',')) {
                expect('}');
                break;
            }
        }
        if (!has_type || !has_order || !has_shape)
            fail(at_, "expected the keys descr, fortran_order and shape in the header");
        spaces();
        if (at_ != end_) fail(at_, "expected nothing after the header's }");
    }

    void read_type() {
        spaces();
        const std::size_t start = at_;
        if (at_ < end_ && bytes_[at_] == '[')
            fail(start, "expected an array of integers, found a structured one");
        const std::string text = quoted();
        const auto is_one_of = [](char c, const char* set) {
            return c != '\0' && std::strchr(set, c) != nullptr;
        };
        if (text.size() < 3)
            fail(start, "expected an integer type such as '<i4', found '" + text + "'");
        if (is_one_of(text[1], "fceg"))
            fail(start, "holds floating-point numbers ('" + text +
                            "'), expected integer codes: value * 2^frac as an integer");
        dtype_ = text.substr(1);
        static const std::array<std::string_view, 9> known{"i1", "i2", "i4", "i8", "u1",
                                                           "u2", "u4", "u8", "b1"};
        if (std::find(known.begin(), known.end(), dtype_) == known.end())
            fail(start, "expected an integer or boolean type (i1 to u8, b1), found '" + text + "'");
        if (!is_one_of(text[0], "<|=>") || (text[0] == '>' && dtype_[1] != '1'))
            fail(start, "expected little-endian numbers ('<'), found '" + text + "'");
    }

    void read_shape() {
        expect('(');
        while (!accept(')')) {
            spaces();
            const std::size_t start = at_;
            std::int64_t extent = 0;
            while (at_ < end_ && bytes_[at_] >= '0' && bytes_[at_] <= '9') {
                if (extent > (std::numeric_limits<std::int64_t>::max() - 9) / 10)
                    fail(start, "expected an extent below 2^63");
                extent = extent * 10 + (bytes_[at_++] - '0');
            }
            if (at_ == start) fail(start, "expected a number in the shape");
            if (at_ < end_ && bytes_[at_] == 'L') ++at_;  // written by Python 2
            shape_.push_back(extent);
            if (shape_.size() > 32) fail(start, "expected at most 32 dimensions");
            if (!accept(',')) {
                expect(')');
                break;
            }
        }
    }

    unsigned byte(std::size_t at) const { return static_cast<unsigned char>(bytes_[at]); }

    void spaces() {
        while (at_ < end_ && (bytes_[at_] == ' ' || bytes_[at_] == '\n')) ++at_;
    }
    bool accept(char c) {
        spaces();
        if (at_ >= end_ || bytes_[at_] != c) return false;
        ++at_;
        return true;
    }
    void expect(char c) {
        if (!accept(c)) fail(at_, std::string("expected '") + c + "' in the header");
    }
    std::string quoted() {
        spaces();
        if (at_ >= end_ || (bytes_[at_] != '\'' && bytes_[at_] != '"'))
            fail(at_, "expected a quoted word in the header");
        const std::size_t close = bytes_.find(bytes_[at_], at_ + 1);
        if (close == std::string::npos || close >= end_)
            fail(at_, "expected the end of the quoted word");
        const std::string word = bytes_.substr(at_ + 1, close - at_ - 1);
        at_ = close + 1;
        return word;
    }
    bool boolean() {
        spaces();
        for (const bool value : {false, true}) {
            const std::string_view word = value ? "True" : "False";
            if (end_ - at_ >= word.size() && bytes_.compare(at_, word.size(), word) == 0) {
                at_ += word.size();
                return value;
            }
        }
        fail(at_, "expected True or False");
    }

    template <typename T>
    void decode_as(std::vector<std::int64_t>& codes) const {
        const char* from = bytes_.data() + at_;
        for (auto& code : codes) {
            T value;
            std::memcpy(&value, from, sizeof value);
            from += sizeof value;
            code = static_cast<std::int64_t>(value);
        }
    }

    void decode(std::vector<std::int64_t>& codes, std::size_t item) const {
        const bool is_signed = dtype_[0] == 'i';
        switch (item) {
            case 1:
                return is_signed ? decode_as<std::int8_t>(codes) : decode_as<std::uint8_t>(codes);
            case 2:
                return is_signed ? decode_as<std::int16_t>(codes) : decode_as<std::uint16_t>(codes);
            case 4:
                return is_signed ? decode_as<std::int32_t>(codes) : decode_as<std::uint32_t>(codes);
            default:
                return decode_as<std::int64_t>(codes);
        }
    }

    void to_row_major(std::vector<std::int64_t>& codes) const {
        std::vector<std::int64_t> rows(codes.size());
        std::vector<std::int64_t> index(shape_.size(), 0);
        for (const std::int64_t code : codes) {  // the first index runs fastest
            std::int64_t to = 0;
            for (std::size_t d = 0; d < shape_.size(); ++d) to = to * shape_[d] + index[d];
            rows[static_cast<std::size_t>(to)] = code;
            for (std::size_t d = 0; d < shape_.size(); ++d) {
                if (++index[d] < shape_[d]) break;
                index[d] = 0;
            }
        }
        codes.swap(rows);
    }

    std::string where_, bytes_;
    std::size_t at_ = 0, end_ = 0;
    std::string dtype_;
    bool is_fortran_ = false;
    std::vector<std::int64_t> shape_;
};

std::string text_of(zip_error_t& error) {
    std::string text = zip_error_strerror(&error);
    zip_error_fini(&error);
    return text;
}

struct CloseArchive {
    void operator()(zip_t* archive) const { zip_discard(archive); }
};
struct CloseMember {
    void operator()(zip_file_t* member) const { zip_fclose(member); }
};

std::string read_member(zip_t* archive, zip_uint64_t index, const std::string& path,
                        const std::string& name) {
    const std::unique_ptr<zip_file_t, CloseMember> member(zip_fopen_index(archive, index, 0));
    const std::string where = path + ": member " + name;
    if (member == nullptr) throw InputError(where + ": cannot open it: " + zip_strerror(archive));
    // Grown as data comes: the size that a damaged directory announces is not to be trusted.
    std::string bytes;
    std::vector<char> block(std::size_t{1} << 18);
    for (;;) {
        const zip_int64_t got = zip_fread(member.get(), block.data(), block.size());
        if (got < 0)
            throw InputError(where + ": at byte " + std::to_string(bytes.size()) +
                             " of the unpacked data: " + zip_file_strerror(member.get()));
        if (got == 0) break;
        bytes.append(block.data(), static_cast<std::size_t>(got));
    }
    zip_stat_t status;
    zip_stat_init(&status);
    if (zip_stat_index(archive, index, 0, &status) == 0 && (status.valid & ZIP_STAT_SIZE) != 0 &&
        status.size != bytes.size())
        throw InputError(where + ": expected " + std::to_string(status.size) +
                         " bytes of unpacked data, found " + std::to_string(bytes.size()));
    return bytes;
}

}  // namespace

std::map<std::string, NpyArray> read_npz(const std::string& path,
                                         const std::function<bool(const std::string&)>& wanted) {
    int code = 0;
    const std::unique_ptr<zip_t, CloseArchive> archive(
        zip_open(path.c_str(), ZIP_RDONLY | ZIP_CHECKCONS, &code));
    if (archive == nullptr) {
        zip_error_t error;
        zip_error_init_with_code(&error, code);
        fail(path, "expected an .npz file (a zip archive): " + text_of(error));
    }
    std::map<std::string, NpyArray> arrays;
    const zip_int64_t members = zip_get_num_entries(archive.get(), 0);
    for (zip_int64_t i = 0; i < members; ++i) {
        const auto index = static_cast<zip_uint64_t>(i);
        const char* raw_name = zip_get_name(archive.get(), index, 0);
        const std::string name = raw_name == nullptr ? "" : raw_name;
        if (name.size() < 5 || name.compare(name.size() - 4, 4, ".npy") != 0)
            fail(path, "member \"" + name + "\": expected a name that ends in .npy");
        const std::string key = name.substr(0, name.size() - 4);
        if (wanted && !wanted(key)) continue;
        NpyMember member(path + ": member " + name, read_member(archive.get(), index, path, name));
        if (!arrays.emplace(key, member.read()).second)
            fail(path, "member " + name + ": stands in the archive twice");
    }
    return arrays;
}

// ---- writing ------------------------------------------------------------------------------

namespace {

/// Little-endian fields of zip's headers.
class Record {
public:
    Record& u16(std::uint64_t value) { return put(value, 2); }
    Record& u32(std::uint64_t value) { return put(value, 4); }
    Record& u64(std::uint64_t value) { return put(value, 8); }
    Record& text(std::string_view value) {
        bytes_ += value;
        return *this;
    }
    const std::string& bytes() const { return bytes_; }

private:
    Record& put(std::uint64_t value, int count) {
        for (int i = 0; i < count; ++i) bytes_ += static_cast<char>(value >> (8 * i) & 0xFF);
        return *this;
    }
    std::string bytes_;
};

constexpr std::uint64_t dos_time = 0;           // 00:00:00
constexpr std::uint64_t dos_date = 1 << 5 | 1;  // 1980-01-01: the same arrays, the same bytes
constexpr std::uint64_t zip64_version = 45;
constexpr std::uint64_t deflated = 8;

/// Deflates into a file, and keeps the sums that zip's headers want.
class Deflater {
public:
    Deflater(AtomicFile& file, int level) : file_(file), out_(std::size_t{1} << 16) {
        if (deflateInit2(&stream_, level, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK)
            throw HostError(file.path() + ": cannot start the compression: out of memory");
    }
    ~Deflater() { deflateEnd(&stream_); }
    Deflater(const Deflater&) = delete;
    Deflater& operator=(const Deflater&) = delete;

    void write(const unsigned char* data, std::size_t count) {
        crc = static_cast<std::uint32_t>(crc32_z(crc, data, count));
        size += count;
        run(data, count, Z_NO_FLUSH);
    }
    void finish() { run(nullptr, 0, Z_FINISH); }

    std::uint32_t crc = 0;
    std::uint64_t size = 0, compressed = 0;

private:
    void run(const unsigned char* data, std::size_t count, int flush) {
        stream_.next_in = const_cast<unsigned char*>(data);  // zlib's interface; it only reads
        stream_.avail_in = static_cast<unsigned>(count);
        do {
            stream_.next_out = out_.data();
            stream_.avail_out = static_cast<unsigned>(out_.size());
            deflate(&stream_, flush);
            const std::size_t made = out_.size() - stream_.avail_out;
            file_.write(out_.data(), made);
            compressed += made;
        } while (stream_.avail_out == 0);
    }

    AtomicFile& file_;
    z_stream stream_{};
    std::vector<unsigned char> out_;
};

std::size_t bytes_for(int bits) { return bits <= 8 ? 1 : bits <= 16 ? 2 : bits <= 32 ? 4 : 8; }

bool fits(std::int64_t code, std::size_t item, bool is_signed) {
    if (item == 8) return true;
    const int bits = static_cast<int>(8 * item);
    const std::int64_t low = is_signed ? -(std::int64_t{1} << (bits - 1)) : 0;
    const std::int64_t high = (std::int64_t{1} << (is_signed ? bits - 1 : bits)) - 1;
    return code >= low && code <= high;
}

std::string npy_header(const std::vector<std::int64_t>& shape, std::size_t item, bool is_signed) {
    std::string text = "{'descr': '";
    text += item == 1 ? '|' : '<';
    text += is_signed ? 'i' : 'u';
    text += std::to_string(item) + "', 'fortran_order': False, 'shape': (";
    for (std::size_t d = 0; d < shape.size(); ++d)
        text += (d == 0 ? "" : " ") + std::to_string(shape[d]) +
                (shape.size() == 1 || d + 1 < shape.size() ? "," : "");
    text += "), }";
    // NEP 1: the data starts at a multiple of 64, after a newline.
    text.append(63 - (npy_magic.size() + 4 + text.size()) % 64, ' ');
    text += '\n';
    return Record().text(npy_magic).text({"\x01\x00", 2}).u16(text.size()).text(text).bytes();
}

}  // namespace

NpzWriter::NpzWriter(const std::string& path, int level) : file_(path), level_(level) {
    if (level < 0 || level > 9) throw std::logic_error("npz: compression level beyond 0 to 9");
}

void NpzWriter::write_local_header(const Entry& entry) {
    // The zip64 field is always there: sizes are known only after the data is written.
    file_.write(Record()
                    .u32(0x04034B50)
                    .u16(zip64_version)
                    .u16(0)
                    .u16(deflated)
                    .u16(dos_time)
                    .u16(dos_date)
                    .u32(entry.crc)
                    .u32(zip32_limit)
                    .u32(zip32_limit)
                    .u16(entry.name.size())
                    .u16(20)
                    .text(entry.name)
                    .u16(1)
                    .u16(16)
                    .u64(entry.size)
                    .u64(entry.compressed)
                    .bytes());
}

void NpzWriter::add(const std::string& name, const std::vector<std::int64_t>& shape,
                    const std::vector<std::int64_t>& codes, const Format& format) {
    if (closed_) throw std::logic_error("npz: " + name + " added after close()");
    if (format.bits < 1 || format.bits > 64)
        throw std::logic_error("npz: " + name + ": a format of " + std::to_string(format.bits) +
                               " bits fits no integer type");
    std::uint64_t elements = 1;
    for (const std::int64_t extent : shape) elements *= static_cast<std::uint64_t>(extent);
    if (elements != codes.size())
        throw std::logic_error("npz: " + name + ": the shape has " + std::to_string(elements) +
                               " elements, the tensor " + std::to_string(codes.size()));
    for (const Entry& entry : entries_)
        if (entry.name == name + ".npy") throw std::logic_error("npz: " + name + " added twice");

    Entry entry;
    entry.name = name + ".npy";
    entry.offset = file_.size();
    write_local_header(entry);
    const std::size_t item = bytes_for(format.bits);
    Deflater data(file_, level_);
    const std::string header = npy_header(shape, item, format.is_signed);
    data.write(reinterpret_cast<const unsigned char*>(header.data()), header.size());

    constexpr std::size_t block_elements = 8192;
    std::vector<unsigned char> block(block_elements * item);
    for (std::size_t start = 0; start < codes.size(); start += block_elements) {
        const std::size_t count = std::min(block_elements, codes.size() - start);
        unsigned char* to = block.data();
        for (std::size_t i = 0; i < count; ++i) {
            const std::int64_t code = codes[start + i];
            if (!fits(code, item, format.is_signed))
                throw std::logic_error("npz: " + name + ": code " + std::to_string(code) +
                                       " does not fit its format of " +
                                       std::to_string(format.bits) + " bits");
            for (std::size_t b = 0; b < item; ++b)
                *to++ = static_cast<unsigned char>(static_cast<std::uint64_t>(code) >> (8 * b));
        }
        data.write(block.data(), count * item);
    }
    data.finish();
    entry.crc = data.crc;
    entry.size = data.size;
    entry.compressed = data.compressed;
    file_.overwrite(entry.offset + 14, Record().u32(entry.crc).bytes().data(), 4);
    file_.overwrite(entry.offset + 30 + entry.name.size() + 4,
                    Record().u64(entry.size).u64(entry.compressed).bytes().data(), 16);
    entries_.push_back(entry);
}

void NpzWriter::add(const std::string& name, const Tensor& tensor) {
    const Shape& s = tensor.shape;
    add(name, {s.n, s.c, s.h, s.w}, tensor.codes, tensor.format);
}

void NpzWriter::close() {
    if (closed_) return;
    const std::uint64_t start = file_.size();
    for (const Entry& entry : entries_)
        file_.write(Record()
                        .u32(0x02014B50)
                        .u16(zip64_version)
                        .u16(zip64_version)
                        .u16(0)
                        .u16(deflated)
                        .u16(dos_time)
                        .u16(dos_date)
                        .u32(entry.crc)
                        .u32(zip32_limit)
                        .u32(zip32_limit)
                        .u16(entry.name.size())
                        .u16(28)
                        .u16(0)
                        .u16(0)
                        .u16(0)
                        .u32(0)
                        .u32(zip32_limit)
                        .text(entry.name)
                        .u16(1)
                        .u16(24)
                        .u64(entry.size)
                        .u64(entry.compressed)
                        .u64(entry.offset)
                        .bytes());
    const std::uint64_t end = file_.size(), size = end - start;
    file_.write(Record()
                    .u32(0x06064B50)
                    .u64(44)
                    .u16(zip64_version)
                    .u16(zip64_version)
                    .u32(0)
                    .u32(0)
                    .u64(entries_.size())
                    .u64(entries_.size())
                    .u64(size)
                    .u64(start)
                    .bytes());
    file_.write(Record().u32(0x07064B50).u32(0).u64(end).u32(1).bytes());
    const auto entries16 = std::min<std::uint64_t>(entries_.size(), 0xFFFF);
    file_.write(Record()
                    .u32(0x06054B50)
                    .u16(0)
                    .u16(0)
                    .u16(entries16)
                    .u16(entries16)
                    .u32(std::min<std::uint64_t>(size, zip32_limit))
                    .u32(std::min<std::uint64_t>(start, zip32_limit))
                    .u16(0)
                    .bytes());
    file_.commit();
    closed_ = true;
}

}  // namespace wagesim::trace
