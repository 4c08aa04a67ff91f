// The compiler's own check of a program's tokens.
#include <stdexcept>

#include "compile/emitter.h"

namespace wagesim::compile {

void TokenCheck::check(const std::vector<Command>& commands, const std::vector<TokenInfo>& tokens) {
    tokens_ = &tokens;
    for (std::size_t t = states_.size(); t < tokens.size(); ++t) {
        states_.emplace_back();
        states_.back().count = tokens[t].initial;
    }
    for (const Command& command : commands) {
        if (std::holds_alternative<Fence>(command.operands)) {
            check_fence();
        } else {
            for (const Token token : command.waits) {
                State& state = states_[token];
                take_side(state.waiter, command.unit, token);
                if (--state.count < 0) fail(token, "is waited for before it is given");
            }
            for (const Token token : command.gives) give(token, command.unit);
            if (const Gemm* gemm = std::get_if<Gemm>(&command.operands))
                for (const Token token : gemm->gives_at_swap) give(token, command.unit);
        }
        ++index_;
    }
    check_fence();
}

void TokenCheck::fail(std::size_t token, const std::string& what) const {
    throw std::logic_error("compile: command " + std::to_string(index_) + ": token " +
                           (*tokens_)[token].name + " " + what);
}

void TokenCheck::take_side(std::optional<Unit>& side, Unit unit, Token token) const {
    if (side && *side != unit) fail(token, "has two units on one side");
    side = unit;
}

void TokenCheck::give(Token token, Unit unit) {
    take_side(states_[token].giver, unit, token);
    ++states_[token].count;
}

void TokenCheck::check_fence() const {
    for (std::size_t t = 0; t < states_.size(); ++t)
        if (states_[t].count != (*tokens_)[t].initial)
            fail(t, "is not back at its start at a FENCE");
}

void check_tokens(const Program& program) { TokenCheck().check(program.commands, program.tokens); }

}  // namespace wagesim::compile
