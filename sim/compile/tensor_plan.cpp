// What every layer's output is made of: quantisation point, format, bytes, largest code.
#include "compile/tensor_plan.h"

#include <algorithm>
#include <string>
#include <utility>

#include "wagesim/error.h"

namespace wagesim::compile {
namespace {

std::string name_of(Qp qp) { return std::string(to_string(qp)); }

/// Largest magnitude that a quantiser delivers.
Wide bound_of(const Quantizer& quantizer) {
    const Format& format = quantizer.format;
    if (!format.is_signed) return (Wide{1} << format.bits) - 1;
    const Wide beyond = Wide{1} << (format.bits - 1);
    return quantizer.overflow == Overflow::saturate ? beyond - 1 : beyond;
}

/// Bits of a register that holds every code up to `bound`.
int bits_for(Wide bound, bool is_signed) {
    int bits = is_signed ? 1 : 0;
    for (; bound > 0; bound >>= 1) ++bits;
    return bits;
}

void require_exact(const Layer& layer, Qp qp, Wide bound, const Format& format) {
    const int needed = bits_for(bound, format.is_signed);
    if (needed > format.bits)
        throw InputError("layer " + layer.name + ": " + name_of(qp) + " is exact and needs " +
                         std::to_string(needed) + " bits here; its register has " +
                         std::to_string(format.bits));
}

void require_bits(const Job& job, int index, Qp qp, int most, const char* why) {
    const int bits = job.at(index, qp).format.bits;
    if (bits > most)
        throw InputError("layer " + job.layer(index).name + ": " + name_of(qp) + " has " +
                         std::to_string(bits) + " bits, expected at most " + std::to_string(most) +
                         ": " + why);
}

/// x * 2^places, refused where no register would do.
Wide scaled(Wide x, int places, const Layer& layer, Qp qp) {
    if (bits_for(x, false) + places > 120)
        throw InputError("layer " + layer.name + ": " + name_of(qp) +
                         " would need more than 120 bits");
    return x << places;
}

}  // namespace

bool is_array_layer(const Layer& layer) {
    return layer.type == LayerType::conv2d || layer.type == LayerType::linear;
}

bool is_relu(const Layer& layer) {
    return layer.type == LayerType::relu || layer.type == LayerType::relu6;
}

bool is_pool(const Layer& layer) {
    return layer.type == LayerType::max_pool || layer.type == LayerType::avg_pool ||
           layer.type == LayerType::global_avg_pool;
}

int fused_relu(const Network& network, int batch_norm) {
    const auto& readers = network.layers[static_cast<std::size_t>(batch_norm)].readers;
    if (readers.size() != 1 || quantizes_output(network, batch_norm)) return -1;
    return is_relu(network.layers[static_cast<std::size_t>(readers[0])]) ? readers[0] : -1;
}

int bytes_of(const Format& format) { return (format.bits + 7) / 8; }

TensorPlans::TensorPlans(const Job& job)
    : outputs_(job.network.layers.size() + 1), formats_(job.network.layers.size()) {
    const auto with_batch = [&](Shape shape) {
        shape.n = job.batch;
        return shape;
    };
    const Quantizer& image = job.datapath.quantizers.at(Qp::image);
    outputs_[0] = {{-1, Qp::image},
                   image.format,
                   bytes_of(image.format),
                   bound_of(image),
                   with_batch(job.network.input)};
    for (int i = 0; i < job.layer_count(); ++i) {
        const Layer& layer = job.layer(i);
        TensorPlan& out = outputs_[static_cast<std::size_t>(i + 1)];
        out.shape = with_batch(layer.out_shape);
        switch (layer.type) {
            case LayerType::conv2d:
            case LayerType::linear:
                plan_array_layer(job, i);
                break;
            case LayerType::batch_norm:
                plan_batch_norm(job, i);
                break;
            case LayerType::add:
                plan_add(job, i);
                break;
            case LayerType::max_pool:
            case LayerType::avg_pool:
            case LayerType::global_avg_pool:
                plan_pool(job, i);
                break;
            case LayerType::relu:
            case LayerType::relu6:
                out.qp = {i, Qp::A};
                break;
        }
        if (out.qp.qp == Qp::A && layer.type != LayerType::max_pool) {
            const Quantizer& a = job.at(i, Qp::A);
            out.format = a.format;
            out.bytes = bytes_of(a.format);
            out.bound = bound_of(a);
        }
    }
}

void TensorPlans::plan_array_layer(const Job& job, int index) {
    const Layer& layer = job.layer(index);
    const TensorPlan& input = output(layer.inputs[0]);
    const Quantizer& weight = job.at(index, Qp::Wq);
    if (input.qp.qp != Qp::A && input.qp.qp != Qp::image)
        throw InputError("layer " + layer.name + ": reads " + name_of(input.qp.qp) + " of " +
                         job.network.name_of(layer.inputs[0]) +
                         "; the array's operands are activations: put a relu between");
    if (!input.format.is_signed || input.format.bits > 16)
        throw InputError("layer " + layer.name + ": reads activations of " +
                         std::to_string(input.format.bits) +
                         (input.format.is_signed ? " bits, signed" : " bits, unsigned") +
                         "; the array takes signed codes of at most 16 bits");
    require_bits(job, index, Qp::Wq, 8, "the array's weights are bytes");
    if (!weight.format.is_signed)
        throw InputError("layer " + layer.name +
                         ": Wq is unsigned; the array's weights are signed");
    require_bits(job, index, Qp::W, 32, "a master weight takes at most 4 bytes");

    DerivedFormats& derived = formats_[static_cast<std::size_t>(index)];
    const Qp qp = job.is_output(index) ? Qp::z : Qp::y;
    derived.sum = job.at(index, qp);
    if (derived.sum.format.bits != 32 || !derived.sum.format.is_signed)
        throw InputError("layer " + layer.name + ": " + name_of(qp) +
                         " is the accumulator's low 32 bits, signed; found another format");
    derived.sum.format.frac = input.format.frac + weight.format.frac;

    const Shape weights = weight_shape(layer);
    Wide bound = input.bound * bound_of(weight) * (weights.c * weights.h * weights.w);
    if (layer.bias) {
        require_bits(job, index, Qp::bias, 32, "a master bias takes at most 4 bytes");
        require_bits(job, index, Qp::bias_q, 32, "a bias in the parameter RAM takes 4 bytes");
        derived.bias_q = job.at(index, Qp::bias_q);
        derived.bias_q.format.frac = derived.sum.format.frac;
        bound += bound_of(derived.bias_q);
    }
    // The accumulator wraps: where the worst case does not fit, y is anything its register holds.
    bound = std::min(bound, Wide{1} << (derived.sum.format.bits - 1));
    TensorPlan& out = outputs_[static_cast<std::size_t>(index + 1)];
    out.qp = {index, qp};
    out.format = derived.sum.format;
    out.bytes = 4;
    out.bound = bound;
}

void TensorPlans::plan_batch_norm(const Job& job, int index) {
    const Layer& layer = job.layer(index);
    const char* const word = "its codes take 4 bytes in the parameter RAM";
    for (const Qp qp : {Qp::mu, Qp::sigma, Qp::run_mu, Qp::run_sigma, Qp::gamma, Qp::beta,
                        Qp::gamma_q, Qp::beta_q})
        require_bits(job, index, qp, 32, word);
    if (job.batch_norm == BatchNorm::batch) check_statistics(job, index);

    TensorPlan& out = outputs_[static_cast<std::size_t>(index + 1)];
    const bool quantized = quantizes_output(job.network, index);
    if (quantized) out.qp = {index, Qp::A};
    if (job.folded()) {
        require_bits(job, index, Qp::fold_b, 64, "its codes take 8 bytes in the parameter RAM");
        if (!quantized && fused_relu(job.network, index) < 0)
            throw InputError("layer " + layer.name +
                             ": a folded batch norm goes straight to an activation's format; "
                             "expected a relu or relu6 as its only reader, or an array layer");
        return;
    }
    const Quantizer& gamma = job.at(index, Qp::gamma_q);
    const Quantizer& beta = job.at(index, Qp::beta_q);
    const Quantizer& xhat = job.at(index, Qp::xhat);
    Quantizer& x2 = formats_[static_cast<std::size_t>(index)].x2;
    x2 = job.at(index, Qp::x2);
    x2.format.frac = gamma.format.frac + xhat.format.frac;
    if (beta.format.frac > x2.format.frac)
        throw InputError(
            "layer " + layer.name + ": beta_q has " + std::to_string(beta.format.frac) +
            " fraction bits, x2 = gamma_q xhat + beta_q only " + std::to_string(x2.format.frac));
    const Wide bound = bound_of(gamma) * bound_of(xhat) +
                       scaled(bound_of(beta), x2.format.frac - beta.format.frac, layer, Qp::x2);
    require_exact(layer, Qp::x2, bound, x2.format);
    if (!quantized) {
        out.qp = {index, Qp::x2};
        out.format = x2.format;
        out.bytes = bytes_of(x2.format);
        out.bound = bound;
    }
}

void TensorPlans::check_statistics(const Job& job, int index) const {
    const Layer& layer = job.layer(index);
    const TensorPlan& input = output(layer.inputs[0]);
    const auto require = [&](bool holds, Qp qp, const std::string& expected) {
        if (!holds)
            throw InputError("layer " + layer.name + ": " + name_of(qp) + ": expected " + expected);
    };
    const auto frac = [&](Qp qp) { return job.at(index, qp).format.frac; };
    const Format& sum = job.at(index, Qp::S).format;
    const Format& squares = job.at(index, Qp::SS).format;
    require(sum.bits == 48 && sum.is_signed, Qp::S, "48 bits, signed: its register");
    require(squares.bits == 80 && !squares.is_signed, Qp::SS, "80 bits, unsigned: its register");
    require(frac(Qp::var) == 2 * frac(Qp::sigma), Qp::var,
            "twice sigma's fraction bits (" + std::to_string(2 * frac(Qp::sigma)) + "), found " +
                std::to_string(frac(Qp::var)));
    for (const auto& [running, batch] :
         {std::pair{Qp::run_mu, Qp::mu}, std::pair{Qp::run_sigma, Qp::sigma}})
        require(frac(running) >= frac(batch), running,
                "at least " + name_of(batch) + "'s " + std::to_string(frac(batch)) +
                    " fraction bits, found " + std::to_string(frac(running)));
    const Wide count = input.shape.n * input.shape.h * input.shape.w;
    require_exact(layer, Qp::S, input.bound * count, job.at(index, Qp::S).format);
    if (bits_for(input.bound, false) > 40)
        throw InputError("layer " + layer.name + ": reads codes of more than 40 bits");
    require_exact(layer, Qp::SS, input.bound * input.bound * count, job.at(index, Qp::SS).format);
}

void TensorPlans::plan_add(const Job& job, int index) {
    const Layer& layer = job.layer(index);
    Quantizer& stream = formats_[static_cast<std::size_t>(index)].stream;
    stream = job.at(index, Qp::stream);
    require_bits(job, index, Qp::stream, 32, "the exact sums take 4 bytes in memory");
    int frac = output(layer.inputs[0]).format.frac;
    for (const int producer : layer.inputs) frac = std::max(frac, output(producer).format.frac);
    stream.format.frac = frac;
    Wide bound = 0;
    for (const int producer : layer.inputs) {
        const TensorPlan& operand = output(producer);
        bound += scaled(operand.bound, frac - operand.format.frac, layer, Qp::stream);
    }
    require_exact(layer, Qp::stream, bound, stream.format);
    TensorPlan& out = outputs_[static_cast<std::size_t>(index + 1)];
    out.qp = {index, quantizes_output(job.network, index) ? Qp::A : Qp::stream};
    out.format = stream.format;
    out.bytes = 4;
    out.bound = bound;
}

void TensorPlans::plan_pool(const Job& job, int index) {
    const Layer& layer = job.layer(index);
    TensorPlan& out = outputs_[static_cast<std::size_t>(index + 1)];
    out.qp = {index, Qp::A};
    if (layer.type != LayerType::max_pool) return;
    const TensorPlan& input = output(layer.inputs[0]);
    out.format = input.format;
    out.bytes = input.bytes;
    out.bound = input.bound;
    if (input.qp.qp != Qp::A && input.qp.qp != Qp::image) out.qp.qp = Qp::y;
}

}  // namespace wagesim::compile
