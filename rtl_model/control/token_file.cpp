// The tokens of the running program: counting semaphores between units.
#include "control/token_file.h"

#include <algorithm>

#include "buffer/buffer.h"

namespace wagesim::rtl {

void TokenFile::load(const Program& program) {
    waiters_.assign(program.tokens.size(), nobody);
    givers_ = waiters_;
    infos_ = &program.tokens;
    counts_.clear();
    for (const TokenInfo& info : program.tokens) counts_.push_back(info.initial);
}

void TokenFile::admit(const Command& command, std::size_t index) {
    if (std::holds_alternative<Fence>(command.operands) &&
        !(command.waits.empty() && command.gives.empty()))
        throw MachineError("command " + std::to_string(index) + " FENCE has tokens");
    for (const Token token : command.waits) become(waiters_, token, command, index, "waiting");
    for (const Token token : command.gives) become(givers_, token, command, index, "giving");
    if (const auto* gemm = std::get_if<Gemm>(&command.operands))
        for (const Token token : gemm->gives_at_swap)
            become(givers_, token, command, index, "giving");
}

void TokenFile::become(std::vector<int>& owners, Token token, const Command& command,
                       std::size_t index, const char* role) const {
    const auto where = [&] { return "command " + std::to_string(index) + " " + mnemonic(command); };
    if (token >= owners.size())
        throw MachineError(where() + " names token " + std::to_string(token) +
                           ", but the program has " + std::to_string(owners.size()));
    int& owner = owners[token];
    const int unit = static_cast<int>(command.unit);
    if (owner >= 0 && owner != unit)
        throw MachineError(where() + ": token '" + (*infos_)[token].name + "' has two " + role +
                           " units, " + std::string(to_string(static_cast<Unit>(owner))) + " and " +
                           std::string(to_string(command.unit)));
    owner = unit;
}

const TokenInfo* TokenFile::lacking(const Tokens& waits) const {
    for (std::size_t i = 0; i < waits.size(); ++i) {
        // A token may stand in the list more than once.
        const auto end = waits.begin() + static_cast<std::ptrdiff_t>(i) + 1;
        if (counts_[waits[i]] < std::count(waits.begin(), end, waits[i]))
            return &(*infos_)[waits[i]];
    }
    return nullptr;
}

void TokenFile::take(const Tokens& waits) {
    for (const Token token : waits) --counts_[token];
}

void TokenFile::give(const Tokens& gives) {
    for (const Token token : gives) {
        ++counts_[token];
        if (waiters_[token] == nobody) continue;
        const auto unit = static_cast<std::size_t>(waiters_[token]);
        if (awaited_[unit]) given_[unit].notify(sc_core::SC_ZERO_TIME);
        awaited_[unit] = false;
    }
}

}  // namespace wagesim::rtl
