// Output files and run directories that appear whole or not at all.
#include "wagesim/trace/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "wagesim/error.h"

namespace wagesim::trace {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t buffer_bytes = std::size_t{1} << 18;

/// True where the path that the user gave is at fault, not the disk.
bool is_users_fault(int error) {
    switch (error) {
        case ENOENT:
        case ENOTDIR:
        case EISDIR:
        case EACCES:
        case EPERM:
        case EROFS:
        case ENAMETOOLONG:
        case ELOOP:
            return true;
        default:
            return false;
    }
}

[[noreturn]] void refuse(const std::string& path, const std::string& what, int error) {
    const std::string message = path + ": " + what + ": " + std::strerror(error);
    if (is_users_fault(error)) throw InputError(message);
    throw HostError(message);
}

/// write() until everything is out; returns errno, or 0.
int write_all(int descriptor, const char* data, std::size_t size, std::int64_t offset) {
    while (size > 0) {
        const ssize_t done =
            offset < 0 ? ::write(descriptor, data, size) : ::pwrite(descriptor, data, size, offset);
        if (done < 0) {
            if (errno == EINTR) continue;
            return errno;
        }
        data += done;
        size -= static_cast<std::size_t>(done);
        if (offset >= 0) offset += done;
    }
    return 0;
}

}  // namespace

AtomicFile::AtomicFile(std::string path) : path_(std::move(path)), partial_(path_ + ".partial") {
    if (path_.empty()) throw InputError("an output file needs a name, found an empty one");
    std::error_code ignored;
    if (fs::is_directory(path_, ignored))
        throw InputError(path_ + ": is a directory, expected the name of a file to write");
    descriptor_ = ::open(partial_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (descriptor_ < 0) refuse(path_, "cannot create it", errno);
    buffer_.reserve(buffer_bytes);
}

AtomicFile::~AtomicFile() {
    if (descriptor_ >= 0) ::close(descriptor_);
    if (!partial_.empty()) ::unlink(partial_.c_str());
}

void AtomicFile::fail(const char* doing, int error) const {
    throw HostError(path_ + ": " + doing + " failed: " + std::strerror(error) +
                    "; no file was left");
}

void AtomicFile::flush() {
    write_out(buffer_.data(), buffer_.size());
    buffer_.clear();
}

void AtomicFile::write_out(const char* data, std::size_t size) {
    if (const int error = write_all(descriptor_, data, size, -1)) fail("writing", error);
    size_ += size;
}

void AtomicFile::write(const void* data, std::size_t size) {
    if (size >= buffer_bytes) {
        flush();
        return write_out(static_cast<const char*>(data), size);
    }
    buffer_.append(static_cast<const char*>(data), size);
    if (buffer_.size() >= buffer_bytes) flush();
}

void AtomicFile::overwrite(std::uint64_t offset, const void* data, std::size_t size) {
    flush();
    if (const int error = write_all(descriptor_, static_cast<const char*>(data), size,
                                    static_cast<std::int64_t>(offset)))
        fail("writing", error);
}

void AtomicFile::finish() {
    if (descriptor_ < 0) return;
    flush();
    const int descriptor = descriptor_;
    descriptor_ = -1;
    // Some file systems report a full disk only here.
    if (::close(descriptor) != 0) fail("finishing", errno);
}

void AtomicFile::commit() {
    finish();
    if (std::rename(partial_.c_str(), path_.c_str()) != 0) fail("finishing", errno);
    partial_.clear();
}

void write_file_atomically(const std::string& path, std::string_view text) {
    AtomicFile file(path);
    file.write(text);
    file.commit();
}

std::string read_file(const std::string& path) {
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) throw InputError(path + ": cannot open it: " + std::strerror(errno));
    std::string text;
    char block[1 << 16];
    for (;;) {
        const ssize_t got = ::read(descriptor, block, sizeof block);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) {
            const int error = errno;
            ::close(descriptor);
            throw InputError(path + ": cannot read it: " + std::strerror(error));
        }
        if (got == 0) break;
        text.append(block, static_cast<std::size_t>(got));
    }
    ::close(descriptor);
    return text;
}

PendingDirectory::PendingDirectory(const std::string& out) {
    if (out.empty()) throw InputError("an output directory needs a name, found an empty one");
    std::error_code error;
    fs::path path = fs::weakly_canonical(fs::absolute(out), error);
    if (error) refuse(out, "cannot use it as the output directory", error.value());
    if (!path.has_filename()) path = path.parent_path();  // a slash at the end
    out_ = path.string();
    check_replaceable();
    fs::create_directories(path.parent_path(), error);
    if (error) refuse(out_, "cannot create its parent directory", error.value());
    partial_ = out_ + ".partial-XXXXXX";
    if (::mkdtemp(partial_.data()) == nullptr) {
        const int code = errno;
        partial_.clear();
        refuse(out_, "cannot create the output directory beside it", code);
    }
    // mkdtemp's 0700 would keep a run from colleagues who may read everything else here.
    const mode_t mask = ::umask(0);
    ::umask(mask);
    ::chmod(partial_.c_str(), 0777 & ~mask);
}

PendingDirectory::~PendingDirectory() {
    std::error_code ignored;
    if (!committed_ && !partial_.empty()) fs::remove_all(partial_, ignored);
}

void PendingDirectory::check_replaceable() const {
    std::error_code error;
    const fs::file_status status = fs::status(out_, error);
    if (!fs::exists(status)) return;
    if (!fs::is_directory(status))
        throw InputError(out_ + ": is a file, expected a directory or a name that is free");
    const bool empty = fs::is_empty(out_, error);
    if (error) refuse(out_, "cannot read it", error.value());
    if (!empty && !fs::exists(out_ + "/manifest.json", error))
        throw InputError(out_ +
                         ": holds files but no manifest.json, so it is not an earlier run "
                         "and stays as it is; expected an earlier run's directory, an "
                         "empty one, or a name that is free");
}

void PendingDirectory::commit() {
    check_replaceable();
    if (::rename(partial_.c_str(), out_.c_str()) == 0) {  // free, or an empty directory
        committed_ = true;
        return;
    }
    if (errno != ENOTEMPTY && errno != EEXIST)
        throw HostError(out_ + ": cannot move the finished run there: " + std::strerror(errno));
#ifdef RENAME_EXCHANGE
    // One step: at no time is there no run of that name.
    if (::renameat2(AT_FDCWD, partial_.c_str(), AT_FDCWD, out_.c_str(), RENAME_EXCHANGE) == 0) {
        std::error_code ignored;
        fs::remove_all(partial_, ignored);
        committed_ = true;
        return;
    }
#endif
    const std::string earlier = partial_ + "-earlier";
    if (::rename(out_.c_str(), earlier.c_str()) != 0)
        throw HostError(out_ + ": cannot move the earlier run away: " + std::strerror(errno));
    if (::rename(partial_.c_str(), out_.c_str()) != 0) {
        const int code = errno;
        ::rename(earlier.c_str(), out_.c_str());
        throw HostError(out_ + ": cannot move the finished run there: " + std::strerror(code));
    }
    committed_ = true;
    std::error_code ignored;
    fs::remove_all(earlier, ignored);
}

}  // namespace wagesim::trace
