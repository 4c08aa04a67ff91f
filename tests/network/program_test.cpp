// Names of commands and units: complete, distinct, and as listings print them.
#include <gtest/gtest.h>

#include <set>

#include "wagesim/program/command.h"

namespace wagesim {
namespace {

template <std::size_t... I>
std::set<std::string> all_mnemonics(std::index_sequence<I...>) {
    std::set<std::string> names;
    const auto add = [&](Command::Operands operands) {
        Command command;
        command.operands = std::move(operands);
        names.insert(mnemonic(command));
    };
    (add(std::variant_alternative_t<I, Command::Operands>{}), ...);
    return names;
}

TEST(Program, GivesEveryCommandItsOwnMnemonic) {
    constexpr std::size_t kinds = std::variant_size_v<Command::Operands>;
    const auto names = all_mnemonics(std::make_index_sequence<kinds>{});
    EXPECT_EQ(names.size(), kinds);
    for (const char* name : {"FENCE", "LOAD", "WLOAD", "GEMM", "DRAIN", "BN_STAT", "NORMALIZE"})
        EXPECT_EQ(names.count(name), 1u) << name;
}

TEST(Program, TellsLoadFromStoreByTheUnit) {
    Command command;
    command.operands = Transfer{};
    command.unit = Unit::dma_read;
    EXPECT_EQ(mnemonic(command), "LOAD");
    command.unit = Unit::dma_write;
    EXPECT_EQ(mnemonic(command), "STORE");
}

TEST(Program, NamesEveryUnitAndStallCause) {
    std::set<std::string_view> names;
    for (int i = 0; i < unit_count; ++i) names.insert(to_string(static_cast<Unit>(i)));
    EXPECT_EQ(names.size(), static_cast<std::size_t>(unit_count));
    EXPECT_EQ(names.count("?"), 0u);
    names.clear();
    for (int i = 0; i < stall_cause_count; ++i) names.insert(to_string(static_cast<StallCause>(i)));
    EXPECT_EQ(names.size(), static_cast<std::size_t>(stall_cause_count));
    EXPECT_EQ(names.count("?"), 0u);
    EXPECT_EQ(to_string(Phase::forward), "forward");
    EXPECT_EQ(to_string(Space::accumulators), "accumulators");
}

}  // namespace
}  // namespace wagesim
