// The Verilated twin of one configuration: its ports and registers by name.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "wagesim/network/datapath.h"

namespace wagesim::rtl::testing {

/// A signal of any width: little-endian, as Verilator keeps it.
class Signal {
public:
    Signal() = default;
    explicit Signal(std::uint8_t* data) : data_(data) {}

    /// Element i of `bits` bits each, sign-extended.
    std::int64_t element(int i, int bits) const;
    void set_element(int i, int bits, std::int64_t value) const;
    bool bit(int i = 0) const { return element(i, 1) != 0; }
    void set_bit(bool value) const { set_element(0, 1, value ? 1 : 0); }
    void set_bit(int i, bool value) const { set_element(i, 1, value ? 1 : 0); }

private:
    std::uint8_t* data_ = nullptr;
};

class Model {
public:
    /// What this program's twin was built for.
    static MachineConfig config();
    static int operand_bytes();
    static constexpr int depth = 64, row_bits = 6;

    /// In the first cycle after reset.
    Model();
    ~Model();

    Signal port(const std::string& name) const { return find("TOP.TOP", name); }
    Signal find(const std::string& scope, const std::string& name) const;

    /// Inputs have changed.
    void settle();
    /// The rising edge that ends the cycle.
    void edge();

private:
    struct Verilated;
    std::unique_ptr<Verilated> verilated_;
};

}  // namespace wagesim::rtl::testing
