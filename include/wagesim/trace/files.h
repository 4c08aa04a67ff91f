// Output files and run directories that appear whole or not at all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace wagesim::trace {

/// A file written as PATH.partial and renamed to PATH by commit(). Destroyed before that, it
/// leaves nothing, and an older PATH as it was. Throws InputError where PATH can't be created
/// (no such directory, no permission), HostError where the disk fails.
class AtomicFile {
public:
    explicit AtomicFile(std::string path);
    ~AtomicFile();
    AtomicFile(const AtomicFile&) = delete;
    AtomicFile& operator=(const AtomicFile&) = delete;

    void write(const void* data, std::size_t size);
    void write(std::string_view text) { write(text.data(), text.size()); }
    /// Replaces bytes already written.
    void overwrite(std::uint64_t offset, const void* data, std::size_t size);
    std::uint64_t size() const { return size_ + buffer_.size(); }
    const std::string& path() const { return path_; }
    /// For a library that writes by itself, instead of write().
    int descriptor() const { return descriptor_; }
    /// Throws the HostError of a failed write.
    [[noreturn]] void fail(const char* doing, int error) const;

    /// Brings everything to PATH.partial; only the renaming is left to commit().
    void finish();
    void commit();

private:
    void flush();
    void write_out(const char* data, std::size_t size);

    std::string path_;
    std::string partial_;     // empty: nothing is left to remove
    std::string buffer_;      // not yet in the file
    std::uint64_t size_ = 0;  // in the file
    int descriptor_ = -1;
};

void write_file_atomically(const std::string& path, std::string_view text);

/// The whole file. Throws InputError naming it.
std::string read_file(const std::string& path);

/// A run's output directory, filled as OUT.partial-XXXXXX beside OUT and renamed by commit().
/// An OUT that exists is replaced only if it is empty or an earlier run (has a manifest.json);
/// anything else is refused with InputError, before any work is done.
class PendingDirectory {
public:
    explicit PendingDirectory(const std::string& out);
    ~PendingDirectory();  ///< removes what was not committed
    PendingDirectory(const PendingDirectory&) = delete;
    PendingDirectory& operator=(const PendingDirectory&) = delete;

    /// Where to write until commit().
    const std::string& path() const { return partial_; }
    std::string file(std::string_view name) const { return partial_ + "/" + std::string(name); }
    /// Where it will be.
    const std::string& out() const { return out_; }
    void commit();

private:
    void check_replaceable() const;

    std::string out_, partial_;
    bool committed_ = false;
};

}  // namespace wagesim::trace
