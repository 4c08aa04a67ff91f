// Appends commands and tokens to a program.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "wagesim/program/command.h"

namespace wagesim::compile {

/// A token of every pass that needs it: back at `initial` at every FENCE.
struct TokenKind {
    const char* name;
    Unit giver, waiter;
    StallCause cause;
    int initial;
};

/// Two of a thing (banks, halves) are a count of two: their users take turns.
namespace tokens {
inline constexpr TokenKind input_full{"input_full", Unit::dma_read, Unit::array,
                                      StallCause::activations, 0};
inline constexpr TokenKind input_free{"input_free", Unit::array, Unit::dma_read, StallCause::dram,
                                      2};
inline constexpr TokenKind weights_full{"weights_full", Unit::dma_read, Unit::weight_loader,
                                        StallCause::weights, 0};
inline constexpr TokenKind weights_free{"weights_free", Unit::weight_loader, Unit::dma_read,
                                        StallCause::dram, 2};
// os: the array reads the buffer itself.
inline constexpr TokenKind weights_full_array{"weights_full", Unit::dma_read, Unit::array,
                                              StallCause::weights, 0};
inline constexpr TokenKind weights_free_array{"weights_free", Unit::array, Unit::dma_read,
                                              StallCause::dram, 2};
inline constexpr TokenKind shadow_full{"shadow_full", Unit::weight_loader, Unit::array,
                                       StallCause::weights, 0};
inline constexpr TokenKind shadow_free{"shadow_free", Unit::array, Unit::weight_loader,
                                       StallCause::weights, 1};
inline constexpr TokenKind bias_full{"bias_full", Unit::dma_read, Unit::array,
                                     StallCause::parameters, 0};
inline constexpr TokenKind sums_full_vector{"sums_full_vector", Unit::array, Unit::vector,
                                            StallCause::accumulator, 0};
inline constexpr TokenKind sums_free_vector{"sums_free_vector", Unit::vector, Unit::array,
                                            StallCause::accumulator, 2};
inline constexpr TokenKind sums_full_drain{"sums_full_drain", Unit::array, Unit::drain,
                                           StallCause::accumulator, 0};
inline constexpr TokenKind sums_free_drain{"sums_free_drain", Unit::drain, Unit::array,
                                           StallCause::accumulator, 2};
inline constexpr TokenKind tile_full{"tile_full", Unit::dma_read, Unit::vector,
                                     StallCause::activations, 0};
inline constexpr TokenKind tile_free{"tile_free", Unit::vector, Unit::dma_read, StallCause::dram,
                                     2};
inline constexpr TokenKind operand_full{"operand_full", Unit::dma_read, Unit::vector,
                                        StallCause::activations, 0};
inline constexpr TokenKind operand_free{"operand_free", Unit::dma_write, Unit::dma_read,
                                        StallCause::dram, 2};
inline constexpr TokenKind parameters_full{"parameters_full", Unit::dma_read, Unit::vector,
                                           StallCause::parameters, 0};
inline constexpr TokenKind result_full_vector{"result_full_vector", Unit::vector, Unit::dma_write,
                                              StallCause::vector, 0};
inline constexpr TokenKind result_free_vector{"result_free_vector", Unit::dma_write, Unit::vector,
                                              StallCause::dram, 2};
inline constexpr TokenKind result_full_drain{"result_full_drain", Unit::drain, Unit::dma_write,
                                             StallCause::accumulator, 0};
inline constexpr TokenKind result_free_drain{"result_free_drain", Unit::dma_write, Unit::drain,
                                             StallCause::dram, 2};
inline constexpr TokenKind statistics_clear{"statistics_clear", Unit::vector, Unit::drain,
                                            StallCause::parameters, 0};
inline constexpr TokenKind statistics_full{"statistics_full", Unit::drain, Unit::vector,
                                           StallCause::parameters, 0};
inline constexpr TokenKind statistics_done{"statistics_done", Unit::vector, Unit::dma_write,
                                           StallCause::parameters, 0};
inline constexpr TokenKind masters_full{"masters_full", Unit::dma_read, Unit::update,
                                        StallCause::weights, 0};
inline constexpr TokenKind masters_free{"masters_free", Unit::update, Unit::dma_read,
                                        StallCause::dram, 2};
// A training step's masters are changed where they lie.
inline constexpr TokenKind masters_free_stored{"masters_free", Unit::dma_write, Unit::dma_read,
                                               StallCause::dram, 2};
inline constexpr TokenKind codes_full{"codes_full", Unit::update, Unit::dma_write,
                                      StallCause::weights, 0};
inline constexpr TokenKind codes_free{"codes_free", Unit::dma_write, Unit::update, StallCause::dram,
                                      2};
}  // namespace tokens

class Emitter {
public:
    /// For the commands from here on.
    void begin_phase(Phase phase) { phase_ = phase; }

    /// The command, with its unit, layer, tile and box; its tokens are still to be set.
    Command command(Unit unit, int layer, int tile, const Box& box,
                    Command::Operands operands) const;
    void wait(Command& command, const TokenKind& kind);
    void give(Command& command, const TokenKind& kind);
    void give_at_swap(Gemm& gemm, const TokenKind& kind);
    void emit(Command command) { commands_.push_back(std::move(command)); }
    void fence(int layer);

    /// What was emitted since the last time, in exchange for `room`, which takes what comes next: a
    /// pass's commands fill new pages only where no pass before was as large.
    void take_commands(std::vector<Command>& room) {
        room.clear();
        std::swap(commands_, room);
    }
    void expect_commands(std::size_t count) { commands_.reserve(count); }
    /// All that have been named so far.
    const std::vector<TokenInfo>& tokens() const { return tokens_; }

private:
    Token token(const TokenKind& kind);

    std::vector<Command> commands_;
    std::vector<TokenInfo> tokens_;
    std::map<std::string_view, Token> numbers_;
    Phase phase_ = Phase::forward;
};

/// Emits a pass: commands up to a FENCE.
using LowerPass = std::function<void(Emitter&)>;

/// Channels [c0, c0 + c): the box of what has no pixels.
Box channel_box(std::int64_t c0, std::int64_t c);

/// What makes a program deadlock-free at any queue depth: every wait is met by a give that stands
/// before it; and every token is back at its start at each FENCE, with one giving and one waiting
/// unit.
class TokenCheck {
public:
    /// The next commands of a program, up to a FENCE. Throws std::logic_error.
    void check(const std::vector<Command>& commands, const std::vector<TokenInfo>& tokens);

private:
    struct State {
        int count = 0;
        std::optional<Unit> giver, waiter;
    };
    [[noreturn]] void fail(std::size_t token, const std::string& what) const;
    void take_side(std::optional<Unit>& side, Unit unit, Token token) const;
    void give(Token token, Unit unit);
    void check_fence() const;

    const std::vector<TokenInfo>* tokens_ = nullptr;
    std::vector<State> states_;
    std::size_t index_ = 0;  // of the program's commands
};

void check_tokens(const Program& program);

}  // namespace wagesim::compile
