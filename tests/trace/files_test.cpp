// Files and run directories appear whole or not at all.
#include "wagesim/trace/files.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "support/scratch_directory.h"
#include "wagesim/error.h"

namespace wagesim::trace {
namespace {

namespace fs = std::filesystem;
using test::ScratchDirectory;

template <typename Error, typename Action>
std::string message_of(Action action) {
    try {
        action();
    } catch (const Error& error) {
        return error.what();
    }
    return "";
}

TEST(AtomicFile, AppearsOnlyWhenCommitted) {
    const ScratchDirectory scratch;
    AtomicFile file(scratch.file("a.txt"));
    file.write("hello");
    EXPECT_FALSE(fs::exists(scratch.file("a.txt")));
    file.commit();
    EXPECT_EQ(scratch.read("a.txt"), "hello");
    EXPECT_EQ(scratch.entries(), 1u);
}

TEST(AtomicFile, LeavesTheOlderFileWhenItIsNotCommitted) {
    const ScratchDirectory scratch;
    scratch.write("a.txt", "older");
    { AtomicFile(scratch.file("a.txt")).write("new"); }
    EXPECT_EQ(scratch.read("a.txt"), "older");
    EXPECT_EQ(scratch.entries(), 1u);
}

TEST(AtomicFile, ReplacesBytesAlreadyWritten) {
    const ScratchDirectory scratch;
    AtomicFile file(scratch.file("a.txt"));
    file.write("0123456789");
    file.overwrite(3, "abc", 3);
    file.write("!");
    EXPECT_EQ(file.size(), 11u);
    file.commit();
    EXPECT_EQ(scratch.read("a.txt"), "012abc6789!");
}

TEST(AtomicFile, WritesMoreThanItsBufferHolds) {
    const ScratchDirectory scratch;
    std::string expected;
    AtomicFile file(scratch.file("a.txt"));
    for (int i = 0; i < 200000; ++i) {
        const std::string line = std::to_string(i) + "\n";
        file.write(line);
        expected += line;
    }
    file.commit();
    EXPECT_EQ(scratch.read("a.txt"), expected);
}

TEST(AtomicFile, ReportsAFullDiskAndLeavesNothing) {
    const ScratchDirectory scratch;
    const std::string path = scratch.file("a.txt");
    if (!test::put_on_a_full_disk(path)) GTEST_SKIP() << "no /dev/full here";
    EXPECT_EQ(message_of<HostError>([&] { write_file_atomically(path, "x"); }),
              path + ": writing failed: No space left on device; no file was left");
    EXPECT_EQ(scratch.entries(), 0u);
}

TEST(AtomicFile, ReportsADiskThatFillsUpInTheMiddle) {
    const ScratchDirectory scratch;
    const std::string path = scratch.file("a.txt");
    const test::FileSizeLimit limit(300000);
    const std::string message =
        message_of<HostError>([&] { write_file_atomically(path, std::string(1000000, 'x')); });
    EXPECT_EQ(message.rfind(path + ": writing failed", 0), 0u) << message;
    EXPECT_EQ(scratch.entries(), 0u);
}

TEST(AtomicFile, CallsAWrongPlaceTheUsersError) {
    const ScratchDirectory scratch;
    const auto message = [](const std::string& path) {
        return message_of<InputError>([&] { AtomicFile file(path); });
    };
    EXPECT_EQ(message("/nonexistent/a.txt"),
              "/nonexistent/a.txt: cannot create it: No such file or directory");
    EXPECT_NE(message(scratch.path()).find("is a directory"), std::string::npos);
    EXPECT_NE(message(""), "");
}

TEST(ReadFile, NamesWhatItCannotRead) {
    EXPECT_EQ(message_of<InputError>([] { read_file("/nonexistent"); }),
              "/nonexistent: cannot open it: No such file or directory");
    EXPECT_EQ(message_of<InputError>([] { read_file("/"); }), "/: cannot read it: Is a directory");
}

class PendingDirectoryTest : public ::testing::Test {
protected:
    std::string out() const { return scratch.file("run"); }
    void make_run(const std::string& content) const {
        PendingDirectory run(out());
        write_file_atomically(run.file("manifest.json"), content);
        run.commit();
    }
    const ScratchDirectory scratch;
};

TEST_F(PendingDirectoryTest, AppearsWholeOnCommit) {
    PendingDirectory run(out());
    write_file_atomically(run.file("manifest.json"), "{}");
    EXPECT_FALSE(fs::exists(out()));
    run.commit();
    EXPECT_EQ(scratch.read("run/manifest.json"), "{}");
    EXPECT_EQ(scratch.entries(), 1u);
}

TEST_F(PendingDirectoryTest, IsReadableByWhoMayReadTheRest) {
    make_run("{}");
    struct stat run {
    }, usual{};
    fs::create_directory(scratch.file("usual"));
    ::stat(out().c_str(), &run);
    ::stat(scratch.file("usual").c_str(), &usual);
    EXPECT_EQ(run.st_mode, usual.st_mode);
}

TEST_F(PendingDirectoryTest, LeavesNothingWithoutCommit) {
    {
        PendingDirectory run(out());
        write_file_atomically(run.file("big.npz"), "...");
    }
    EXPECT_EQ(scratch.entries(), 0u);
}

TEST_F(PendingDirectoryTest, ReplacesAnEarlierRun) {
    make_run("first");
    scratch.write("run/extra.txt", "of the first");
    make_run("second");
    EXPECT_EQ(scratch.read("run/manifest.json"), "second");
    EXPECT_FALSE(fs::exists(scratch.file("run/extra.txt")));
    EXPECT_EQ(scratch.entries(), 1u);
}

TEST_F(PendingDirectoryTest, KeepsTheEarlierRunWhenTheNewOneFails) {
    make_run("first");
    { PendingDirectory run(out()); }
    EXPECT_EQ(scratch.read("run/manifest.json"), "first");
    EXPECT_EQ(scratch.entries(), 1u);
}

TEST_F(PendingDirectoryTest, TakesAnEmptyDirectoryAndMakesParents) {
    fs::create_directory(out());
    make_run("{}");
    EXPECT_EQ(scratch.read("run/manifest.json"), "{}");
    PendingDirectory deep(scratch.file("a/b/c/"));
    deep.commit();
    EXPECT_TRUE(fs::is_directory(scratch.file("a/b/c")));
}

TEST_F(PendingDirectoryTest, RefusesWhatIsNotARun) {
    fs::create_directory(out());
    scratch.write("run/thesis.tex", "precious");
    EXPECT_NE(message_of<InputError>([&] {
                  PendingDirectory run(out());
              }).find("holds files but no manifest.json"),
              std::string::npos);
    EXPECT_EQ(scratch.read("run/thesis.tex"), "precious");
    scratch.write("file", "precious");
    EXPECT_NE(message_of<InputError>([&] {
                  PendingDirectory run(scratch.file("file"));
              }).find("is a file"),
              std::string::npos);
    EXPECT_NE(message_of<InputError>([&] { PendingDirectory run("/proc/nothing/run"); }), "");
    EXPECT_NE(message_of<InputError>([&] { PendingDirectory run(""); }), "");
}

TEST_F(PendingDirectoryTest, RefusesWhatAppearedMeanwhile) {
    PendingDirectory run(out());
    fs::create_directory(out());
    scratch.write("run/thesis.tex", "precious");
    EXPECT_THROW(run.commit(), InputError);
    EXPECT_EQ(scratch.read("run/thesis.tex"), "precious");
}

TEST_F(PendingDirectoryTest, FollowsALinkToWhereTheRunsAre) {
    fs::create_directory(scratch.file("real"));
    fs::create_directory_symlink(scratch.file("real"), out());
    make_run("{}");
    EXPECT_TRUE(fs::is_symlink(out()));
    EXPECT_EQ(scratch.read("real/manifest.json"), "{}");
}

}  // namespace
}  // namespace wagesim::trace
