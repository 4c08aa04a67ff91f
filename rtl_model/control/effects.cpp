// What commands do to data, in the order of simulated time.
#include "control/effects.h"

#include <cstddef>
#include <utility>

namespace wagesim::rtl {
namespace {

// Handed over together, so that threads seldom meet; and how far one may be behind.
constexpr std::size_t effects_at_once = 256, most_waiting = 16;

}  // namespace

Effects::Effects(Memories& memories, const Watch& watch, bool beside)
    : memories_(memories), watch_(watch), beside_(beside) {
    if (beside_) thread_ = std::thread([this] { work(); });
}

Effects::~Effects() {
    if (!beside_) return;
    {
        const std::lock_guard lock(mutex_);
        ends_ = true;
    }
    handed_over_.notify_one();
    thread_.join();
}

template <class Kind>
void Effects::add(const Kind& effect) {
    if (!beside_) {
        carry_out(effect);
        return;
    }
    gathered_.emplace_back(effect);
    if (gathered_.size() >= effects_at_once) hand_over();
}

template void Effects::add(const Start&);
template void Effects::add(const End&);
template void Effects::add(const Retired&);

void Effects::hand_over() {
    std::unique_lock lock(mutex_);
    done_.wait(lock, [this] { return waiting_.size() < most_waiting; });
    waiting_.push_back(std::move(gathered_));
    gathered_ = {};
    if (!spare_.empty()) {
        gathered_ = std::move(spare_.back());
        spare_.pop_back();
    }
    gathered_.reserve(effects_at_once);
    handed_over_.notify_one();
    if (error_ != nullptr) std::rethrow_exception(error_);
}

void Effects::settle() {
    if (!beside_) return;
    if (!gathered_.empty()) hand_over();
    std::unique_lock lock(mutex_);
    done_.wait(lock, [this] { return waiting_.empty(); });
    if (error_ != nullptr) std::rethrow_exception(error_);
}

void Effects::work() {
    std::unique_lock lock(mutex_);
    for (;;) {
        handed_over_.wait(lock, [this] { return !waiting_.empty() || ends_; });
        if (waiting_.empty()) return;
        if (error_ == nullptr) {
            std::vector<Effect>& effects = waiting_.front();
            lock.unlock();
            std::exception_ptr error;
            try {
                for (const Effect& effect : effects)
                    std::visit([this](const auto& kind) { carry_out(kind); }, effect);
            } catch (...) {
                error = std::current_exception();
            }
            lock.lock();
            error_ = error;
        }
        waiting_.front().clear();
        spare_.push_back(std::move(waiting_.front()));
        waiting_.pop_front();
        done_.notify_one();
    }
}

void Effects::carry_out(const Start& start) {
    memories_.actor = {start.index, start.cycle};
    start.unit->execute(*start.command, start.index, start.cycle, start.work);
}

void Effects::carry_out(const End& end) {
    memories_.actor = {end.index, end.cycle};
    end.unit->finish(*end.command);
}

void Effects::carry_out(const Retired& retired) {
    if (watch_.probe != nullptr) watch_.probe->on_retired(retired);
}

}  // namespace wagesim::rtl
