// Executes a program on names instead of numbers: what every byte is, and who may use it when.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "program_bytes.h"
#include "program_check.h"

namespace wagesim::test {

/// What a run has to make, and what lies in Dram before it.
struct Task {
    std::vector<compile::Expected> makes;
    std::set<Place> starts_with;  ///< besides what the host writes
    bool leaves_all = true;       ///< every tensor in Dram; else only what it makes
};

class ProgramChecker {
public:
    ProgramChecker(const Program& program, const Network& network, const Datapath& datapath,
                   std::int64_t batch, const Task& task, Checked& checked);
    /// Throws Violation.
    void run();

private:
    const Command& command() const { return program_.commands[static_cast<std::size_t>(i_)]; }
    const Box& box() const { return command().box; }
    [[noreturn]] static void fail(const std::string& what) { throw Violation(what); }
    static void require(bool holds, const char* what) {
        if (!holds) fail(what);
    }
    std::string text(const Element& element) const;
    static std::int64_t size_of(const DramTensor& tensor);
    void make(const Element& element);

    // Buffers.
    Memory& memory(Space space);
    void touch(Space space, std::int64_t address);
    void in_one_bank(const TileView& view, const Box& b) const;
    std::uint64_t read_byte(Space space, std::int64_t address);
    void write_byte(Space space, std::int64_t address, std::uint64_t id);
    void read_element(Space space, std::int64_t address, int bytes, const Element& expected);
    void write_element(Space space, std::int64_t address, int bytes, const Element& element);
    void read_vector(int layer, Qp qp, std::int64_t address, int bytes);
    void write_vector(int layer, Qp qp, std::int64_t address, int bytes, bool is_next = false);
    void make_vector(int layer, Qp qp, std::int64_t address, int bytes, bool is_next = false);
    int code_bytes(int layer, Qp qp) const { return (rules_.at(layer, qp).format.bits + 7) / 8; }

    // Tiles.
    template <class Function>
    static void for_each(const Box& b, Function f) {
        for (int n = 0; n < b.n; ++n)
            for (int h = 0; h < b.h; ++h)
                for (int w = 0; w < b.w; ++w)
                    for (int c = 0; c < b.c; ++c) f(n, h, w, c);
    }
    static std::int64_t at(const TileView& v, int n, int h, int w, int c) {
        return v.address + n * v.stride_n + h * v.stride_h + w * v.stride_w +
               std::int64_t{c} * v.bytes;
    }
    /// A tile's element in its tensor.
    static Element element_at(const Place& place, const Shape& shape, const Box& b, int n, int h,
                              int w, int c) {
        return {place.layer, place.qp,
                index_in(shape, b.n0 + n, b.h0 + h * b.step_h, b.w0 + w * b.step_w, b.c0 + c),
                place.role};
    }
    void read_tile(const TileView& view, int producer, const Box& b);
    void read_sums(const TileView& view, const Place& place, const Shape& shape, const Box& b);
    void write_tile(const TileView& view, int layer, Qp qp, const TensorRule& rule,
                    const Format& format, const Box& b);
    void write_output(const TileView& view, int producer, const Box& b);
    void make_tile(int layer, Qp qp, const Box& b);
    /// Codes of an error or of what belongs to one.
    void read_codes(const TileView& view, const Place& place, const Box& b);
    void write_codes(const TileView& view, const Place& place, const Box& b);
    void make_codes(const Place& place, const Box& b);

    // Bit planes.
    static std::int64_t plane_address(const BitPlane& plane, int n, int h, int w) {
        return plane.address + n * plane.stride_n + h * plane.stride_h + w * plane.stride_w;
    }
    void read_bits(const BitPlane& plane, std::int64_t address, int c, const Place& place,
                   int channels, std::int64_t pixel, std::int64_t channel);
    void read_plane(const BitPlane& plane, const Place& place, const Box& b);
    void write_plane(const BitPlane& plane, const Place& place, const Box& b, int bits);

    // Scales' records.
    void gather_largest(std::int64_t address, const Place& place, std::int64_t count);
    Element read_record(std::int64_t address);
    bool tells_of(const Place& record, const Place& error) const;
    void check_scale(const ScaleView& scale, const Place& error, bool quantized,
                     bool all_gathered = true);
    void check_decay(const Exponent::Operand& gradient, const Exponent::Operand& master, int layer);
    void check_unit(const Exponent::Operand& operand, const Place& error);
    std::pair<int, Place> register_bits(const Place& error) const;
    std::vector<Place> meeting_at(int producer) const;

    // Products.
    Sum& sum_at(std::int64_t row, std::int64_t column);
    void take_shadow(const Gemm& g);
    /// One stationary operand, its flag checked.
    std::uint64_t read_weight(const WeightView& view, int row, int column);
    std::uint64_t weight(const Gemm& g, int row, int column);
    void read_bias(const Gemm& g);
    void read_operands(const Gemm& g, const Layer& layer, const TensorRule& input, int group, int n,
                       int oh, int ow);
    void add_products(const Gemm& g, std::int64_t row, int column, const Element& element,
                      std::int64_t first_k, std::int64_t all_k);
    void check_operands_order(const Gemm& g, std::int64_t first, std::int64_t all) const;
    void multiply_forward(const Gemm& g);
    void multiply_error(const Gemm& g);
    void multiply_gradient(const Gemm& g);
    Element dx_element(int layer, std::int64_t n, std::int64_t h, std::int64_t w,
                       std::int64_t i) const;
    void drain_dx(const Drain& d);
    void drain_gradient(const Drain& d);
    /// Whether two are one; an index below 0 tells only the weights that it belongs to.
    bool same_sum(const Element& a, const Element& b) const;
    void check_left(const Place& place, const DramTensor& tensor) const;
    Sum& complete_sum(std::int64_t row, int column, const Element& element);

    // Statistics of a channel.
    struct Statistics {
        Place tensor;
        std::int64_t channel = -1, count = 0;
    };
    void gather(std::int64_t address, const Place& tensor);
    void check_statistics(std::int64_t address, const Place& tensor, std::int64_t count);

    TensorRule xhat_rule(int index) const;
    bool holds_other(const TileView& view, int producer) {
        return element_of(read_byte(view.space, view.address)).layer != producer;
    }
    void store(std::int64_t address, std::uint64_t id);

    void execute(const Fence&);
    void execute(const Transfer& t);
    void execute(const WeightLoad& w);
    void execute(const Gemm& g);
    void execute(const Drain& d);
    void execute(const Gather& g);
    void execute(const Clear& c);
    void execute(const BnStat& s);
    void execute(const BnCoef& b);
    void execute(const NormalizeCmd& n);
    void execute(const Act& a);
    void execute(const Add& a);
    void execute(const Pool& p);
    void execute(const QuantizeCmd& q);
    // A training step's (training_check.cpp).
    void execute(const Softmax& s);
    void execute(const Exponent& e);
    void execute(const ShiftQuantize& q);
    void execute(const FlagQuantize& q);
    void execute(const PoolBack& p);
    void execute(const Reduce& r);
    void execute(const BnBack& b);
    void execute(const BnError& b);
    void execute(const Fork& f);
    void execute(const Update& u);

    const Program& program_;
    const Network& network_;
    const MachineConfig& machine_;
    const Task& task_;
    Rules rules_;
    Order order_;
    Memory dram_, weights_, activations_, parameters_;
    std::vector<Sum> sums_;
    Checked& checked_;
    std::map<std::pair<int, Qp>, std::vector<std::uint8_t>> made_;
    std::map<Place, const DramTensor*> tensors_;
    std::int64_t dram_end_ = 0;
    std::array<std::array<std::int32_t, unit_count>, 4> bank_users_{};
    std::vector<std::vector<std::uint64_t>> shadow_;  // column, row
    std::int32_t shadow_loaded_by_ = -1;
    int shadow_rows_ = 0;
    std::int32_t swaps_ = 0;
    std::map<std::int64_t, Statistics> statistics_;
    std::int32_t i_ = 0;
};

}  // namespace wagesim::test
