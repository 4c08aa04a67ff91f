// The compiler's own check of a program's tokens.
#include <optional>
#include <stdexcept>
#include <string>

#include "compile/emitter.h"

namespace wagesim::compile {
namespace {

class TokenCheck {
public:
    explicit TokenCheck(const Program& program)
        : program_(program), states_(program.tokens.size()) {
        for (std::size_t t = 0; t < states_.size(); ++t)
            states_[t].count = program.tokens[t].initial;
    }

    void run() {
        for (index_ = 0; index_ < program_.commands.size(); ++index_) {
            const Command& command = program_.commands[index_];
            if (std::holds_alternative<Fence>(command.operands)) {
                check_fence();
                continue;
            }
            for (const Token token : command.waits) {
                State& state = states_[token];
                take_side(state.waiter, command.unit, token);
                if (--state.count < 0) fail(token, "is waited for before it is given");
            }
            for (const Token token : command.gives) give(token, command.unit);
            if (const Gemm* gemm = std::get_if<Gemm>(&command.operands))
                for (const Token token : gemm->gives_at_swap) give(token, command.unit);
        }
        check_fence();
    }

private:
    struct State {
        int count = 0;
        std::optional<Unit> giver, waiter;
    };

    [[noreturn]] void fail(std::size_t token, const std::string& what) const {
        throw std::logic_error("compile: command " + std::to_string(index_) + ": token " +
                               program_.tokens[token].name + " " + what);
    }

    void take_side(std::optional<Unit>& side, Unit unit, Token token) const {
        if (side && *side != unit) fail(token, "has two units on one side");
        side = unit;
    }

    void give(Token token, Unit unit) {
        take_side(states_[token].giver, unit, token);
        ++states_[token].count;
    }

    void check_fence() const {
        for (std::size_t t = 0; t < states_.size(); ++t)
            if (states_[t].count != program_.tokens[t].initial)
                fail(t, "is not back at its start at a FENCE");
    }

    const Program& program_;
    std::vector<State> states_;
    std::size_t index_ = 0;
};

}  // namespace

void check_tokens(const Program& program) { TokenCheck(program).run(); }

}  // namespace wagesim::compile
