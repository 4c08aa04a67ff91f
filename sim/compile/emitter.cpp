// Appends commands and tokens to a program.
#include "compile/emitter.h"

namespace wagesim::compile {

Command Emitter::command(Unit unit, int layer, int tile, const Box& box,
                         Command::Operands operands) const {
    Command command;
    command.unit = unit;
    command.layer = layer;
    command.phase = phase_;
    command.tile = tile;
    command.box = box;
    command.operands = std::move(operands);
    return command;
}

void Emitter::wait(Command& command, const TokenKind& kind) {
    command.waits.push_back(token(kind));
}

void Emitter::give(Command& command, const TokenKind& kind) {
    command.gives.push_back(token(kind));
}

void Emitter::give_at_swap(Gemm& gemm, const TokenKind& kind) {
    gemm.gives_at_swap.push_back(token(kind));
}

void Emitter::fence(int layer) { emit(command(Unit::dma_read, layer, 0, Box{}, Fence{})); }

Token Emitter::token(const TokenKind& kind) {
    const auto [entry, is_new] = numbers_.emplace(kind.name, static_cast<Token>(tokens_.size()));
    if (is_new) tokens_.push_back({kind.name, kind.cause, kind.initial});
    return entry->second;
}

Box channel_box(std::int64_t c0, std::int64_t c) {
    Box box;
    box.c0 = static_cast<std::int32_t>(c0);
    box.c = static_cast<std::int32_t>(c);
    return box;
}

}  // namespace wagesim::compile
