// Tensors in .npz files: NumPy reads ours, we read NumPy's, and every damage is noticed.
#include "wagesim/trace/npz.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <limits>

#include "support/scratch_directory.h"
#include "wagesim/error.h"

namespace wagesim::trace {
namespace {

constexpr std::int64_t max64 = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t min64 = std::numeric_limits<std::int64_t>::min();

Format bits(int count, bool is_signed = true) { return {count, 0, is_signed, 0}; }

/// The codes that a type must keep: both ends, and some between.
const std::vector<std::pair<Format, std::vector<std::int64_t>>> samples{
    {bits(1, false), {0, 1, 1, 0}},
    {bits(8), {-128, 127, 0, -1}},
    {bits(8, false), {0, 255, 128, 7}},
    {bits(9), {-256, 255, 0, 1}},
    {bits(16), {-32768, 32767, 5, -5}},
    {bits(16, false), {0, 65535, 32768, 9}},
    {bits(24), {-8388608, 8388607, 3, -3}},
    {bits(32, false), {0, 4294967295, 2147483648, 1}},
    {bits(40), {-549755813888, 549755813887, 11, -11}},
    {bits(64), {min64, max64, 0, -1}},
    {bits(36, false), {0, 68719476735, 1, 2}},
};

const std::vector<std::string> sample_types{"u1", "i1", "u1", "i2", "i2", "u2",
                                            "i4", "u4", "i8", "i8", "u8"};

std::string sample_name(std::size_t index) { return "layer." + std::to_string(index); }

void write_samples(const std::string& path) {
    NpzWriter writer(path);
    for (std::size_t i = 0; i < samples.size(); ++i)
        writer.add(sample_name(i), {2, 2}, samples[i].second, samples[i].first);
    writer.close();
}

class NpzTest : public ::testing::Test {
protected:
    std::string path() const { return scratch.file("t.npz"); }

    std::string message() const {
        try {
            read_npz(path());
        } catch (const InputError& error) {
            const std::string text = error.what();
            EXPECT_EQ(text.rfind(path() + ": ", 0), 0u) << text;
            return text.substr(std::min(text.size(), path().size() + 2));
        }
        return "";
    }

    static bool has_numpy() {
        return std::system("/usr/bin/python3 -c 'import numpy' >/dev/null 2>&1") == 0;
    }
    /// Runs a script with `path` bound to the file; false where an assertion of it fails.
    bool python(const std::string& script) const {
        scratch.write("script.py", "import numpy as np\npath = '" + path() + "'\n" + script);
        return std::system(("/usr/bin/python3 " + scratch.file("script.py")).c_str()) == 0;
    }

    const test::ScratchDirectory scratch;
};

TEST_F(NpzTest, ReadsBackWhatItWrote) {
    write_samples(path());
    const auto arrays = read_npz(path());
    ASSERT_EQ(arrays.size(), samples.size());
    for (std::size_t i = 0; i < samples.size(); ++i) {
        const NpyArray& array = arrays.at(sample_name(i));
        EXPECT_EQ(array.codes, samples[i].second) << i;
        EXPECT_EQ(array.dtype, sample_types[i]) << i;
        EXPECT_EQ(array.shape, (std::vector<std::int64_t>{2, 2}));
    }
}

TEST_F(NpzTest, KeepsShapesOfEveryRank) {
    {
        NpzWriter writer(path());
        writer.add("scalar", {}, {42}, bits(8));
        writer.add("vector", {3}, {1, 2, 3}, bits(8));
        writer.add("nothing", {0, 3}, {}, bits(8));
        writer.add("tensor", Tensor{{1, 2, 1, 3}, bits(20), {1, 2, 3, 4, 5, 70000}});
        writer.close();
    }
    const auto arrays = read_npz(path());
    EXPECT_EQ(arrays.at("scalar").shape, std::vector<std::int64_t>{});
    EXPECT_EQ(arrays.at("scalar").codes, std::vector<std::int64_t>{42});
    EXPECT_EQ(arrays.at("vector").shape, std::vector<std::int64_t>{3});
    EXPECT_EQ(arrays.at("nothing").shape, (std::vector<std::int64_t>{0, 3}));
    EXPECT_TRUE(arrays.at("nothing").codes.empty());
    EXPECT_EQ(arrays.at("tensor").shape, (std::vector<std::int64_t>{1, 2, 1, 3}));
    EXPECT_EQ(arrays.at("tensor").codes.back(), 70000);
}

TEST_F(NpzTest, ReadsOnlyWhatIsWanted) {
    write_samples(path());
    const auto arrays = read_npz(path(), [](const std::string& name) { return name == "layer.3"; });
    ASSERT_EQ(arrays.size(), 1u);
    EXPECT_EQ(arrays.at("layer.3").codes, samples[3].second);
}

TEST_F(NpzTest, WritesTheSameBytesForTheSameTensors) {
    write_samples(path());
    const std::string first = scratch.read("t.npz");
    write_samples(path());
    EXPECT_EQ(scratch.read("t.npz"), first);
}

TEST_F(NpzTest, KeepsLargeTensors) {
    std::vector<std::int64_t> codes(1'000'003);
    std::uint64_t state = 1;
    for (auto& code : codes) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        code = static_cast<std::int64_t>(state >> 40) - (1 << 23);
    }
    for (const int level : {0, 1, 9}) {
        NpzWriter writer(path(), level);
        writer.add("W", {1'000'003}, codes, bits(24));
        writer.add("small", {1}, {5}, bits(8));
        writer.close();
        const auto arrays = read_npz(path());
        EXPECT_EQ(arrays.at("W").codes, codes) << "level " << level;
        EXPECT_EQ(arrays.at("small").codes[0], 5);
    }
}

TEST_F(NpzTest, IsReadByNumpy) {
    if (!has_numpy()) GTEST_SKIP() << "no /usr/bin/python3 with numpy here";
    write_samples(path());
    std::string script = "d = np.load(path)\n";
    for (std::size_t i = 0; i < samples.size(); ++i) {
        script += "a = d['" + sample_name(i) + "']\nassert a.dtype == np.dtype('" +
                  sample_types[i] +
                  "'), a.dtype\nassert a.shape == (2, 2)\nassert a.flatten().tolist() == [";
        for (const std::int64_t code : samples[i].second)
            script += code == min64 ? "-2**63," : std::to_string(code) + ",";
        script += "], a\n";
    }
    script += "assert len(d.files) == " + std::to_string(samples.size()) +
              "\n"
              "import zipfile\nassert zipfile.ZipFile(path).testzip() is None\n";
    EXPECT_TRUE(python(script));
    EXPECT_FALSE(python("raise SystemExit('layer.99' not in np.load(path))"));  // python() can fail
}

TEST_F(NpzTest, ReadsWhatNumpyWrites) {
    if (!has_numpy()) GTEST_SKIP() << "no /usr/bin/python3 with numpy here";
    for (const std::string function : {"savez", "savez_compressed"}) {
        ASSERT_TRUE(
            python("a = np.arange(24).reshape(2, 3, 4)\n"
                   "np." +
                   function +
                   "(path, i1=(a - 12).astype('i1'), u8=np.array([2**64 - 1], 'u8'),\n"
                   "  b=a > 11, fortran=np.asfortranarray(a.astype('i4')), scalar=np.int16(-7),\n"
                   "  empty=np.zeros((3, 0), 'u2'))\n"));
        const auto arrays = read_npz(path());
        ASSERT_EQ(arrays.size(), 6u);
        EXPECT_EQ(arrays.at("i1").codes[0], -12);
        EXPECT_EQ(arrays.at("i1").shape, (std::vector<std::int64_t>{2, 3, 4}));
        EXPECT_EQ(arrays.at("u8").codes[0], -1) << "the same 64 bits";
        EXPECT_EQ(arrays.at("u8").dtype, "u8");
        EXPECT_EQ(arrays.at("b").dtype, "b1");
        EXPECT_EQ(arrays.at("b").codes[11], 0);
        EXPECT_EQ(arrays.at("b").codes[12], 1);
        EXPECT_EQ(arrays.at("scalar").codes, std::vector<std::int64_t>{-7});
        EXPECT_TRUE(arrays.at("empty").codes.empty());
        for (std::size_t i = 0; i < 24; ++i)
            EXPECT_EQ(arrays.at("fortran").codes[i], static_cast<std::int64_t>(i));
    }
}

TEST_F(NpzTest, RefusesWhatAreNoIntegerCodes) {
    if (!has_numpy()) GTEST_SKIP() << "no /usr/bin/python3 with numpy here";
    const std::vector<std::pair<std::string, std::string>> cases{
        {"np.zeros(3)",
         "member x.npy: at byte 20: holds floating-point numbers ('<f8'), expected integer codes"},
        {"np.zeros(3, 'f4')", "holds floating-point numbers ('<f4')"},
        {"np.zeros(3, 'c8')", "holds floating-point numbers ('<c8')"},
        {"np.zeros(3, '>i4')", "expected little-endian numbers ('<'), found '>i4'"},
        {"np.array(['a'])", "expected an integer or boolean type (i1 to u8, b1), found '<U1'"},
        {"np.zeros(3, 'i4,i4')", "expected an array of integers, found a structured one"},
        {"np.zeros(3, 'M8[s]')", "expected an integer or boolean type"},
    };
    for (const auto& [array, expected] : cases) {
        ASSERT_TRUE(python("np.savez(path, x=" + array + ")"));
        EXPECT_NE(message().find(expected), std::string::npos) << array << ": " << message();
    }
}

TEST_F(NpzTest, RefusesMembersThatAreDamagedInside) {
    if (!has_numpy()) GTEST_SKIP() << "no /usr/bin/python3 with numpy here";
    // A zip around a .npy that was changed before it went in: checksums are right.
    const auto message_for = [&](const std::string& change) {
        EXPECT_TRUE(
            python("import io, zipfile\nf = io.BytesIO()\nnp.save(f, np.arange(10, dtype='i2'))\n"
                   "b = f.getvalue()\nname = 'x.npy'\n" +
                   change + "\nz = zipfile.ZipFile(path, 'w')\nz.writestr(name, b)\nz.close()\n"));
        return message();
    };
    const auto expect = [&](const std::string& change, const std::string& expected) {
        const std::string found = message_for(change);
        EXPECT_NE(found.find(expected), std::string::npos) << change << ": " << found;
    };
    EXPECT_EQ(message_for("pass"), "");
    expect("b = b[:-1]",
           "member x.npy: at byte 128: expected 20 bytes of data (10 elements of i2), found 19");
    expect("b = b + b'x'", "found 21");
    expect("b = b''", "at byte 0: expected the magic bytes");
    expect("b = b'PK' + b", "at byte 0: expected the magic bytes");
    expect("b = b[:8]", "at byte 8: the header is cut short");
    expect("b = b[:6] + b'\\x09' + b[7:]", "at byte 6: expected .npy version 1, 2 or 3, found 9");
    expect("b = b[:8] + b'\\xff\\xff' + b[10:]", "at byte 10: expected a header of 65535 bytes");
    expect("b = b.replace(b'(10,)', b'(-1,)')", "expected a number in the shape");
    expect("b = b.replace(b'(10,), }', b'(10,) ; ')", "expected '}'");
    expect("b = b.replace(b'shape', b'sharp')", "found 'sharp'");
    expect("b = b.replace(b'False', b'Maybe')", "expected True or False");
    expect("b = b.replace(b'(10,), }       ', b'(99999999999),}')", "expected 199999999998 bytes");
    expect("b = b.replace(b'(10,), }                       ', b'(9999999999,9999999999,999),}  ')",
           "expected a shape of less than 2^56 elements");
    expect("b = b.replace(b'(10,), }                       ', b'(99999999999999999999999999),} ')",
           "expected an extent below 2^63");
    expect("name = 'readme.txt'", "member \"readme.txt\": expected a name that ends in .npy");
}

TEST_F(NpzTest, RefusesEveryTruncation) {
    write_samples(path());
    const std::string whole = scratch.read("t.npz");
    for (std::size_t length = 0; length < whole.size(); ++length) {
        scratch.write("t.npz", whole.substr(0, length));
        ASSERT_NE(message(), "") << "cut to " << length << " of " << whole.size();
    }
}

TEST_F(NpzTest, NeverDeliversOtherCodesFromADamagedFile) {
    write_samples(path());
    const std::string whole = scratch.read("t.npz");
    std::size_t refused = 0;
    for (std::size_t at = 0; at < whole.size(); ++at) {
        std::string damaged = whole;
        damaged[at] = static_cast<char>(damaged[at] ^ 0x24);
        scratch.write("t.npz", damaged);
        try {
            const auto arrays = read_npz(path());
            for (std::size_t i = 0; i < samples.size(); ++i)  // a time stamp, say: harmless
                ASSERT_EQ(arrays.at(sample_name(i)).codes, samples[i].second) << at;
        } catch (const InputError&) {
            ++refused;
        }
    }
    EXPECT_GT(refused, whole.size() / 2);
}

TEST_F(NpzTest, SaysWhenAFileIsNoArchiveOrNotThere) {
    EXPECT_NE(message().find("No such file"), std::string::npos) << message();
    scratch.write("t.npz", "some text, long enough to hold an end-of-directory record");
    EXPECT_NE(message().find("expected an .npz file"), std::string::npos);
}

TEST_F(NpzTest, LeavesNothingUnlessClosed) {
    { NpzWriter(path()).add("x", {1}, {1}, bits(8)); }
    std::filesystem::remove(scratch.file("script.py"));
    EXPECT_EQ(scratch.entries(), 0u);
}

TEST_F(NpzTest, ReportsAFullDiskAndLeavesNothing) {
    if (!test::put_on_a_full_disk(path())) GTEST_SKIP() << "no /dev/full here";
    try {
        write_samples(path());
        FAIL();
    } catch (const HostError& error) {
        EXPECT_EQ(std::string(error.what()),
                  path() + ": writing failed: No space left on device; no file was left");
    }
    EXPECT_EQ(scratch.entries(), 0u);
}

TEST_F(NpzTest, ReportsADiskThatFillsUpInTheMiddle) {
    std::vector<std::int64_t> codes(1'000'000);
    for (std::size_t i = 0; i < codes.size(); ++i)
        codes[i] = static_cast<std::int64_t>(i * i % 251) - 125;
    const test::FileSizeLimit limit(400'000);
    EXPECT_THROW(
        {
            NpzWriter writer(path(), 0);
            writer.add("x", {1'000'000}, codes, bits(8));
            writer.close();
        },
        HostError);
    EXPECT_EQ(scratch.entries(), 0u);
}

TEST_F(NpzTest, RefusesCodesBeyondTheirFormatAndOtherMistakesOfOurs) {
    NpzWriter writer(path());
    EXPECT_THROW(writer.add("x", {1}, {128}, bits(8)), std::logic_error);
    EXPECT_THROW(writer.add("y", {1}, {-1}, bits(8, false)), std::logic_error);
    EXPECT_THROW(writer.add("z", {2}, {1}, bits(8)), std::logic_error);
    EXPECT_THROW(writer.add("SS", {1}, {1}, bits(80, false)), std::logic_error);
    writer.add("v", {1}, {1}, bits(8));
    EXPECT_THROW(writer.add("v", {1}, {1}, bits(8)), std::logic_error);
    writer.close();
}

}  // namespace
}  // namespace wagesim::trace
