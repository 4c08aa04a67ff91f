// What the backward pass needs: where errors come from, and what is kept or made for it.
#include "compile/training_plan.h"

#include <algorithm>
#include <string>

#include "compile/windows.h"
#include "wagesim/error.h"

namespace wagesim::compile {
namespace {

/// Most windows of a pool that one element lies in.
std::int64_t overlaps(const Window& window) {
    const auto axis = [](const WindowAxis& a) { return (a.kernel + a.stride - 1) / a.stride; };
    return std::int64_t{axis(window.h)} * axis(window.w);
}

int log2_ceil(std::int64_t x) {
    int bits = 0;
    while ((std::int64_t{1} << bits) < x) ++bits;
    return bits;
}

Wide magnitude_bound(const Format& format) { return (Wide{1} << (format.bits - 1)) - 1; }

}  // namespace

int index_bits(const Layer& pool) {
    const int bits = log2_ceil(std::int64_t{pool.kernel.h} * pool.kernel.w);
    return bits <= 1 ? 1 : bits <= 2 ? 2 : bits <= 4 ? 4 : 8;
}

TrainingPlan::TrainingPlan(const Job& job, const TensorPlans& plans) : job_(job), plans_(plans) {
    if (!job.training) return;
    const Layer& last = job.layer(job.layer_count() - 1);
    if (!is_array_layer(last) || last.out_shape.h != 1 || last.out_shape.w != 1)
        throw InputError("layer " + last.name +
                         ": is the last one; to be trained a network needs a linear layer or a "
                         "convolution with 1 x 1 outputs there");
    for (int i = 0; i < job.layer_count(); ++i) check_layer(i);
}

void TrainingPlan::check_layer(int index) const {
    const Layer& layer = job_.layer(index);
    if (layer.type == LayerType::add && quantizes_output(job_.network, index))
        throw InputError("layer " + layer.name +
                         ": an array layer reads it directly, where nothing masks the error; to be "
                         "trained it needs a relu or batch_norm between");
    if (layer.type == LayerType::max_pool && layer.kernel.h * layer.kernel.w > 256)
        throw InputError("layer " + layer.name + ": has windows of more than 256 places");
    if (layer.type == LayerType::batch_norm) check_batch_norm(index);
}

/// P and num are exact.
void TrainingPlan::check_batch_norm(int index) const {
    const auto at = [&](Qp qp) -> const Quantizer& { return job_.at(index, qp); };
    constexpr int fm = 8;
    const int fx = at(Qp::xhat).format.frac, fg = at(Qp::gamma_q).format.frac;
    const Quantizer& e1 = job_.at(error_layer(index), Qp::E1);
    const Wide e = std::min(magnitude_bound(e1.format), Wide{1} << e1.format.frac);
    const Wide xhat = magnitude_bound(at(Qp::xhat).format);
    // m1 and m2 are means of e and e xhat.
    const Wide m1 = e << fm, m2 = ((e * xhat) << fm >> fx) + 1;
    const Wide p = (e << (fm + fx)) + (m1 << fx) + xhat * m2;
    const auto require = [&](Qp qp, Wide bound) {
        int needed = 1;
        for (; bound > 0; bound >>= 1) ++needed;
        if (needed > at(qp).format.bits)
            throw InputError("layer " + job_.layer(index).name + ": " + std::string(to_string(qp)) +
                             " is exact and needs " + std::to_string(needed) +
                             " bits here; its register has " + std::to_string(at(qp).format.bits));
    };
    require(Qp::P, p);
    const int up =
        at(Qp::bn_err).format.frac - e1.format.frac - fm - fx - fg + at(Qp::sigma).format.frac;
    require(Qp::num, magnitude_bound(at(Qp::gamma_q).format) * p << std::max(up, 0));
}

int TrainingPlan::reader_count(int producer) const {
    int count = 0;
    for (const int reader : job_.layer(producer).readers)
        for (const int input : job_.layer(reader).inputs) count += input == producer ? 1 : 0;
    return count;
}

int TrainingPlan::error_layer(int batch_norm) const {
    const int relu = fused_relu(job_.network, batch_norm);
    return relu >= 0 ? relu : batch_norm;
}

bool has_mask(const Job& job, int layer) {
    return is_relu(job.layer(layer)) || quantizes_output(job.network, layer);
}

QpId TrainingPlan::masked_error(int layer) const {
    return {layer, has_mask(job_, layer) ? Qp::E1m : Qp::E1};
}

bool TrainingPlan::stores_bn_err(int layer) const {
    const int input = job_.layer(layer).inputs[0];
    return input >= 0 && (reader_count(input) > 1 || !is_array_layer(job_.layer(input)));
}

bool TrainingPlan::changes_scale(int pool) const {
    const Layer& layer = job_.layer(pool);
    return layer.type != LayerType::max_pool || overlaps(window_of(layer)) > 1;
}

/// What one reader delivers to what it reads.
ErrorSource TrainingPlan::contribution(int producer, int reader) const {
    const Layer& layer = job_.layer(reader);
    const auto tensor = [](QpId qp, int bytes, int bits) {
        return ErrorSource{{qp, Role::codes, bytes, bits, qp, qp}, -1};
    };
    switch (layer.type) {
        case LayerType::conv2d:
        case LayerType::linear:
            return tensor({reader, Qp::dx}, 5, 40);
        case LayerType::relu:
        case LayerType::relu6: {
            const Format& e1 = job_.at(reader, Qp::E1m).format;
            return tensor({reader, Qp::E1m}, bytes_of(e1), e1.bits);
        }
        case LayerType::batch_norm: {
            const Format& error = job_.at(reader, Qp::bn_err).format;
            return tensor({reader, Qp::bn_err}, 4, error.bits);
        }
        case LayerType::add:
            return error_at(reader);
        case LayerType::max_pool:
        case LayerType::avg_pool:
        case LayerType::global_avg_pool:
            break;
    }
    ErrorSource source = error_at(reader);
    if (spreads(reader)) {
        const int more = log2_ceil(overlaps(window_of(layer)));
        const QpId qp{reader, Qp::pool_err};
        if (layer.type == LayerType::max_pool && source.tensor.bits <= 0)
            return {{qp, Role::back, 8, source.tensor.bits - more, qp, source.tensor.width}, -1};
        const int bits =
            more + (layer.type == LayerType::max_pool ? source.tensor.bits
                                                      : job_.at(reader, Qp::pool_err).format.bits);
        return {{qp, Role::back, (bits + 7) / 8, bits, qp, qp}, -1};
    }
    (void)producer;
    source.pool = reader;
    return source;
}

std::vector<ErrorSource> TrainingPlan::contributions(int producer) const {
    std::vector<ErrorSource> all;
    for (const int reader : job_.layer(producer).readers)
        for (const int input : job_.layer(reader).inputs)
            if (input == producer) all.push_back(contribution(producer, reader));
    return all;
}

bool TrainingPlan::spreads(int pool) const {
    const int input = job_.layer(pool).inputs[0];
    return input >= 0 && (reader_count(input) > 1 || is_pool(job_.layer(input)) ||
                          job_.layer(input).type == LayerType::add);
}

ErrorSource TrainingPlan::error_at(int producer) const {
    if (job_.is_output(producer)) {
        const QpId e1{producer, Qp::E1};
        const Format& format = job_.at(producer, Qp::E1).format;
        return {{e1, Role::codes, bytes_of(format), format.bits, e1, e1}, -1};
    }
    if (!forks_at(producer)) return contributions(producer).front();
    const QpId fork{producer, Qp::fork};
    return {{fork, Role::codes, 8, 0, fork, fork}, -1};
}

std::vector<ErrorTensor> TrainingPlan::operands_at(int producer) const {
    std::vector<ErrorTensor> operands;
    for (const ErrorSource& source : contributions(producer)) operands.push_back(source.tensor);
    return operands;
}

Quantizer TrainingPlan::e2(int layer) const {
    Quantizer quantizer = job_.at(layer, Qp::E2);
    if (is_sq16()) quantizer.format = {16, 15, true, 0};
    return quantizer;
}

Quantizer TrainingPlan::e0() const {
    const int last = job_.layer_count() - 1;
    Quantizer quantizer = job_.at(last, Qp::e0);
    if (job_.datapath.training.loss == Loss::sse)
        quantizer.format = {33, plans_.output(last).format.frac, true, 0};
    return quantizer;
}

Format TrainingPlan::dx_format(int layer) const {
    return {40, e2(layer).format.frac + job_.at(layer, Qp::Wq).format.frac, true, 0};
}

Format TrainingPlan::gradient_format(int layer) const {
    const TensorPlan& operand = plans_.output(job_.layer(layer).inputs[0]);
    return {40, e2(layer).format.frac + operand.format.frac, true, 0};
}

namespace {

/// Collects places in the Dram.
class TensorList {
public:
    explicit TensorList(const Job& job) : job_(job) {}

    void codes(QpId qp, const Shape& shape, const Format& format, int bytes,
               Role role = Role::codes) {
        put(qp, role, shape, format, bytes, MemoryOrder::nhwc);
    }
    /// Codes with a scale's record.
    void scaled(QpId qp, const Shape& shape, const Format& format, int bytes,
                Role role = Role::codes) {
        codes(qp, shape, format, bytes, role);
        scale(qp);
    }
    void scale(QpId qp) {
        put(qp, Role::scale, {1, 1, 1, 1}, {8, 0, false, 0}, scale_bytes, MemoryOrder::flat);
    }
    void plane(QpId qp, Role role, const Shape& shape, int bits) {
        put(qp, role, shape, {bits, 0, false, 0}, 1, MemoryOrder::nhwc);
        list.back().plane_bits = bits;
    }
    /// A parameter's state, which the host sets before the first step, or its gradient.
    void parameter(QpId qp, const Shape& shape, MemoryOrder order, int bytes, bool from_host) {
        put(qp, Role::codes, shape, job_.at(qp.layer, qp.qp).format, bytes, order);
        list.back().from_host = from_host;
    }

    std::vector<DramTensor> list;

private:
    void put(QpId qp, Role role, const Shape& shape, const Format& format, int bytes,
             MemoryOrder order) {
        DramTensor tensor;
        tensor.qp = qp;
        tensor.role = role;
        tensor.shape = shape;
        tensor.format = format;
        tensor.bytes = bytes;
        tensor.order = order;
        list.push_back(tensor);
    }
    const Job& job_;
};

}  // namespace

std::vector<DramTensor> TrainingPlan::tensors() const {
    TensorList out(job_);
    const auto put_masked_error = [&](int i) {
        const QpId qp = masked_error(i);
        const Format& format = job_.at(i, qp.qp).format;
        const Shape& shape = plans_.output(i).shape;
        out.scaled(qp, shape, format, bytes_of(format));
        if (has_mask(job_, i)) out.plane(qp, Role::mask, shape, 1);
    };
    for (int i = 0; i < job_.layer_count(); ++i) {
        const Layer& layer = job_.layer(i);
        const int input = layer.inputs[0];
        const Shape& shape = plans_.output(i).shape;
        const Shape channels{1, shape.c, 1, 1};
        if (!job_.is_output(i) && forks_at(i))
            out.scaled({i, Qp::fork}, shape, {64, 0, true, 0}, 8);
        switch (layer.type) {
            case LayerType::conv2d:
            case LayerType::linear: {
                if (job_.is_output(i)) {
                    out.plane({-1, Qp::image}, Role::labels, {shape.n, 1, 1, 1}, 8);
                    out.list.back().from_host = true;
                    out.scaled({i, Qp::e0}, shape, e0().format, bytes_of(e0().format));
                    const Format& e1 = job_.at(i, Qp::E1).format;
                    out.scaled({i, Qp::E1}, shape, e1, bytes_of(e1));
                }
                out.codes({i, Qp::E2}, shape, is_sq16() ? e2(i).format : Format{8, 7, true, 0},
                          is_sq16() ? 2 : 1);
                if (!is_sq16()) out.plane({i, Qp::E2}, Role::flags, shape, 1);
                const Shape weights = weight_shape(layer);
                const MemoryOrder order =
                    layer.type == LayerType::conv2d ? MemoryOrder::ohwi : MemoryOrder::flat;
                out.scaled({i, Qp::gW}, weights, gradient_format(i), 5);
                if (job_.datapath.training.weight_decay_log2)
                    out.scaled({i, Qp::G}, weights, {64, 0, true, 0}, 8);
                out.parameter({i, Qp::Accq}, weights, order, bytes_of(job_.at(i, Qp::Accq).format),
                              true);
                if (makes_dx(i))
                    out.scaled({i, Qp::dx}, plans_.output(input).shape, dx_format(i), 5);
                if (layer.bias) {
                    out.parameter({i, Qp::gBias}, channels, MemoryOrder::flat, 4, false);
                    out.parameter({i, Qp::Accq_bias}, channels, MemoryOrder::flat,
                                  bytes_of(job_.at(i, Qp::Accq_bias).format), true);
                }
                break;
            }
            case LayerType::batch_norm: {
                const Format& xhat = job_.at(i, Qp::xhat).format;
                out.codes({i, Qp::xhat}, shape, xhat, bytes_of(xhat));
                if (error_layer(i) == i) put_masked_error(i);
                for (const Qp qp : {Qp::gBN_gamma, Qp::gBN_beta, Qp::m1, Qp::m2})
                    out.parameter({i, qp}, channels, MemoryOrder::flat, 4, false);
                for (const Qp qp : {Qp::Accq_gamma, Qp::Accq_beta})
                    out.parameter({i, qp}, channels, MemoryOrder::flat,
                                  bytes_of(job_.at(i, qp).format), true);
                if (stores_bn_err(i))
                    out.codes({i, Qp::bn_err}, shape, job_.at(i, Qp::bn_err).format, 4);
                if (needs_bn_err(i)) out.scale({i, Qp::bn_err});
                break;
            }
            case LayerType::relu:
            case LayerType::relu6:
                put_masked_error(i);
                break;
            case LayerType::max_pool:
            case LayerType::avg_pool:
            case LayerType::global_avg_pool:
                if (input < 0) break;
                if (layer.type == LayerType::max_pool)
                    out.plane({i, Qp::pool_err}, Role::index, shape, index_bits(layer));
                if (spreads(i)) {
                    const ErrorTensor back = contribution(input, i).tensor;
                    out.codes(back.qp, plans_.output(input).shape, {8 * back.bytes, 0, true, 0},
                              back.bytes, Role::back);
                }
                if (spreads(i) || changes_scale(i)) out.scale({i, Qp::pool_err});
                break;
            case LayerType::add:
                break;
        }
    }
    return out.list;
}

}  // namespace wagesim::compile
