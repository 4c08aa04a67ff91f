// Reader of IDX files: a big-endian header of 4-byte words, then one byte per pixel or label.
#include "wagesim/trace/idx.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <limits>

#include "wagesim/error.h"

namespace wagesim::trace {

namespace {

/// A file read from its start to its end through zlib, gzip or plain.
class IdxFile {
public:
    IdxFile(const std::string& directory, const std::string& name) {
        const std::string plain = directory + "/" + name, packed = plain + ".gz";
        std::error_code ignored;
        const bool is_packed = std::filesystem::exists(packed, ignored);
        if (!is_packed && !std::filesystem::exists(plain, ignored))
            throw InputError(directory + ": expected " + name + " or " + name +
                             ".gz there, found neither; install Debian's dataset-fashion-mnist "
                             "or name the directory that holds the data");
        path_ = is_packed ? packed : plain;
        file_ = gzopen(path_.c_str(), "rb");
        if (file_ == nullptr) throw InputError(path_ + ": cannot open it");
        gzbuffer(file_, 1 << 18);
        if (is_packed && gzdirect(file_) != 0) {
            gzclose(file_);
            throw InputError(path_ +
                             ": at byte 0: expected a gzip header (1f 8b), as the name says");
        }
    }
    ~IdxFile() { gzclose(file_); }
    IdxFile(const IdxFile&) = delete;
    IdxFile& operator=(const IdxFile&) = delete;

    const std::string& path() const { return path_; }

    [[noreturn]] void fail(std::uint64_t offset, const std::string& what) const {
        throw InputError(path_ + ": at byte " + std::to_string(offset) +
                         (gzdirect(file_) != 0 ? "" : " of the unpacked data") + ": " + what);
    }

    std::uint32_t word(const char* meaning) {
        std::array<unsigned char, 4> bytes{};
        read(bytes.data(), bytes.size(), meaning);
        return std::uint32_t{bytes[0]} << 24 | std::uint32_t{bytes[1]} << 16 |
               std::uint32_t{bytes[2]} << 8 | std::uint32_t{bytes[3]};
    }

    void read(unsigned char* to, std::uint64_t size, const std::string& meaning) {
        const std::uint64_t got = read_some(to, size);
        if (got < size)
            fail(offset_, "the file ends here, " + std::to_string(size - got) +
                              " bytes before the end of " + meaning);
    }

    void skip(std::uint64_t size, const std::string& meaning) {
        std::vector<unsigned char> block(
            static_cast<std::size_t>(std::min<std::uint64_t>(size, 1 << 18)));
        while (size > 0) {
            const std::uint64_t part = std::min<std::uint64_t>(size, block.size());
            read(block.data(), part, meaning);
            size -= part;
        }
    }

    /// Nothing may follow; reading on also makes zlib check the gzip trailer.
    void expect_end() {
        unsigned char more = 0;
        if (read_some(&more, 1) != 0) fail(offset_ - 1, "expected the end of the file");
    }

private:
    std::uint64_t read_some(unsigned char* to, std::uint64_t size) {
        std::uint64_t got = 0;
        while (got < size) {
            const auto part = static_cast<unsigned>(std::min<std::uint64_t>(size - got, 1 << 30));
            const int result = gzread(file_, to + got, part);
            if (result > 0) {
                got += static_cast<std::uint64_t>(result);
                offset_ += static_cast<std::uint64_t>(result);
            }
            if (result < static_cast<int>(part)) break;
        }
        int error = Z_OK;
        const char* text = gzerror(file_, &error);
        if (error == Z_BUF_ERROR) fail(offset_, "the gzip data is cut short");
        if (error != Z_OK) {
            std::string what = text;
            if (what.rfind(path_ + ": ", 0) == 0) what.erase(0, path_.size() + 2);
            fail(offset_, "the gzip data is damaged: " + what);
        }
        return got;
    }

    std::string path_;
    gzFile file_ = nullptr;
    std::uint64_t offset_ = 0;
};

std::string hex(std::uint32_t word) {
    std::array<char, 16> text{};
    std::snprintf(text.data(), text.size(), "0x%08X", word);
    return text.data();
}

void expect_magic(IdxFile& file, std::uint32_t magic, const char* what) {
    const std::uint32_t found = file.word("the magic number");
    if (found != magic)
        file.fail(
            0, "expected the magic number " + hex(magic) + " (" + what + "), found " + hex(found));
}

/// Reads items [first, first + count) of `total`, each of `bytes` bytes.
std::vector<std::uint8_t> read_part(IdxFile& file, std::uint64_t total, std::uint64_t bytes,
                                    std::uint64_t first, std::uint64_t count,
                                    const std::string& meaning) {
    const std::string what = std::to_string(total) + " " + meaning + " that the header announces";
    file.skip(first * bytes, what);
    // In pieces: a garbled header must not make us allocate what the file does not hold.
    std::vector<std::uint8_t> data;
    for (std::uint64_t left = count * bytes; left > 0;) {
        const std::uint64_t part = std::min<std::uint64_t>(left, 1 << 24);
        const std::size_t old = data.size();
        data.resize(old + static_cast<std::size_t>(part));
        file.read(data.data() + old, part, what);
        left -= part;
    }
    file.skip((total - first - count) * bytes, what);
    file.expect_end();
    return data;
}

}  // namespace

Dataset read_idx(const std::string& directory, const std::string& split, std::int64_t first,
                 std::int64_t count) {
    if (split != "t10k" && split != "train")
        throw InputError("data split \"" + split + "\": expected t10k or train");

    IdxFile images(directory, split + "-images-idx3-ubyte");
    expect_magic(images, 0x803, "bytes, 3 dimensions");
    const std::uint64_t total = images.word("the number of images");
    const std::uint64_t rows = images.word("the number of rows");
    const std::uint64_t columns = images.word("the number of columns");
    if (total == 0) images.fail(4, "expected at least one image, found 0");
    if (rows == 0 || rows > 4096)
        images.fail(8, "expected 1 to 4096 rows, found " + std::to_string(rows));
    if (columns == 0 || columns > 4096)
        images.fail(12, "expected 1 to 4096 columns, found " + std::to_string(columns));

    if (first < 0 || static_cast<std::uint64_t>(first) >= total)
        throw InputError(images.path() + ": holds images 0 to " + std::to_string(total - 1) +
                         ", asked for one from " + std::to_string(first));
    const std::uint64_t left = total - static_cast<std::uint64_t>(first);
    const std::uint64_t wanted = count < 0 ? left : static_cast<std::uint64_t>(count);
    if (wanted > left)
        throw InputError(images.path() + ": holds " + std::to_string(left) + " images from image " +
                         std::to_string(first) + " on, asked for " + std::to_string(wanted));

    IdxFile labels(directory, split + "-labels-idx1-ubyte");
    expect_magic(labels, 0x801, "bytes, 1 dimension");
    const std::uint64_t label_total = labels.word("the number of labels");
    if (label_total != total)
        labels.fail(4, "expected " + std::to_string(total) + " labels, one for each image of " +
                           images.path() + ", found " + std::to_string(label_total));

    Dataset data;
    data.count = static_cast<std::int64_t>(wanted);
    data.rows = static_cast<std::int64_t>(rows);
    data.columns = static_cast<std::int64_t>(columns);
    data.labels = read_part(labels, total, 1, static_cast<std::uint64_t>(first), wanted, "labels");
    data.images = read_part(images, total, rows * columns, static_cast<std::uint64_t>(first),
                            wanted, "images");
    return data;
}

}  // namespace wagesim::trace
