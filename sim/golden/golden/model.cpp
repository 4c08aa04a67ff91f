// The golden model: a network's forward pass by definition, every quantisation point as real
// values.
#include "golden/model.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <stdexcept>
#include <string>

#include "golden/batch_norm.h"
#include "golden/pool.h"
#include "golden/products.h"
#include "golden/quantize.h"
#include "golden/unquantized.h"
#include "wagesim/error.h"

namespace wagesim::golden {
namespace {

bool is_array_layer(LayerType type) {
    return type == LayerType::conv2d || type == LayerType::linear;
}

std::string quoted(const std::string& name) { return "'" + name + "'"; }

}  // namespace

class Model::Impl {
public:
    Impl(const Network& network, const Datapath& datapath, Options options)
        : network_(network),
          datapath_(datapath),
          options_(options),
          unquantized_(network_, datapath_, options.batch_norm) {
        check_input();
        for (int index = 0; index < layers(); ++index) check_layer(index);
    }

    void set_parameters(Parameters parameters);
    const Masters& masters() const { return masters_; }
    void update(const Masters& masters) {
        for (const auto& [key, values] : masters) masters_.at(key) = values;
    }
    void begin(const std::vector<std::uint8_t>& pixels, std::int64_t batch);
    LayerPoints layer(int index);
    std::vector<double> unquantized(int index) {
        require_batch();
        return unquantized_.layer(index, masters_);
    }

    Qp output_point(int producer) const;
    int output_frac(int producer) const;

private:
    int layers() const { return static_cast<int>(network_.layers.size()); }
    const Layer& at(int index) const { return network_.layers[static_cast<std::size_t>(index)]; }
    bool is_folded(int index) const {
        return at(index).type == LayerType::batch_norm &&
               options_.batch_norm == BatchNorm::running &&
               datapath_.bn_inference == BnInference::folded;
    }
    /// The points of a layer that round.
    std::vector<Qp> rounding_points(int index) const;
    /// The masters of a layer and their sizes.
    std::map<Qp, std::size_t> master_sizes(int index) const;

    void check_input() const;
    void check_layer(int index) const;
    void check_operand(int index) const;
    void check_x2(const Layer& layer) const;
    void require_batch() const {
        if (!begun_) throw std::logic_error("golden model: begin() comes before the layers");
    }

    template <class Real>
    LayerPoints compute(int index);
    template <class Real>
    std::map<Qp, Tensor> products(int index, const Tensor& in) const;
    template <class Real>
    std::map<Qp, Tensor> normalized(int index, const Tensor& in);
    template <class Real>
    Tensor activation(const Layer& layer, const Tensor& in) const;
    template <class Real>
    Tensor sum(const Layer& layer) const;
    /// An exact tensor brought to the layer's A format.
    template <class Real>
    Tensor to_activation(const Layer& layer, const Tensor& exact) const;

    const Network network_;
    const Datapath datapath_;
    const Options options_;
    Masters masters_;
    std::int64_t batch_ = 0;
    bool begun_ = false;
    int done_ = -1;
    LayerPoints latest_;                   ///< all points of layer done_
    std::map<int, SharedTensor> outputs_;  ///< by producer, while a later layer reads them
    Unquantized unquantized_;
};

Qp Model::Impl::output_point(int producer) const {
    if (producer < 0) return Qp::image;
    const Layer& layer = at(producer);
    switch (layer.type) {
        case LayerType::conv2d:
        case LayerType::linear:
            return producer + 1 == layers() ? Qp::z : Qp::y;
        case LayerType::batch_norm:
            return quantizes_output(network_, producer) ? Qp::A : Qp::x2;
        case LayerType::add:
            return quantizes_output(network_, producer) ? Qp::A : Qp::stream;
        case LayerType::max_pool: {
            // What an array layer may read is called A: the image's codes too.
            const Qp source = output_point(layer.inputs.front());
            return source == Qp::A || source == Qp::image ? Qp::A : Qp::y;
        }
        default:
            return Qp::A;
    }
}

int Model::Impl::output_frac(int producer) const {
    const Qp point = output_point(producer);
    if (producer < 0) return datapath_.at("input", point).format.frac;
    const Layer& layer = at(producer);
    const auto frac = [&](Qp qp) { return datapath_.at(layer.name, qp).format.frac; };
    if (layer.type == LayerType::max_pool) return output_frac(layer.inputs.front());
    switch (point) {
        case Qp::A:
            return frac(Qp::A);
        case Qp::x2:
            return frac(Qp::gamma_q) + frac(Qp::xhat);
        case Qp::stream:
            return std::max(output_frac(layer.inputs[0]), output_frac(layer.inputs[1]));
        default:
            return output_frac(layer.inputs.front()) + frac(Qp::Wq);
    }
}

std::vector<Qp> Model::Impl::rounding_points(int index) const {
    const Layer& layer = at(index);
    std::vector<Qp> points;
    switch (layer.type) {
        case LayerType::conv2d:
        case LayerType::linear:
            points = {Qp::W, Qp::Wq};
            if (layer.bias) points.insert(points.end(), {Qp::bias, Qp::bias_q});
            break;
        case LayerType::batch_norm:
            points = {Qp::gamma, Qp::beta,  Qp::run_mu,  Qp::run_sigma,
                      Qp::mu,    Qp::sigma, Qp::gamma_q, Qp::beta_q};
            if (options_.batch_norm == BatchNorm::batch) points.push_back(Qp::var);
            if (is_folded(index))
                points.insert(points.end(), {Qp::fold_a, Qp::fold_b});
            else
                points.push_back(Qp::xhat);
            if (datapath_.normalize == Normalize::reciprocal && !is_folded(index))
                points.push_back(Qp::inv);
            if (quantizes_output(network_, index)) points.push_back(Qp::A);
            break;
        case LayerType::relu:
        case LayerType::relu6:
        case LayerType::avg_pool:
        case LayerType::global_avg_pool:
            points = {Qp::A};
            break;
        case LayerType::add:
            if (quantizes_output(network_, index)) points = {Qp::A};
            break;
        case LayerType::max_pool:
            break;
    }
    return points;
}

std::map<Qp, std::size_t> Model::Impl::master_sizes(int index) const {
    const Layer& layer = at(index);
    std::map<Qp, std::size_t> sizes;
    if (is_array_layer(layer.type)) {
        sizes[Qp::W] = static_cast<std::size_t>(weight_shape(layer).size());
        if (layer.bias) sizes[Qp::bias] = static_cast<std::size_t>(layer.out_channels);
    } else if (layer.type == LayerType::batch_norm) {
        for (const Qp qp : {Qp::gamma, Qp::beta, Qp::run_mu, Qp::run_sigma})
            sizes[qp] = static_cast<std::size_t>(layer.out_shape.c);
    }
    return sizes;
}

void Model::Impl::check_input() const {
    const Format& image = datapath_.at("input", Qp::image).format;
    if (image.bits != 8 || !image.is_signed)
        throw InputError("datapath '" + datapath_.name + "': image has " +
                         std::to_string(image.bits) + (image.is_signed ? " signed" : " unsigned") +
                         " bits; expected 8 signed bits, the pixel minus 128");
    if (datapath_.machine.array_rows < 1 || datapath_.machine.accumulator_bits < 2)
        throw InputError("datapath '" + datapath_.name +
                         "': expected array_rows of at least 1 and accumulator_bits of at least 2");
}

void Model::Impl::check_layer(int index) const {
    const Layer& layer = at(index);
    for (const Qp qp : rounding_points(index))
        if (datapath_.at(layer.name, qp).rounding == Rounding::stochastic)
            throw InputError("layer " + quoted(layer.name) + ": rounding 'stochastic' at " +
                             std::string(to_string(qp)) +
                             "; expected one of the deterministic roundings in the forward pass");
    if (is_array_layer(layer.type)) check_operand(index);
    if (layer.type == LayerType::batch_norm && !is_folded(index)) check_x2(layer);
    for (const int producer : layer.inputs) {
        if (producer < 0 || !is_folded(producer) || quantizes_output(network_, producer)) continue;
        if (layer.type != LayerType::relu && layer.type != LayerType::relu6)
            throw InputError("layer " + quoted(layer.name) + " reads the folded batch norm " +
                             quoted(at(producer).name) +
                             ", whose exact output no register holds; expected a ReLU (or use "
                             "bn_inference 'normalize')");
    }
}

void Model::Impl::check_operand(int index) const {
    const int producer = at(index).inputs.front();
    const Qp point = output_point(producer);
    if (point == Qp::A || point == Qp::image) return;
    throw InputError("layer " + quoted(at(index).name) + " reads " + std::string(to_string(point)) +
                     " of layer " + quoted(network_.name_of(producer)) +
                     "; expected an activation or the image: put a ReLU, a pool or a batch norm "
                     "between them");
}

/// x2 is exact: gamma_q xhat + beta_q of any codes fits its register.
void Model::Impl::check_x2(const Layer& layer) const {
    const auto range = [&](Qp qp) { return code_range(datapath_.at(layer.name, qp)); };
    const Quantizer& rule = datapath_.at(layer.name, Qp::x2);
    const CodeRange gamma = range(Qp::gamma_q), xhat = range(Qp::xhat), beta = range(Qp::beta_q);
    const int frac = datapath_.at(layer.name, Qp::gamma_q).format.frac +
                     datapath_.at(layer.name, Qp::xhat).format.frac;
    const int shift = frac - datapath_.at(layer.name, Qp::beta_q).format.frac;
    const auto [least, most] = std::minmax({gamma.low * xhat.low, gamma.low * xhat.high,
                                            gamma.high * xhat.low, gamma.high * xhat.high});
    const CodeRange room = code_range(rule);
    if (shift < 0 || least + std::ldexp(beta.low, shift) < room.low ||
        most + std::ldexp(beta.high, shift) > room.high)
        throw InputError("layer " + quoted(layer.name) + ": x2 with " +
                         std::to_string(rule.format.bits) + " bits at frac " +
                         std::to_string(frac) +
                         " does not hold every gamma_q xhat + beta_q; expected more bits");
}

void Model::Impl::set_parameters(Parameters parameters) {
    Masters fitted;
    for (int index = 0; index < layers(); ++index) {
        for (const auto& [qp, size] : master_sizes(index)) {
            const std::string where =
                "parameters: layer " + quoted(at(index).name) + ", " + std::string(to_string(qp));
            const auto given = parameters.find({index, qp});
            if (given == parameters.end()) throw InputError(where + " is missing");
            if (given->second.size() != size)
                throw InputError(where + " has " + std::to_string(given->second.size()) +
                                 " values; expected " + std::to_string(size));
            for (const double value : given->second)
                if (!std::isfinite(value))
                    throw InputError(where + " has a value that is not a finite number");
            Tensor tensor;
            tensor.values = std::move(given->second);
            quantize<double>(tensor, datapath_.at(at(index).name, qp));
            fitted[{index, qp}] = tensor.values;
        }
    }
    for (const auto& [key, values] : parameters)
        if (fitted.count(key) == 0)
            throw InputError("parameters: layer " + std::to_string(key.first) + " has no " +
                             std::string(to_string(key.second)));
    masters_ = std::move(fitted);
}

void Model::Impl::begin(const std::vector<std::uint8_t>& pixels, std::int64_t batch) {
    if (batch < 1 || static_cast<std::int64_t>(pixels.size()) != batch * network_.input.size())
        throw InputError("images: " + std::to_string(pixels.size()) + " pixels; expected " +
                         std::to_string(batch) + " images of " +
                         std::to_string(network_.input.size()));
    for (int index = 0; index < layers(); ++index)
        for (const auto& [qp, size] : master_sizes(index))
            if (masters_.count({index, qp}) == 0)
                throw std::logic_error("golden model: set_parameters() comes before begin()");
    batch_ = batch;
    begun_ = true;
    done_ = -1;
    unquantized_.begin(pixels, batch);

    const Format& format = datapath_.at("input", Qp::image).format;
    Tensor image;
    image.shape = network_.input;
    image.shape.n = batch;
    image.frac = format.frac;
    image.bits = format.bits;
    const std::vector<std::uint8_t> ordered = to_memory_order(image.shape, pixels);
    std::vector<double> codes;
    for (const std::uint8_t pixel : ordered) codes.push_back(pixel - 128.0);
    image.values = Values(std::move(codes), {-128, 127}, 0).times_power_of_two(-format.frac);
    latest_.clear();
    outputs_.clear();
    outputs_[-1] = latest_[Qp::image] = share(std::move(image));
}

LayerPoints Model::Impl::layer(int index) {
    require_batch();
    if (index < done_ || index >= layers() || (index == done_ && latest_.empty()))
        throw std::logic_error("golden model: layers are asked for once, in ascending order");
    while (done_ < index) {
        ++done_;
        latest_ = options_.precision == Precision::float64 ? compute<double>(done_)
                                                           : compute<float>(done_);
        for (auto kept = outputs_.begin(); kept != outputs_.end();)
            kept = last_reader(network_, kept->first) <= done_ ? outputs_.erase(kept)
                                                               : std::next(kept);
    }
    return std::exchange(latest_, {});
}

template <class Real>
LayerPoints Model::Impl::compute(int index) {
    const Layer& layer = at(index);
    const Tensor& in = *outputs_.at(layer.inputs.front());
    std::map<Qp, Tensor> points;
    switch (layer.type) {
        case LayerType::conv2d:
        case LayerType::linear:
            points = products<Real>(index, in);
            break;
        case LayerType::batch_norm:
            points = normalized<Real>(index, in);
            break;
        case LayerType::relu:
        case LayerType::relu6:
            points[Qp::A] = activation<Real>(layer, in);
            break;
        case LayerType::max_pool: {
            Tensor& out = points[output_point(index)];
            out.shape = layer.out_shape;
            out.shape.n = batch_;
            out.frac = in.frac;
            out.bits = in.bits;
            out.is_signed = in.is_signed;
            const double most = largest_code(in);
            out.values =
                by_images(batch_, out.shape, {-most, most}, unit_log2(in), [&](std::int64_t n) {
                    return max_pool(layer, 1, image_of(in.values, in.shape, n));
                });
            inherit(out, {&in});
            break;
        }
        case LayerType::avg_pool:
        case LayerType::global_avg_pool:
            points[Qp::A] = average_pool<Real>(layer, in, datapath_.at(layer.name, Qp::A));
            break;
        case LayerType::add:
            points[Qp::stream] = sum<Real>(layer);
            if (quantizes_output(network_, index))
                points[Qp::A] = to_activation<Real>(layer, points[Qp::stream]);
            break;
    }
    LayerPoints shared;
    for (auto& [qp, tensor] : points) shared[qp] = share(std::move(tensor));
    // A folded batch norm has put its exact output there itself.
    const auto output = shared.find(output_point(index));
    if (output != shared.end() && last_reader(network_, index) > index)
        outputs_[index] = output->second;
    return shared;
}

template <class Real>
std::map<Qp, Tensor> Model::Impl::products(int index, const Tensor& in) const {
    const Layer& layer = at(index);
    std::map<Qp, Tensor> points;
    Tensor& weights = points[Qp::Wq];
    weights.shape = weight_shape(layer);
    weights.values = masters_.at({index, Qp::W});
    quantize<Real>(weights, datapath_.at(layer.name, Qp::Wq));
    const Tensor* bias = nullptr;
    if (layer.bias) {
        Tensor& bias_q = points[Qp::bias_q];
        bias_q.shape = {1, layer.out_channels, 1, 1};
        bias_q.values = masters_.at({index, Qp::bias});
        Quantizer rule = datapath_.at(layer.name, Qp::bias_q);
        rule.format.frac = in.frac + weights.frac;
        quantize<Real>(bias_q, rule);
        bias = &bias_q;
    }
    const Qp output = output_point(index);
    points[output] = multiply_accumulate<Real>(layer, in, weights, bias, datapath_.machine,
                                               datapath_.at(layer.name, output));
    return points;
}

template <class Real>
std::map<Qp, Tensor> Model::Impl::normalized(int index, const Tensor& in) {
    const Layer& layer = at(index);
    ChannelParameters parameters;
    parameters.gamma = masters_.at({index, Qp::gamma});
    parameters.beta = masters_.at({index, Qp::beta});
    parameters.run_mu = &masters_.at({index, Qp::run_mu});
    parameters.run_sigma = &masters_.at({index, Qp::run_sigma});
    BatchNormResult result = batch_norm<Real>(in, layer.name, datapath_,
                                              options_.batch_norm == BatchNorm::batch, parameters);
    const bool folded = is_folded(index);
    if (quantizes_output(network_, index))
        result.points[Qp::A] =
            to_activation<Real>(layer, folded ? result.folded : result.points[Qp::x2]);
    else if (folded && last_reader(network_, index) > index)
        outputs_[index] = share(std::move(result.folded));
    return std::move(result.points);
}

template <class Real>
Tensor Model::Impl::activation(const Layer& layer, const Tensor& in) const {
    const Real top = layer.type == LayerType::relu6 ? Real{6} : static_cast<Real>(HUGE_VAL);
    Tensor out;
    out.shape = in.shape;
    quantize<Real>(out, datapath_.at(layer.name, Qp::A),
                   [&](std::size_t first, std::size_t count, Real* x) {
                       in.values.read(first, count, x);
                       const Real most = top;
                       for (std::size_t j = 0; j < count; ++j) {
                           const Real positive = x[j] > 0 ? x[j] : Real{0};
                           x[j] = positive < most ? positive : most;
                       }
                   });
    inherit(out, {&in});
    return out;
}

template <class Real>
Tensor Model::Impl::sum(const Layer& layer) const {
    Tensor out;
    out.shape = outputs_.at(layer.inputs.front())->shape;
    out.frac = outputs_.at(layer.inputs.front())->frac;
    double bound = 0;
    std::vector<Reader<Real>> inputs;
    for (const int producer : layer.inputs) {
        const Tensor& in = *outputs_.at(producer);
        inputs.emplace_back(in.values);
        out.frac = std::max(out.frac, in.frac);
        bound += largest(in.values);
        inherit(out, {&in});
    }
    if (is_exact<Real> && !(std::ldexp(bound, out.frac) < integer_limit))
        uncertify(out, "layer " + quoted(layer.name) + ": sums may reach 2^53");
    Quantizer exact = datapath_.at(layer.name, Qp::stream);
    exact.format.frac = out.frac;  // on the grid already: nothing rounds
    quantize<Real>(out, exact, [&](std::size_t first, std::size_t count, Real* x) {
        std::fill_n(x, count, Real{0});
        for (Reader<Real>& input : inputs) {
            const Real* term = input(first, count);
            for (std::size_t j = 0; j < count; ++j) x[j] += term[j];
        }
    });
    return out;
}

template <class Real>
Tensor Model::Impl::to_activation(const Layer& layer, const Tensor& exact) const {
    Tensor out = quantized<Real>(exact.shape, exact.values, datapath_.at(layer.name, Qp::A));
    inherit(out, {&exact});
    return out;
}

Model::Model(const Network& network, const Datapath& datapath, Options options)
    : impl_(std::make_unique<Impl>(network, datapath, options)) {}
Model::~Model() = default;
Model::Model(Model&&) noexcept = default;
Model& Model::operator=(Model&&) noexcept = default;

void Model::set_parameters(Parameters parameters) { impl_->set_parameters(std::move(parameters)); }
Parameters Model::parameters() const {
    Parameters parameters;
    for (const auto& [key, values] : masters()) parameters[key] = values.reals();
    return parameters;
}
const Masters& Model::masters() const { return impl_->masters(); }
void Model::update(const Masters& masters) { impl_->update(masters); }
void Model::begin(const std::vector<std::uint8_t>& pixels, std::int64_t batch) {
    impl_->begin(pixels, batch);
}
LayerPoints Model::layer(int index) { return impl_->layer(index); }
Qp Model::output_point(int producer) const { return impl_->output_point(producer); }
int Model::output_frac(int producer) const { return impl_->output_frac(producer); }
std::vector<double> Model::unquantized(int index) { return impl_->unquantized(index); }

}  // namespace wagesim::golden
