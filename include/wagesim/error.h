// The two errors a user meets.
#pragma once

#include <stdexcept>
#include <string>

namespace wagesim {

/// The user's input is wrong: names the file, the key or byte offset, and what was expected.
/// The command line ends with exit status 2.
class InputError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// The host machine failed (disk full, out of memory): exit status 3.
class HostError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

}  // namespace wagesim
