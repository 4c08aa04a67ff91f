// Data sets in IDX files: what is read, and what is said about damaged ones.
#include "wagesim/trace/idx.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <chrono>
#include <filesystem>
#include <initializer_list>

#include "support/scratch_directory.h"
#include "wagesim/error.h"

namespace wagesim::trace {
namespace {

std::string words(std::initializer_list<std::uint32_t> values) {
    std::string bytes;
    for (const std::uint32_t value : values)
        for (int shift = 24; shift >= 0; shift -= 8)
            bytes += static_cast<char>(value >> shift & 255);
    return bytes;
}

std::string gzipped(const std::string& bytes) {
    z_stream stream{};
    deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
    std::string packed(bytes.size() + 1000, '\0');
    std::string from = bytes;
    stream.next_in = reinterpret_cast<Bytef*>(from.data());
    stream.avail_in = static_cast<unsigned>(from.size());
    stream.next_out = reinterpret_cast<Bytef*>(packed.data());
    stream.avail_out = static_cast<unsigned>(packed.size());
    deflate(&stream, Z_FINISH);
    packed.resize(stream.total_out);
    deflateEnd(&stream);
    return packed;
}

class IdxTest : public ::testing::Test {
protected:
    // 5 images of 2 x 3 pixels: pixel p of image i is 16 i + p; label i is 9 - i.
    IdxTest() : images(words({0x803, 5, 2, 3})), labels(words({0x801, 5})) {
        for (int i = 0; i < 5; ++i) {
            for (int p = 0; p < 6; ++p) images += static_cast<char>(16 * i + p);
            labels += static_cast<char>(9 - i);
        }
    }

    void write_plain(const std::string& image_bytes, const std::string& label_bytes) const {
        scratch.write("t10k-images-idx3-ubyte", image_bytes);
        scratch.write("t10k-labels-idx1-ubyte", label_bytes);
    }
    void write_gzip(const std::string& image_bytes, const std::string& label_bytes) const {
        scratch.write("t10k-images-idx3-ubyte.gz", image_bytes);
        scratch.write("t10k-labels-idx1-ubyte.gz", label_bytes);
    }
    std::string message(std::int64_t first = 0, std::int64_t count = -1) const {
        try {
            read_idx(scratch.path(), "t10k", first, count);
        } catch (const InputError& error) {
            std::string text = error.what();
            const std::string prefix = scratch.path() + "/";
            if (text.rfind(prefix, 0) == 0) text.erase(0, prefix.size());
            return text;
        }
        return "";
    }

    const test::ScratchDirectory scratch;
    std::string images, labels;
};

TEST_F(IdxTest, ReadsPlainAndGzipAlike) {
    write_plain(images, labels);
    const Dataset plain = read_idx(scratch.path(), "t10k");
    EXPECT_EQ(plain.count, 5);
    EXPECT_EQ(plain.rows, 2);
    EXPECT_EQ(plain.columns, 3);
    ASSERT_EQ(plain.images.size(), 30u);
    EXPECT_EQ(plain.images[6 * 4 + 5], 16 * 4 + 5);
    EXPECT_EQ(plain.labels, (std::vector<std::uint8_t>{9, 8, 7, 6, 5}));
    std::filesystem::remove(scratch.file("t10k-images-idx3-ubyte"));
    std::filesystem::remove(scratch.file("t10k-labels-idx1-ubyte"));
    write_gzip(gzipped(images), gzipped(labels));
    const Dataset packed = read_idx(scratch.path(), "t10k");
    EXPECT_EQ(packed.images, plain.images);
    EXPECT_EQ(packed.labels, plain.labels);
}

TEST_F(IdxTest, ReadsAPart) {
    write_gzip(gzipped(images), gzipped(labels));
    const Dataset part = read_idx(scratch.path(), "t10k", 3, 2);
    EXPECT_EQ(part.count, 2);
    EXPECT_EQ(part.labels, (std::vector<std::uint8_t>{6, 5}));
    ASSERT_EQ(part.images.size(), 12u);
    EXPECT_EQ(part.images[0], 48);
    EXPECT_EQ(part.images[11], 69);
}

TEST_F(IdxTest, RefusesImagesThatAreNotThere) {
    write_plain(images, labels);
    EXPECT_EQ(message(4, 2), "t10k-images-idx3-ubyte: holds 1 images from image 4 on, asked for 2");
    EXPECT_EQ(message(5), "t10k-images-idx3-ubyte: holds images 0 to 4, asked for one from 5");
    EXPECT_NE(message(-1), "");
    EXPECT_EQ(message(4, 1), "");
    EXPECT_THROW(read_idx(scratch.path(), "test"), InputError);
}

TEST_F(IdxTest, SaysWhatIsMissing) {
    EXPECT_NE(message().find("expected t10k-images-idx3-ubyte or t10k-images-idx3-ubyte.gz"),
              std::string::npos);
    scratch.write("t10k-images-idx3-ubyte", images);
    EXPECT_NE(message().find("expected t10k-labels-idx1-ubyte"), std::string::npos);
}

TEST_F(IdxTest, NamesTheByteOfEveryGarbledField) {
    const auto message_with = [&](std::size_t at, unsigned char byte) {
        std::string garbled = images;
        garbled[at] = static_cast<char>(byte);
        write_plain(garbled, labels);
        return message();
    };
    EXPECT_EQ(message_with(3, 1),
              "t10k-images-idx3-ubyte: at byte 0: expected the magic number 0x00000803 (bytes, 3 "
              "dimensions), found 0x00000801");
    EXPECT_EQ(message_with(7, 6),
              "t10k-labels-idx1-ubyte: at byte 4: expected 6 labels, one for each image of " +
                  scratch.file("t10k-images-idx3-ubyte") + ", found 5");
    EXPECT_EQ(message_with(11, 0),
              "t10k-images-idx3-ubyte: at byte 8: expected 1 to 4096 rows, found 0");
    EXPECT_EQ(message_with(12, 1),
              "t10k-images-idx3-ubyte: at byte 12: expected 1 to 4096 columns, found 16777219");
    EXPECT_EQ(message_with(15, 4),
              "t10k-images-idx3-ubyte: at byte 46: the file ends here, 10 bytes before the end of "
              "5 images that the header announces");
    EXPECT_EQ(message_with(15, 2),
              "t10k-images-idx3-ubyte: at byte 36: expected the end of the file");
    EXPECT_EQ(message_with(16, 77), "");
}

TEST_F(IdxTest, RefusesEveryTruncation) {
    for (std::size_t length = 0; length < images.size(); ++length) {
        write_plain(images.substr(0, length), labels);
        const std::string found = message();
        ASSERT_NE(found.find("t10k-images-idx3-ubyte: at byte " + std::to_string(length)),
                  std::string::npos)
            << length << ": " << found;
    }
    for (std::size_t length = 0; length < labels.size(); ++length) {
        write_plain(images, labels.substr(0, length));
        ASSERT_NE(message(), "") << length;
    }
}

TEST_F(IdxTest, RefusesEveryTruncationOfGzipDownToTheLastByteOfTheChecksum) {
    const std::string packed = gzipped(images), packed_labels = gzipped(labels);
    for (std::size_t length = 0; length < packed.size(); ++length) {
        write_gzip(packed.substr(0, length), packed_labels);
        const std::string found = message();
        ASSERT_EQ(found.rfind("t10k-images-idx3-ubyte.gz: at byte ", 0), 0u)
            << length << ": " << found;
    }
    write_gzip(packed, packed_labels);
    EXPECT_EQ(message(), "");
}

TEST_F(IdxTest, NoticesEveryDamagedByteOfTheGzipData) {
    const std::string packed = gzipped(images), packed_labels = gzipped(labels);
    // Bytes 4 to 9 are time, flags and system: not part of the data.
    for (std::size_t at = 10; at < packed.size(); ++at) {
        std::string damaged = packed;
        damaged[at] = static_cast<char>(damaged[at] ^ 0x55);
        write_gzip(damaged, packed_labels);
        ASSERT_NE(message(), "") << at;
    }
}

TEST_F(IdxTest, ReadsAllOfFashionMnistInAboutASecond) {
    const std::string directory = "/usr/share/datasets/fashion-mnist";
    if (!std::filesystem::exists(directory + "/train-images-idx3-ubyte.gz"))
        GTEST_SKIP() << "Debian's dataset-fashion-mnist is not installed";
    const auto start = std::chrono::steady_clock::now();
    const Dataset train = read_idx(directory, "train");
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    EXPECT_EQ(train.count, 60000);
    EXPECT_EQ(train.images.size(), 60000u * 784u);
    std::vector<int> per_label(10);
    for (const std::uint8_t label : train.labels) ++per_label.at(label);
    EXPECT_EQ(per_label, std::vector<int>(10, 6000));  // the data set's description
    EXPECT_LT(seconds.count(), 10.0) << "generous: the machine may be busy";
    RecordProperty("seconds", std::to_string(seconds.count()));
    std::cout << "train images in " << seconds.count() << " s\n";
}

}  // namespace
}  // namespace wagesim::trace
