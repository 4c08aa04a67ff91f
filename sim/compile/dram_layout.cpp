// Where tensors lie in the Dram image.
#include "compile/dram_layout.h"

#include <string>

#include "wagesim/error.h"

namespace wagesim::compile {
namespace {

constexpr std::int64_t alignment = 64;

}  // namespace

DramLayout::DramLayout(const Job& job, const TensorPlans& plans, const std::vector<bool>& stored,
                       const std::vector<DramTensor>& more)
    : output_(stored.size()) {
    for (int producer = -1; producer < job.layer_count(); ++producer) {
        if (producer >= 0) add_parameters(job, plans, producer);
        const auto slot = static_cast<std::size_t>(producer + 1);
        if (!stored[slot]) continue;
        const TensorPlan& plan = plans.output(producer);
        output_[slot] =
            add(plan.qp, plan.shape, plan.format, plan.bytes, MemoryOrder::nhwc, producer < 0);
    }
    for (const DramTensor& tensor : more) add(tensor);
    if (bytes_ > job.datapath.machine.dram_bytes)
        throw InputError("network " + job.network.name + ": needs " + std::to_string(bytes_) +
                         " bytes of Dram with batch " + std::to_string(job.batch) +
                         "; dram_bytes is " + std::to_string(job.datapath.machine.dram_bytes));
}

std::size_t DramLayout::add(QpId qp, const Shape& shape, const Format& format, int bytes,
                            MemoryOrder order, bool from_host) {
    DramTensor tensor;
    tensor.qp = qp;
    tensor.shape = shape;
    tensor.format = format;
    tensor.bytes = bytes;
    tensor.order = order;
    tensor.from_host = from_host;
    return add(tensor);
}

std::size_t DramLayout::add(DramTensor tensor) {
    tensor.address = bytes_;
    const Shape& shape = tensor.shape;
    const std::int64_t size = tensor.plane_bits > 0 ? shape.n * shape.h * shape.w *
                                                          plane_bytes(shape.c, tensor.plane_bits)
                                                    : shape.size() * tensor.bytes;
    bytes_ += (size + alignment - 1) / alignment * alignment;
    place_[{tensor.qp.layer, tensor.qp.qp, tensor.role}] = tensors_.size();
    tensors_.push_back(tensor);
    return tensors_.size() - 1;
}

void DramLayout::add_parameters(const Job& job, const TensorPlans& plans, int index) {
    const Layer& layer = job.layer(index);
    const auto put = [&](Qp qp, const Shape& shape, const Format& format, int bytes,
                         MemoryOrder order, bool from_host) {
        add({index, qp}, shape, format, bytes, order, from_host);
    };
    if (is_array_layer(layer)) {
        const Shape shape = weight_shape(layer);
        const MemoryOrder order =
            layer.type == LayerType::conv2d ? MemoryOrder::ohwi : MemoryOrder::flat;
        const Format& master = job.at(index, Qp::W).format;
        put(Qp::W, shape, master, bytes_of(master), order, true);
        put(Qp::Wq, shape, job.at(index, Qp::Wq).format, 1, order, false);
        if (layer.bias) {
            const Shape channels{1, layer.out_channels, 1, 1};
            const Format& bias = job.at(index, Qp::bias).format;
            put(Qp::bias, channels, bias, bytes_of(bias), MemoryOrder::flat, true);
            put(Qp::bias_q, channels, plans.formats(index).bias_q.format, 4, MemoryOrder::flat,
                false);
        }
    } else if (layer.type == LayerType::batch_norm) {
        const Shape channels{1, layer.in_shape.c, 1, 1};
        const auto put_vector = [&](Qp qp, int bytes, bool from_host) {
            put(qp, channels, job.at(index, qp).format, bytes, MemoryOrder::flat, from_host);
        };
        for (const Qp qp : {Qp::gamma, Qp::beta})
            put_vector(qp, bytes_of(job.at(index, qp).format), true);
        for (const Qp qp : {Qp::run_mu, Qp::run_sigma}) put_vector(qp, 4, true);
        for (const Qp qp : {Qp::gamma_q, Qp::beta_q})
            put_vector(qp, bytes_of(job.at(index, qp).format), false);
        for (const Qp qp : {Qp::mu, Qp::sigma}) put_vector(qp, 4, false);
    }
}

Transfer box_transfer(const DramTensor& tensor, const Box& box, std::int64_t buffer_address) {
    const Shape& shape = tensor.shape;
    const bool is_plane = tensor.plane_bits > 0;
    const auto bytes = [&](std::int64_t channels) {
        return is_plane ? plane_bytes(channels, tensor.plane_bits) : channels * tensor.bytes;
    };
    const std::int64_t dram_w = bytes(shape.c);
    const std::int64_t dram_h = shape.w * dram_w;
    const std::int64_t dram_n = shape.h * dram_h;
    const std::int64_t tile_w = bytes(box.c);
    const std::int64_t tile_h = box.w * tile_w;
    const std::int64_t tile_n = box.h * tile_h;
    Transfer transfer;
    transfer.buffer = Space::activations;
    transfer.buffer_address = buffer_address;
    transfer.dram_address =
        tensor.address + box.n0 * dram_n + box.h0 * dram_h + box.w0 * dram_w + bytes(box.c0);
    transfer.run_bytes = tile_w;
    transfer.counts = {box.n, box.h, box.w};
    transfer.dram_strides = {dram_n, box.step_h * dram_h, box.step_w * dram_w};
    transfer.buffer_strides = {tile_n, tile_h, tile_w};
    // Runs that follow each other without a gap are one.
    for (std::size_t i = transfer.counts.size(); i-- > 0;) {
        if (transfer.run_bytes != transfer.dram_strides[i]) break;
        transfer.run_bytes *= transfer.counts[i];
        transfer.counts[i] = 1;
    }
    return transfer;
}

Transfer run_transfer(const DramTensor& tensor, std::int64_t first, std::int64_t count,
                      Space buffer, std::int64_t buffer_address) {
    Transfer transfer;
    transfer.buffer = buffer;
    transfer.dram_address = tensor.address + first * tensor.bytes;
    transfer.buffer_address = buffer_address;
    transfer.run_bytes = count * tensor.bytes;
    return transfer;
}

}  // namespace wagesim::compile
