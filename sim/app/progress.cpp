// See progress.h.
#include "progress.h"

#include <cstdio>

namespace wagesim::app {

Progress::Progress(bool shown, std::int64_t images)
    : shown_(shown), images_(images), begin_(Clock::now()), last_(begin_) {}

void Progress::at(const std::string& layer) {
    layer_ = layer;
    print();
}

void Progress::done(std::int64_t images) {
    done_ = images;
    print();
}

void Progress::print() {
    const auto now = Clock::now();
    if (!shown_ || now - begin_ < std::chrono::seconds(1) ||
        now - last_ < std::chrono::milliseconds(200))
        return;
    last_ = now;
    printed_ = true;
    const double seconds = std::chrono::duration<double>(now - begin_).count();
    const double rate = static_cast<double>(done_) / seconds;
    std::fprintf(stderr, "\r\033[K%lld of %lld images, %s", static_cast<long long>(done_),
                 static_cast<long long>(images_), layer_.c_str());
    if (done_ > 0)
        std::fprintf(stderr, ", %.1f images/s, %.0f s left", rate,
                     static_cast<double>(images_ - done_) / rate);
}

void Progress::clear() {
    if (printed_) std::fprintf(stderr, "\r\033[K");
}

}  // namespace wagesim::app
