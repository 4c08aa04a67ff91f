// The commands of a training step: errors, gradients, update (docs/training.md).
#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "program_checker.h"

namespace wagesim::test {

namespace {

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

/// The windows [first, end) of a pool in which a row of its input lies.
std::pair<int, int> windows_at(int row, int kernel, int stride, int padding, std::int64_t outputs) {
    const int low = row + padding - kernel + 1;
    const int first = low > 0 ? static_cast<int>(ceil_div(low, stride)) : 0;
    const int end = (row + padding) / stride + 1;
    return {first, static_cast<int>(std::min<std::int64_t>(end, outputs))};
}

/// The taps of a kernel that reach a row of dx, whether the output is inside or not.
std::vector<int> taps_at(int row, int kernel, int stride, int padding, int dilation) {
    std::vector<int> taps;
    for (int tap = 0; tap < kernel; ++tap)
        if ((row + padding - tap * dilation) % stride == 0) taps.push_back(tap);
    return taps;
}

/// dx's place of a row and a tap.
int output_at(int row, int tap, int stride, int padding, int dilation) {
    return (row + padding - tap * dilation) / stride;
}

int log2_ceil(std::int64_t x) {
    int bits = 0;
    while (std::int64_t{1} << bits < x) ++bits;
    return bits;
}

std::int32_t mean_exponent(std::int64_t batch) {
    return -static_cast<std::int32_t>(std::lround(std::log2(static_cast<double>(batch))));
}

}  // namespace

// ---- tiles and planes -----------------------------------------------------------------------

void ProgramChecker::read_codes(const TileView& view, const Place& place, const Box& b) {
    const Shape shape = rules_.shape(place);
    in_one_bank(view, b);
    for_each(b, [&](int n, int h, int w, int c) {
        read_element(view.space, at(view, n, h, w, c), view.bytes,
                     element_at(place, shape, b, n, h, w, c));
    });
}

void ProgramChecker::write_codes(const TileView& view, const Place& place, const Box& b) {
    const Shape shape = rules_.shape(place);
    require(view.is_signed, "errors and gradients are signed");
    in_one_bank(view, b);
    for_each(b, [&](int n, int h, int w, int c) {
        write_element(view.space, at(view, n, h, w, c), view.bytes,
                      element_at(place, shape, b, n, h, w, c));
    });
}

void ProgramChecker::make_codes(const Place& place, const Box& b) {
    const Shape shape = rules_.shape(place);
    for_each(b, [&](int n, int h, int w, int c) { make(element_at(place, shape, b, n, h, w, c)); });
}

/// Channel c of the plane's tile must be `channel` of the tensor.
void ProgramChecker::read_bits(const BitPlane& plane, std::int64_t address, int c,
                               const Place& place, int channels, std::int64_t pixel,
                               std::int64_t channel) {
    const std::int64_t bit = std::int64_t{plane.first + c} * plane.bits;
    require(bit % 8 == channel * plane.bits % 8, "takes another bit of a byte");
    read_element(
        plane.space, address + bit / 8, 1,
        {place.layer, place.qp,
         pixel * plane_bytes_of(channels, plane.bits) + channel * plane.bits / 8, place.role});
}

void ProgramChecker::read_plane(const BitPlane& plane, const Place& place, const Box& b) {
    const Shape shape = rules_.shape(place);
    for_each(b, [&](int n, int h, int w, int c) {
        const std::int64_t pixel = ((b.n0 + n) * shape.h + b.h0 + h) * shape.w + b.w0 + w;
        read_bits(plane, plane_address(plane, n, h, w), c, place, static_cast<int>(shape.c), pixel,
                  b.c0 + c);
    });
}

void ProgramChecker::write_plane(const BitPlane& plane, const Place& place, const Box& b,
                                 int bits) {
    const Shape shape = rules_.shape(place);
    require(plane.bits == bits && plane.first == 0, "is no such plane");
    require(b.c0 * bits % 8 == 0 && (b.c * bits % 8 == 0 || b.c0 + b.c == shape.c),
            "does not write whole bytes of a plane");
    for (int n = 0; n < b.n; ++n)
        for (int h = 0; h < b.h; ++h)
            for (int w = 0; w < b.w; ++w) {
                const std::int64_t pixel = ((b.n0 + n) * shape.h + b.h0 + h) * shape.w + b.w0 + w;
                for (std::int64_t byte = 0; byte < plane_bytes_of(b.c, bits); ++byte)
                    write_element(plane.space, plane_address(plane, n, h, w) + byte, 1,
                                  {place.layer, place.qp,
                                   pixel * plane_bytes_of(shape.c, bits) + b.c0 * bits / 8 + byte,
                                   place.role});
            }
}

// ---- scales ---------------------------------------------------------------------------------

/// Its place and what has been gathered; index -1: it was only cleared.
Element ProgramChecker::read_record(std::int64_t address) {
    const std::uint64_t first = read_byte(Space::parameters, address);
    Element record = element_of(first);
    if (first == 0) record.index = -1;
    if (first != 0 && record.role != Role::scale) fail("takes " + text(record) + " for a scale");
    for (int b = 1; b < scale_bytes; ++b) {
        const std::uint64_t id = read_byte(Space::parameters, address + b);
        require(first == 0 ? id == 0 : id == record.id(b),
                "the bytes of a scale do not belong together");
    }
    return record;
}

void ProgramChecker::gather_largest(std::int64_t address, const Place& place, std::int64_t count) {
    if (address < 0) return;
    const Element before = read_record(address);
    Element after{place.layer, place.qp, 2 * count, Role::scale};
    if (before.index >= 0) {
        if (before.layer != place.layer || before.qp != place.qp)
            fail("gathers its largest code in the record of " + text(before));
        after.index += before.index / 2 * 2;
    }
    write_element(Space::parameters, address, scale_bytes, after);
}

/// A max pool whose windows do not overlap hands its record on.
bool ProgramChecker::tells_of(const Place& record, const Place& error) const {
    if (record == Place{error.layer, error.qp}) return true;
    return error.role == Role::back && rules_.layer(error.layer).type == LayerType::max_pool &&
           rules_.overlaps(error.layer) == 1 && tells_of(record, rules_.error_at(error.layer));
}

/// `all_gathered`: its largest code is final, not only its exponent.
void ProgramChecker::check_scale(const ScaleView& scale, const Place& error, bool quantized,
                                 bool all_gathered) {
    require(scale.quantized == quantized, "takes the record's own unit for the quantised, or back");
    const Element record = read_record(scale.address);
    if (record.index < 0 || !tells_of({record.layer, record.qp}, error))
        fail("takes the scale of " + text(record) + " for that of " +
             text({error.layer, error.qp}));
    require(record.index % 2 == 1, "takes a scale that is not complete");
    require(!all_gathered || record.index == 2 * rules_.shape({record.layer, record.qp}).size() + 1,
            "takes a scale before all codes are gathered");
}

/// An error's register; bits of 0 or less: so many more than the codes of the fork need.
std::pair<int, Place> ProgramChecker::register_bits(const Place& error) const {
    if (error.qp == Qp::fork) return {0, error};
    if (error.qp == Qp::dx) return {40, error};
    if (error.qp != Qp::pool_err) return {rules_.at(error.layer, error.qp).format.bits, error};
    const int more = log2_ceil(rules_.overlaps(error.layer));
    if (rules_.layer(error.layer).type != LayerType::max_pool)
        return {rules_.at(error.layer, Qp::pool_err).format.bits + more, error};
    const auto [bits, width] = register_bits(rules_.error_at(error.layer));
    return {bits > 0 ? bits + more : bits - more, width};
}

/// An operand of a fork.
void ProgramChecker::check_unit(const Exponent::Operand& operand, const Place& error) {
    check_scale(operand.scale, error, false);
    const auto [bits, width] = register_bits(error);
    require(operand.bits == bits, "takes a register of another width");
    if (bits > 0) return;
    const Element record =
        read_record(operand.width_address >= 0 ? operand.width_address : operand.scale.address);
    require(record.index == 2 * rules_.shape(width).size() + 1 &&
                Place{record.layer, record.qp} == width,
            "takes the width of another error");
}

std::vector<Place> ProgramChecker::meeting_at(int producer) const {
    std::vector<Place> found;
    for (const int reader : rules_.readers(producer)) found.push_back(rules_.delivered_by(reader));
    return found;
}

void ProgramChecker::execute(const Exponent& e) {
    const Element record = read_record(e.scale_address);
    require(record.index >= 0, "completes a scale of nothing");
    const int layer = record.layer;
    const auto expect = [&](std::size_t operands, bool is_fork) {
        require(e.operands.size() == operands && e.is_fork == is_fork, "has other operands");
    };
    const auto expect_frac = [&](int frac) {
        require(e.keeps_frac && e.frac == frac, "gives another frac");
    };
    switch (record.qp) {
        case Qp::e0:
            expect(0, false);
            require(e.exponent == mean_exponent(rules_.batch()), "is no mean over the batch");
            expect_frac(rules_.training().loss == Loss::sse ? rules_.output(layer).frac
                                                            : rules_.at(layer, Qp::e0).format.frac);
            break;
        case Qp::E1:
        case Qp::E1m:
            expect(1, false);
            check_scale(e.operands[0].scale,
                        rules_.is_last(layer) ? Place{layer, Qp::e0} : rules_.error_at(layer),
                        true);
            expect_frac(rules_.at(layer, Qp::E1).format.frac);
            break;
        case Qp::pool_err:
            expect(1, false);
            check_scale(e.operands[0].scale, rules_.error_at(layer), false);
            require(!e.keeps_frac &&
                        e.add_frac == (rules_.layer(layer).type == LayerType::max_pool ? 0 : 8),
                    "gives another frac");
            break;
        case Qp::bn_err:
            expect(1, false);
            check_scale(e.operands[0].scale, rules_.masked_error(rules_.error_layer(layer)), false);
            expect_frac(rules_.at(layer, Qp::bn_err).format.frac);
            break;
        case Qp::dx:
        case Qp::gW:
            expect(1, false);
            check_scale(e.operands[0].scale, rules_.error_at(layer), true);
            expect_frac(rules_.e2(layer).frac +
                        (record.qp == Qp::dx ? rules_.at(layer, Qp::Wq).format.frac
                                             : rules_.output(rules_.layer(layer).inputs[0]).frac));
            break;
        case Qp::fork: {
            const std::vector<Place> errors = meeting_at(layer);
            expect(errors.size(), true);
            for (std::size_t i = 0; i < errors.size(); ++i) check_unit(e.operands[i], errors[i]);
            break;
        }
        case Qp::G:
            expect(2, true);
            check_decay(e.operands[0], e.operands[1], layer);
            break;
        default:
            fail("completes the scale of " + text(record));
    }
    write_element(Space::parameters, e.scale_address, scale_bytes,
                  {layer, record.qp, record.index | 1, Role::scale});
}

/// gW, and 2^d W.
void ProgramChecker::check_decay(const Exponent::Operand& gradient, const Exponent::Operand& master,
                                 int layer) {
    check_scale(gradient.scale, {layer, Qp::gW}, false);
    const Format& format = rules_.at(layer, Qp::W).format;
    require(gradient.bits == 40 && master.scale.address < 0 && master.bits == format.bits &&
                master.scale.frac == format.frac &&
                master.scale.exponent == rules_.training().weight_decay_log2,
            "decays otherwise");
}

// ---- errors ---------------------------------------------------------------------------------

void ProgramChecker::execute(const Softmax& s) {
    const int layer = command().layer;
    require(rules_.is_last(layer), "is not at the network's end");
    require(box().c == rules_.output(layer).shape.c, "takes only some of the logits");
    const bool squares = rules_.training().loss == Loss::sse;
    require(s.squares == squares, "is another loss");
    read_tile(s.source, layer, box());
    for (int n = 0; n < box().n; ++n)
        read_element(Space::activations, s.label_address + n, 1,
                     {-1, Qp::image, box().n0 + n, Role::labels});
    require(s.e0_qp.layer == layer && s.e0_qp.qp == Qp::e0, "shows another error");
    require(s.exponent == mean_exponent(rules_.batch()), "is no mean over the batch");
    if (!squares) {
        require(s.p_qp.layer == layer && s.p_qp.qp == Qp::p, "shows another p");
        make_codes({layer, Qp::p}, box());
    }
    make_codes({layer, Qp::e0}, box());
    write_codes(s.destination, {layer, Qp::e0}, box());
    gather_largest(s.largest_address, {layer, Qp::e0}, box().size());
}

void ProgramChecker::execute(const ShiftQuantize& q) {
    const int layer = q.qp.layer;
    require(layer == command().layer, "shows another layer's error");
    if (q.qp.qp == Qp::E2) {
        require(rules_.is_sq16() && !q.mask.exists() && q.masked_qp.layer < 0 &&
                    q.quantizer.format == rules_.e2(layer),
                "is another E2");
        read_codes(q.source, rules_.error_at(layer), box());
        check_scale(q.scale, rules_.error_at(layer), false);
        make_codes({layer, Qp::E2}, box());
        write_codes(q.destination, {layer, Qp::E2}, box());
        return;
    }
    require(q.qp.qp == Qp::E1 && q.quantizer.format == rules_.at(layer, Qp::E1).format,
            "is another E1");
    const bool is_loss = rules_.is_last(layer);
    const Place source = is_loss ? Place{layer, Qp::e0} : rules_.error_at(layer);
    const Place result = rules_.masked_error(layer);
    read_codes(q.source, source, box());
    check_scale(q.scale, source, false);
    make_codes({layer, Qp::E1}, box());
    const bool masks = result.qp == Qp::E1m;
    require(q.mask.exists() == masks && (q.masked_qp.layer >= 0) == masks,
            "a mask too many or few");
    if (masks) {
        require(q.masked_qp.layer == layer && q.masked_qp.qp == Qp::E1m, "shows another E1m");
        read_plane(q.mask, {layer, Qp::E1m, Role::mask}, box());
        make_codes(result, box());
    }
    write_codes(q.destination, result, box());
    gather_largest(q.largest_address, result, box().size());
}

void ProgramChecker::execute(const FlagQuantize& q) {
    const int layer = command().layer;
    require(!rules_.is_sq16() && q.qp.layer == layer && q.qp.qp == Qp::E2, "is another E2");
    read_codes(q.source, rules_.error_at(layer), box());
    check_scale(q.scale, rules_.error_at(layer), false);
    make_codes({layer, Qp::E2}, box());
    write_codes(q.destination, {layer, Qp::E2}, box());
    write_plane(q.flags, {layer, Qp::E2, Role::flags}, box(), 1);
}

void ProgramChecker::execute(const PoolBack& p) {
    const int index = command().layer;
    const Layer& layer = rules_.layer(index);
    const Extent2 kernel = rules_.kernel(index), stride = rules_.stride(index);
    const Shape& out = rules_.output(index).shape;
    require(p.average == (layer.type != LayerType::max_pool) && p.kernel_h == kernel.h &&
                p.kernel_w == kernel.w && p.stride_y == stride.h && p.stride_x == stride.w &&
                p.padding_h == layer.padding.h && p.padding_w == layer.padding.w &&
                p.out_h == out.h && p.out_w == out.w && p.index.exists() == !p.average,
            "is not its layer's pool");
    const Place error = rules_.error_at(index), back{index, Qp::pool_err, Role::back};
    const Place places{index, Qp::pool_err, Role::index};
    check_scale(p.scale, error, false);
    const auto read_window = [&](int n, int oh, int ow, int c) {
        const std::int64_t pixel = ((box().n0 + n) * out.h + oh) * out.w + ow;
        const std::int64_t channel = box().c0 + c;
        read_element(p.source.space, at(p.source, n, oh - p.h0, ow - p.w0, c), p.source.bytes,
                     {error.layer, error.qp, pixel * out.c + channel, error.role});
        if (!p.average)
            read_bits(p.index, plane_address(p.index, n, oh - p.h0, ow - p.w0), c, places,
                      static_cast<int>(out.c), pixel, channel);
    };
    for_each(box(), [&](int n, int h, int w, int c) {
        const auto [h0, h1] = windows_at(box().h0 + h, kernel.h, stride.h, layer.padding.h, out.h);
        const auto [w0, w1] = windows_at(box().w0 + w, kernel.w, stride.w, layer.padding.w, out.w);
        for (int oh = h0; oh < h1; ++oh)
            for (int ow = w0; ow < w1; ++ow) read_window(n, oh, ow, c);
    });
    if (p.qp.layer >= 0) {
        require(p.average && p.qp.layer == index && p.qp.qp == Qp::pool_err, "shows another error");
        for (int n = 0; n < box().n; ++n)
            for (int oh = p.show_h0; oh < p.show_h1; ++oh)
                for (int ow = p.show_w0; ow < p.show_w1; ++ow)
                    for (int c = 0; c < box().c; ++c) {
                        read_window(n, oh, ow, c);
                        make({index, Qp::pool_err,
                              index_in(out, box().n0 + n, oh, ow, box().c0 + c)});
                    }
    }
    // A mean spread over its windows is at most its operand's largest code, 8 places up.
    const int from = register_bits(error).first, to = register_bits(back).first;
    const int needed = !p.average ? (to > 0 ? to : 64) : from > 0 ? std::min(from + 8, to) : to;
    require(std::min(needed, 64) <= 8 * p.destination.bytes, "its destination is too narrow");
    write_codes(p.destination, back, box());
    gather_largest(p.largest_address, {index, Qp::pool_err}, box().size());
}

void ProgramChecker::execute(const Fork& f) {
    const int layer = command().layer;
    const bool decays = f.qp.layer < 0;
    const Place sum{layer, decays ? Qp::G : Qp::fork};
    if (decays) {
        require(f.operands.size() == 2, "has other operands");
        check_decay(f.operands[0], f.operands[1], layer);
        read_codes(f.operands[0].tile, {layer, Qp::gW}, box());
        read_codes(f.operands[1].tile, {layer, Qp::W}, box());
    } else {
        require(f.qp.layer == layer && f.qp.qp == Qp::fork, "shows another sum");
        const std::vector<Place> errors = meeting_at(layer);
        require(f.operands.size() == errors.size(), "has other operands");
        for (std::size_t i = 0; i < errors.size(); ++i) {
            check_unit(f.operands[i], errors[i]);
            read_codes(f.operands[i].tile, errors[i], box());
        }
        make_codes(sum, box());
    }
    write_codes(f.destination, sum, box());
    gather_largest(f.largest_address, sum, box().size());
}

// ---- batch norm and bias --------------------------------------------------------------------

void ProgramChecker::execute(const Reduce& r) {
    const int layer = command().layer;
    const bool is_batch_norm = rules_.layer(layer).type == LayerType::batch_norm;
    require(r.with_xhat == is_batch_norm, "sums up without xhat, or with it");
    if (is_batch_norm) {
        const Place error = rules_.masked_error(rules_.error_layer(layer));
        read_codes(r.source, error, box());
        read_codes(r.xhat, {layer, Qp::xhat}, box());
        gather(r.sums_address, error);
        return;
    }
    read_codes(r.source, {layer, Qp::E2}, box());
    require(r.flags.exists() == !rules_.is_sq16(), "flags too many or missing");
    if (r.flags.exists()) read_plane(r.flags, {layer, Qp::E2, Role::flags}, box());
    gather(r.sums_address, {layer, Qp::E2});
}

void ProgramChecker::execute(const BnBack& b) {
    const int layer = command().layer;
    const Shape& shape = rules_.output(layer).shape;
    const std::int64_t count = shape.n * shape.h * shape.w;
    const bool is_batch_norm = rules_.layer(layer).type == LayerType::batch_norm;
    require(b.bias == !is_batch_norm, "is another gradient");
    if (b.bias) {
        check_statistics(b.sums_address, {layer, Qp::E2}, count);
        check_scale(b.scale, rules_.error_at(layer), true);
        require(b.scale.frac == rules_.e2(layer).frac && b.e_frac == rules_.e2(layer).frac,
                "takes E2 at another frac");
        make_vector(layer, Qp::gBias, b.beta_address, 4);
        return;
    }
    const int error_layer = rules_.error_layer(layer);
    const Place error = rules_.masked_error(error_layer);
    require(b.count == count && b.e_frac == rules_.at(error_layer, Qp::E1).format.frac &&
                b.xhat_frac == rules_.at(layer, Qp::xhat).format.frac,
            "takes e or xhat otherwise");
    check_statistics(b.sums_address, error, count);
    check_scale(b.scale, error, false, false);
    for (int c = 0; c < box().c; ++c)
        for (const Qp qp : {Qp::g_beta, Qp::g_gamma}) make({layer, qp, box().c0 + c});
    make_vector(layer, Qp::m1, b.m1_address, 4);
    make_vector(layer, Qp::m2, b.m2_address, 4);
    make_vector(layer, Qp::gBN_gamma, b.gamma_address, 4);
    make_vector(layer, Qp::gBN_beta, b.beta_address, 4);
}

void ProgramChecker::execute(const BnError& b) {
    const int layer = command().layer;
    const Place error = rules_.masked_error(rules_.error_layer(layer));
    read_codes(b.source, error, box());
    read_codes(b.xhat, {layer, Qp::xhat}, box());
    check_scale(b.scale, error, false);
    read_vector(layer, Qp::m1, b.m1_address, 4);
    read_vector(layer, Qp::m2, b.m2_address, 4);
    read_vector(layer, Qp::gamma_q, b.gamma_address, code_bytes(layer, Qp::gamma_q));
    read_vector(layer, b.inverse ? Qp::inv : Qp::sigma, b.sigma_address, b.inverse ? 8 : 4);
    require((b.guard_address >= 0) == rules_.training().sigma_guard, "guards otherwise");
    if (b.guard_address >= 0) read_vector(layer, Qp::sigma, b.guard_address, 4);
    if (b.qp.layer >= 0) {
        require(b.qp.layer == layer && b.qp.qp == Qp::bn_err, "shows another error");
        make_codes({layer, Qp::bn_err}, box());
    }
    if (b.destination.address >= 0) write_codes(b.destination, {layer, Qp::bn_err}, box());
    gather_largest(b.largest_address, {layer, Qp::bn_err}, box().size());
}

// ---- products -------------------------------------------------------------------------------

bool ProgramChecker::same_sum(const Element& a, const Element& b) const {
    if (a.index == b.index) return true;
    if (a.index >= 0 && b.index >= 0) return false;
    const std::int64_t inputs = weight_shape(rules_.layer(a.layer)).c;
    const auto tap = [&](const Element& e) {
        return e.index < 0 ? -1 - e.index : e.index / inputs;
    };
    return tap(a) == tap(b);
}

/// dx at an input channel i of a conv2d, or at a flattened input of a linear layer.
Element ProgramChecker::dx_element(int layer, std::int64_t n, std::int64_t h, std::int64_t w,
                                   std::int64_t i) const {
    const Shape shape = rules_.shape({layer, Qp::dx});
    if (rules_.layer(layer).type == LayerType::linear) {
        w = i % shape.w;
        h = i / shape.w % shape.h;
        i = i / shape.w / shape.h;
    }
    return {layer, Qp::dx, index_in(shape, n, h, w, i)};
}

void ProgramChecker::multiply_error(const Gemm& g) {
    const int index = command().layer;
    const Layer& layer = rules_.layer(index);
    const bool linear = layer.type == LayerType::linear;
    const Shape& e2 = rules_.output(index).shape;
    const Shape weights = weight_shape(layer);
    const std::int64_t outputs = layer.out_channels / layer.groups;
    const std::int64_t group = box().c0 / weights.c;
    require((box().c0 + box().c - 1) / weights.c == group, "crosses a group");
    require(g.bytes == (rules_.is_sq16() ? 2 : 1), "operands of another size");
    require(g.flags.exists() == !rules_.is_sq16(), "flags too many or missing");
    require(g.bias_address < 0, "has a bias");
    require(g.channels == outputs && !g.channel_major, "is not its layer's product");
    const Extent2 stride = linear ? Extent2{} : layer.stride;
    const Extent2 padding = linear ? Extent2{0, 0} : layer.padding;
    const Extent2 dilation = linear ? Extent2{} : layer.dilation;
    const auto taps_h = [&](int h) {
        return taps_at(h, static_cast<int>(weights.h), stride.h, padding.h, dilation.h);
    };
    const auto taps_w = [&](int w) {
        return taps_at(w, static_cast<int>(weights.w), stride.w, padding.w, dilation.w);
    };
    const std::vector<int> rows = taps_h(box().h0), columns = taps_w(box().w0);
    const bool has_taps = !rows.empty() && !columns.empty();
    const std::int64_t all_k =
        has_taps ? static_cast<std::int64_t>(rows.size() * columns.size()) * outputs : 1;
    check_operands_order(g, g.k0, all_k);
    for (int j = 0; j < g.k; ++j)
        for (int c = 0; c < g.columns; ++c) {
            const std::uint64_t found = weight(g, j, c);
            if (!has_taps) continue;
            const std::int64_t k = g.k0 + j, tap = k / outputs;
            const auto kh = rows[static_cast<std::size_t>(tap) / columns.size()];
            const auto kw = columns[static_cast<std::size_t>(tap) % columns.size()];
            const std::int64_t o = group * outputs + k % outputs;
            const std::int64_t i = box().c0 + c - group * weights.c;
            if (found != Element{index, Qp::Wq, index_in(weights, o, kh, kw, i)}.id(0))
                fail("has another weight in row " + std::to_string(j) + ", column " +
                     std::to_string(c) + ": " + text(element_of(found)));
        }
    const auto read_operand = [&](int n, int oh, int ow, std::int64_t k, int eh, int ew) {
        const auto c = static_cast<int>(k % g.channels);
        const auto kw = static_cast<int>(k / g.channels % g.kernel_w);
        const auto kh = static_cast<int>(k / g.channels / g.kernel_w);
        const int ih = oh * g.stride_y - g.padding_h + kh * g.dilation_h;
        const int iw = ow * g.stride_x - g.padding_w + kw * g.dilation_w;
        require(has_taps ? ih == eh && iw == ew : g.image_h == 0 || g.image_w == 0,
                "slides its window otherwise");
        if (!has_taps) return;
        require(g.image_h == e2.h && g.image_w == e2.w, "its image is another");
        if (ih < 0 || ih >= e2.h || iw < 0 || iw >= e2.w) return;
        const std::int64_t pixel = ((box().n0 + n) * e2.h + ih) * e2.w + iw;
        const std::int64_t channel = group * outputs + c;
        read_element(Space::activations,
                     g.address + n * g.stride_n + (ih - g.h0) * g.stride_h +
                         (iw - g.w0) * g.stride_w + c * g.bytes,
                     g.bytes, {index, Qp::E2, pixel * e2.c + channel});
        if (g.flags.exists())
            read_bits(g.flags, plane_address(g.flags, n, ih - g.h0, iw - g.w0), c,
                      {index, Qp::E2, Role::flags}, static_cast<int>(e2.c), pixel, channel);
    };
    std::int64_t p = 0;
    for (int n = 0; n < box().n; ++n)
        for (int y = 0; y < box().h; ++y)
            for (int x = 0; x < box().w; ++x, ++p) {
                const int h = box().h0 + y * box().step_h, w = box().w0 + x * box().step_w;
                require(taps_h(h) == rows && taps_w(w) == columns, "mixes places of other taps");
                for (std::int64_t k = g.k0; k < g.k0 + g.k; ++k) {
                    int eh = 0, ew = 0;
                    if (has_taps) {
                        const auto tap = static_cast<std::size_t>(k / outputs);
                        eh = output_at(h, rows[tap / columns.size()], stride.h, padding.h,
                                       dilation.h);
                        ew = output_at(w, columns[tap % columns.size()], stride.w, padding.w,
                                       dilation.w);
                    }
                    read_operand(n, h / box().step_h, w / box().step_w, k, eh, ew);
                }
                for (int c = 0; c < g.columns; ++c)
                    add_products(g, g.accumulator_row + p, c,
                                 dx_element(index, box().n0 + n, h, w, box().c0 + c), g.k0, all_k);
                if (!has_taps) checked_.macs -= g.columns;  // zeros that nobody asked for
            }
}

/// K runs over the output pixels; with ws a tile ends with the images that it can hold whole.
void ProgramChecker::multiply_gradient(const Gemm& g) {
    const int index = command().layer;
    const Layer& layer = rules_.layer(index);
    const TensorRule& input = rules_.output(layer.inputs[0]);
    const bool linear = layer.type == LayerType::linear;
    const Shape& out = rules_.output(index).shape;
    const Shape weights = weight_shape(layer);
    const Extent2 kernel = rules_.kernel(index);
    const Extent2 stride = linear ? Extent2{} : layer.stride;
    const Extent2 padding = linear ? Extent2{0, 0} : layer.padding;
    const Extent2 dilation = linear ? Extent2{} : layer.dilation;
    const std::int64_t outputs = layer.out_channels / layer.groups;
    const std::int64_t group = box().c0 / outputs;
    require((box().c0 + box().c - 1) / outputs == group, "crosses a group");
    require(g.bytes == input.bytes && !g.flags.exists(), "operands of another size");
    require(g.bias_address < 0, "has a bias");
    require(g.kernel_h == kernel.h && g.kernel_w == kernel.w && g.channel_major == linear &&
                g.image_h == layer.in_shape.h && g.image_w == layer.in_shape.w &&
                g.stride_y == stride.h && g.stride_x == stride.w && g.padding_h == padding.h &&
                g.padding_w == padding.w && g.dilation_h == dilation.h &&
                g.dilation_w == dilation.w,
            "is not its layer's product");

    struct Pixel {
        int n, h, w;  // n from the box's first image
        std::int64_t place;
    };
    std::vector<Pixel> pixels;
    require(g.k0 >= 0 && g.k0 + g.k <= box().pixels(), "reaches beyond its box");
    for (int k = g.k0; k < g.k0 + g.k; ++k) {
        const int w = box().w0 + k % box().w, h = box().h0 + k / box().w % box().h;
        const int n = k / box().w / box().h;
        pixels.push_back({n, h, w, ((box().n0 + n) * out.h + h) * out.w + w});
        require(pixels.back().place == pixels.front().place + (k - g.k0), "leaves the order of K");
    }
    const std::int64_t first_k = pixels.front().place, all_k = out.n * out.h * out.w;
    if (machine_.dataflow == Dataflow::ws) {
        const std::int64_t image = out.h * out.w;
        const std::int64_t unit = std::max<std::int64_t>(1, machine_.array_rows / image) * image;
        check_operands_order(g, first_k % unit, std::min(unit, all_k - first_k / unit * unit));
    }
    for (int j = 0; j < g.k; ++j)
        for (int c = 0; c < g.columns; ++c)
            if (weight(g, j, c) !=
                Element{index, Qp::E2,
                        pixels[static_cast<std::size_t>(j)].place * out.c + box().c0 + c}
                    .id(0))
                fail("has another error in row " + std::to_string(j) + ", column " +
                     std::to_string(c));

    for (int m = g.m0; m < g.m0 + g.m; ++m) {
        const int plane = kernel.h * kernel.w;
        const int c = linear ? m / plane : m % g.channels;
        const int tap = linear ? m % plane : m / g.channels;
        const int kh = tap / kernel.w, kw = tap % kernel.w;
        require(tap < plane, "reaches beyond the kernel");
        std::int64_t channel = -1;  // of the input; -1: nothing but padding tells
        for (const Pixel& pixel : pixels) {
            const int ih = pixel.h * stride.h - padding.h + kh * dilation.h;
            const int iw = pixel.w * stride.w - padding.w + kw * dilation.w;
            if (ih < 0 || ih >= layer.in_shape.h || iw < 0 || iw >= layer.in_shape.w) continue;
            const std::int64_t address = g.address + pixel.n * g.stride_n +
                                         (ih - g.h0) * g.stride_h + (iw - g.w0) * g.stride_w +
                                         c * g.bytes;
            if (channel < 0)
                channel = element_of(read_byte(Space::activations, address)).index % input.shape.c;
            read_element(
                Space::activations, address, g.bytes,
                {layer.inputs[0], input.qp, input.index(box().n0 + pixel.n, ih, iw, channel)});
        }
        for (int column = 0; column < g.columns; ++column) {
            const std::int64_t o = box().c0 + column;
            Element element{index, Qp::gW};
            if (channel < 0) {
                element.index = -1 - ((o * weights.h + kh) * weights.w + kw);
            } else if (linear) {
                element.index =
                    index_in(weights, o, 0, 0, (channel * kernel.h + kh) * kernel.w + kw);
            } else {
                require(channel / weights.c == group, "takes another group's activations");
                element.index = index_in(weights, o, kh, kw, channel - group * weights.c);
            }
            add_products(g, g.accumulator_row + (m - g.m0), column, element, first_k, all_k);
        }
    }
}

void ProgramChecker::drain_dx(const Drain& d) {
    const int layer = command().layer;
    const Place dx{layer, Qp::dx};
    const Box& b = box();
    require(d.source.bits == 40 && d.source.bytes == 5 && d.source.qp.layer == layer &&
                d.source.qp.qp == Qp::dx && d.destination.bytes == 5 && d.destination.is_signed &&
                d.source.frac == rules_.e2(layer).frac + rules_.at(layer, Qp::Wq).format.frac,
            "drains other sums");
    in_one_bank(d.destination, b);
    const int plane = d.destination.flat_h * d.destination.flat_w;
    require(plane == 0 || (plane == rules_.shape(dx).h * rules_.shape(dx).w && b.c0 % plane == 0),
            "flattens otherwise");
    std::int64_t p = 0;
    for (int n = 0; n < b.n; ++n)
        for (int h = 0; h < b.h; ++h)
            for (int w = 0; w < b.w; ++w, ++p)
                for (int c = 0; c < b.c; ++c) {
                    const Element element = dx_element(layer, b.n0 + n, b.h0 + h * b.step_h,
                                                       b.w0 + w * b.step_w, b.c0 + c);
                    const int per_row = d.source.channels_per_row;
                    complete_sum(d.source.address + c / per_row * b.pixels() + p, c % per_row,
                                 element);
                    const TileView& to = d.destination;
                    const std::int64_t address =
                        plane == 0 ? at(to, n, h, w, c)
                                   : to.address + n * to.stride_n + (b.c0 + c) / plane * to.bytes +
                                         c / to.flat_w % to.flat_h * to.stride_h +
                                         c % to.flat_w * to.stride_w;
                    write_element(to.space, address, to.bytes, element);
                }
    check_scale({d.scale_address, true}, rules_.error_at(layer), true);
    gather_largest(d.largest_address, dx, b.size());
}

void ProgramChecker::drain_gradient(const Drain& d) {
    const int layer = command().layer;
    const Place gradient{layer, Qp::gW};
    const Shape weights = weight_shape(rules_.layer(layer));
    const Box& b = box();
    require(d.source.bits == 40 && d.source.bytes == 5 && d.source.qp.layer == layer &&
                d.source.qp.qp == Qp::gW && d.destination.bytes == 5 &&
                d.source.frac ==
                    rules_.e2(layer).frac + rules_.output(rules_.layer(layer).inputs[0]).frac,
            "drains other sums");
    for_each(b, [&](int n, int h, int w, int c) {
        const Element element = element_at(gradient, weights, b, n, h, w, c);
        const std::int64_t row = d.source.address + (std::int64_t{h} * b.w + w) * b.c + c;
        Sum& sum = sum_at(row, n);
        if (sum.element.index < 0 && sum.element.place() == gradient &&
            same_sum(sum.element, element))
            sum.element = element;  // nothing but padding: any input channel's
        complete_sum(row, n, element);
    });
    write_codes(d.destination, gradient, b);
    check_scale({d.scale_address, true}, rules_.error_at(layer), true);
    gather_largest(d.largest_address, gradient, b.size());
}

// ---- update ---------------------------------------------------------------------------------

void ProgramChecker::execute(const Update& u) {
    struct State {
        Qp gradient, acc, accq, master;
    };
    static const std::map<Qp, State> states{
        {Qp::Wq, {Qp::gW, Qp::Acc, Qp::Accq, Qp::W}},
        {Qp::bias_q, {Qp::gBias, Qp::Acc_bias, Qp::Accq_bias, Qp::bias}},
        {Qp::gamma_q, {Qp::gBN_gamma, Qp::Acc_gamma, Qp::Accq_gamma, Qp::gamma}},
        {Qp::beta_q, {Qp::gBN_beta, Qp::Acc_beta, Qp::Accq_beta, Qp::beta}}};
    const int layer = command().layer;
    const State& state = states.at(u.quantized_qp.qp);
    const bool of_weights = state.gradient == Qp::gW;
    const Qp gradient = of_weights && rules_.training().weight_decay_log2 ? Qp::G : state.gradient;
    for (const auto& [qp, expected] :
         {std::pair{u.quantized_qp, u.quantized_qp.qp}, std::pair{u.acc_qp, state.acc},
          std::pair{u.accq_qp, state.accq}, std::pair{u.master_qp, state.master}})
        require(qp.layer == layer && qp.qp == expected, "updates something else");
    require(u.constant == of_weights && u.momentum_quarter == rules_.training().momentum_quarter &&
                u.lfsr == (rules_.training().random_source == RandomSource::lfsr),
            "is another rule");
    require(box().c0 == u.first && box().c == u.count && box().pixels() == 1, "wrong box");
    require(u.g_qp.layer == (of_weights ? layer : -1), "shows another gradient");
    if (of_weights) {
        require(u.g_qp.qp == Qp::G && u.stream_op == 16 * static_cast<std::uint32_t>(layer),
                "draws from other streams");
        check_scale(u.scale, {layer, gradient}, false);
    } else {
        require(u.gradient_frac == rules_.at(layer, gradient).format.frac,
                "takes its gradient at another frac");
    }
    const auto update = [&](Qp qp, std::int64_t address, int bytes, std::int64_t e) {
        read_element(Space::activations, address + e * bytes, bytes, {layer, qp, u.first + e});
        write_element(Space::activations, address + e * bytes, bytes,
                      {layer, qp, u.first + e, Role::codes, true});
    };
    for (std::int64_t e = 0; e < u.count; ++e) {
        read_element(Space::activations, u.gradient_address + e * u.gradient_bytes,
                     u.gradient_bytes, {layer, gradient, u.first + e});
        update(state.accq, u.accumulator_address, u.accumulator_bytes, e);
        update(state.master, u.master_address, u.master_bytes, e);
        write_element(Space::activations, u.quantized_address + e * u.quantized_bytes,
                      u.quantized_bytes,
                      {layer, u.quantized_qp.qp, u.first + e, Role::codes, true});
        if (of_weights) make({layer, Qp::G, u.first + e});
        for (const Qp qp : {state.acc, state.accq, state.master, u.quantized_qp.qp})
            make({layer, qp, u.first + e});
    }
}

}  // namespace wagesim::test
