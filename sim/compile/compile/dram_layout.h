// Where tensors lie in the Dram image.
#pragma once

#include <map>
#include <tuple>

#include "compile/tensor_plan.h"

namespace wagesim::compile {

/// Bytes of a pixel in a bit plane.
constexpr std::int64_t plane_bytes(std::int64_t channels, int bits) {
    return (channels * bits + 7) / 8;
}

/// One place per tensor, 64-byte aligned, in the order of the network file; nothing is reused.
class DramLayout {
public:
    /// The input, the parameters (masters and what the machine makes of them), the outputs
    /// that `stored[producer + 1]` names, and more, whose addresses are still to be given.
    DramLayout(const Job& job, const TensorPlans& plans, const std::vector<bool>& stored,
               const std::vector<DramTensor>& more);

    const DramTensor& at(int layer, Qp qp, Role role = Role::codes) const {
        return tensors_[place_.at({layer, qp, role})];
    }
    bool has(int layer, Qp qp, Role role = Role::codes) const {
        return place_.count({layer, qp, role}) > 0;
    }
    /// A producer's output.
    const DramTensor& output(int producer) const {
        return tensors_[output_[static_cast<std::size_t>(producer + 1)]];
    }
    const std::vector<DramTensor>& tensors() const { return tensors_; }
    std::int64_t bytes() const { return bytes_; }

private:
    std::size_t add(QpId qp, const Shape& shape, const Format& format, int bytes, MemoryOrder order,
                    bool from_host);
    std::size_t add(DramTensor tensor);
    void add_parameters(const Job& job, const TensorPlans& plans, int index);

    std::vector<DramTensor> tensors_;
    std::map<std::tuple<int, Qp, Role>, std::size_t> place_;
    std::vector<std::size_t> output_;
    std::int64_t bytes_ = 0;
};

/// A box of a tensor or bit plane in Dram, to or from a dense tile (n, h, w, c) in `activations`.
Transfer box_transfer(const DramTensor& tensor, const Box& box, std::int64_t buffer_address);

/// `count` consecutive elements.
Transfer run_transfer(const DramTensor& tensor, std::int64_t first, std::int64_t count,
                      Space buffer, std::int64_t buffer_address);

}  // namespace wagesim::compile
