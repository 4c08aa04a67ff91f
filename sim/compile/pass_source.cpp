// A program's commands, made pass by pass.
#include "compile/pass_source.h"

#include <algorithm>
#include <stdexcept>

namespace wagesim::compile {

PassSource::PassSource(std::vector<LowerPass> passes, std::vector<std::size_t> lowered,
                       Emitter emitter, std::shared_ptr<const void> kept)
    : passes_(std::move(passes)), emitter_(std::move(emitter)), kept_(std::move(kept)) {
    firsts_.push_back(0);
    for (const std::size_t count : lowered) firsts_.push_back(firsts_.back() + count);
}

void PassSource::turn_to(std::size_t index) {
    std::swap(commands_, before_);
    std::swap(first_, first_before_);
    if (index >= first_ && index - first_ < commands_.size()) return;
    const auto next = std::upper_bound(firsts_.begin(), firsts_.end(), index);
    const auto pass = static_cast<std::size_t>(next - firsts_.begin()) - 1;
    emitter_.expect_commands(firsts_.at(pass + 1) - firsts_[pass]);
    passes_.at(pass)(emitter_);
    emitter_.take_commands(commands_);
    first_ = firsts_[pass];
    if (commands_.size() != *next - first_)
        throw std::logic_error("compile: a pass was lowered in two ways");
}

}  // namespace wagesim::compile
