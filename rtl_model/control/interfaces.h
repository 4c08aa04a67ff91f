// Where the machine's blocks meet: queues, tokens, the control's ear, and the Dram.
#pragma once

#include <cstdint>
#include <exception>
#include <string>
#include <systemc>
#include <vector>

#include "wagesim/program/command.h"
#include "wagesim/program/probe.h"

namespace wagesim::rtl {

struct Issued {
    const Command* command = nullptr;
    std::int64_t index = 0;  ///< in the program
    std::int64_t cycle = 0;  ///< of issue; may be to come: nobody may see it before
};

/// As messages name it.
inline std::string describe(const Issued& issued) {
    return "command " + std::to_string(issued.index) + " " + mnemonic(*issued.command);
}

/// A command queue as the scheduler sees it.
class CommandSink : public virtual sc_core::sc_interface {
public:
    virtual bool has_room() const = 0;
    virtual void push(const Issued& issued) = 0;
    virtual const sc_core::sc_event& room_made() const = 0;  ///< after it was full
};

/// A command queue as its unit sees it.
class CommandSource : public virtual sc_core::sc_interface {
public:
    virtual const Issued* head() const = 0;               ///< null: empty
    virtual void pop() = 0;                               ///< the head starts: its entry is free
    virtual const sc_core::sc_event& pushed() const = 0;  ///< after it was empty
};

class TokenPort : public virtual sc_core::sc_interface {
public:
    /// The first of `waits` that is not there; null: all can be taken.
    virtual const TokenInfo* lacking(const Tokens& waits) const = 0;
    virtual void take(const Tokens& waits) = 0;
    virtual void give(const Tokens& gives) = 0;
    /// For a unit that lacks one: the next of its tokens is given.
    virtual const sc_core::sc_event& next_given(Unit unit) = 0;
};

/// Units report to the scheduler.
class ControlPort : public virtual sc_core::sc_interface {
public:
    virtual void retired(const Retired& retired) = 0;
    /// Ends the run; Machine::run throws it.
    virtual void failed(std::exception_ptr error) = 0;
};

enum class DramSide { read, write };

/// A Dma's access to the Dram: the bytes, and the time they take.
class DramPort : public virtual sc_core::sc_interface {
public:
    /// A command of so many bursts begins in the present cycle.
    virtual void begin(DramSide side, std::int64_t bursts) = 0;
    /// The cycle in which it is done, as far as known: never later, until the other side begins
    /// a command.
    virtual std::int64_t finish(DramSide side) const = 0;
    virtual const std::uint8_t* read(std::int64_t address, std::int64_t bytes) = 0;
    virtual std::uint8_t* write(std::int64_t address, std::int64_t bytes) = 0;
};

}  // namespace wagesim::rtl
