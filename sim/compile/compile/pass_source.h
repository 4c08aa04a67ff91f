// A program's commands, made pass by pass.
#pragma once

#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "compile/emitter.h"

namespace wagesim::compile {

/// Keeps the two passes that were asked for last; the others are lowered again when needed.
class PassSource : public ProgramSource {
public:
    /// `lowered`: pass i emitted so many commands. `kept`: what the passes refer to.
    PassSource(std::vector<LowerPass> passes, std::vector<std::size_t> lowered, Emitter emitter,
               std::shared_ptr<const void> kept);

    std::size_t size() const override { return firsts_.back(); }
    const Command& at(std::size_t index) override {
        const std::lock_guard lock(mutex_);
        if (index < first_ || index - first_ >= commands_.size()) turn_to(index);
        return commands_[index - first_];
    }

private:
    void turn_to(std::size_t index);

    std::mutex mutex_;  // a run's probe may ask on another thread than its scheduler
    const std::vector<LowerPass> passes_;
    std::vector<std::size_t> firsts_;  // of each pass's commands; at last, of none
    Emitter emitter_;
    const std::shared_ptr<const void> kept_;
    std::vector<Command> commands_, before_;
    std::size_t first_ = 0, first_before_ = 0;
};

}  // namespace wagesim::compile
