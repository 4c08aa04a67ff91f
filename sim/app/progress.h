// A progress line on a terminal: nothing in a pipe, nothing for what takes under a second.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace wagesim::app {

class Progress {
public:
    Progress(bool shown, std::int64_t images);
    void at(const std::string& layer);
    void done(std::int64_t images);
    void clear();

private:
    void print();

    using Clock = std::chrono::steady_clock;
    bool shown_, printed_ = false;
    std::int64_t images_, done_ = 0;
    std::string layer_;
    Clock::time_point begin_, last_;
};

}  // namespace wagesim::app
