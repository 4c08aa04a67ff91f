// A program as text: the Dram's tensors, the tokens, and one command a line.
#include <iomanip>
#include <sstream>
#include <string>

#include "compile/compile.h"

namespace wagesim::compile {
namespace {

std::string hex(std::int64_t address) {
    std::ostringstream text;
    text << "0x" << std::hex << std::setw(6) << std::setfill('0') << address;
    return text.str();
}

std::string qp_name(const Network& network, const QpId& qp) {
    return network.name_of(qp.layer) + "." + std::string(to_string(qp.qp));
}

std::string format_text(const Format& format) {
    return std::string(format.is_signed ? "s" : "u") + std::to_string(format.bits) + "." +
           std::to_string(format.frac);
}

const char* role_text(Role role) {
    switch (role) {
        case Role::codes:
            return "";
        case Role::mask:
            return ".mask";
        case Role::index:
            return ".index";
        case Role::flags:
            return ".flags";
        case Role::scale:
            return ".scale";
        case Role::back:
            return ".back";
        case Role::labels:
            return ".labels";
    }
    return "";
}

/// "n0:2 h4:8 w0:28 c0:16": origin and extent, extents of 1 at 0 left out.
std::string box_text(const Box& box) {
    std::ostringstream text;
    const auto put = [&](char name, std::int32_t at, std::int32_t size, std::int32_t step = 1) {
        if (at == 0 && size == 1) return;
        text << (text.tellp() > 0 ? " " : "") << name << at << ":" << size;
        if (step > 1) text << "/" << step;
    };
    put('n', box.n0, box.n);
    put('h', box.h0, box.h, box.step_h);
    put('w', box.w0, box.w, box.step_w);
    put('c', box.c0, box.c);
    return "[" + text.str() + "]";
}

std::string view_text(const TileView& view) {
    std::string text = std::string(to_string(view.space)) + " ";
    text += view.space == Space::accumulators ? "row " + std::to_string(view.address)
                                              : hex(view.address);
    return text + " " + std::to_string(view.bytes) + "B ." + std::to_string(view.frac);
}

std::string plane_text(const char* what, const BitPlane& plane) {
    return plane.exists() ? std::string(" ") + what + " " + hex(plane.address) : "";
}

std::string weight_text(const WeightView& view) {
    return "weights " + hex(view.address) + " +" + std::to_string(view.row_stride) + "/" +
           std::to_string(view.column_stride) + plane_text("flags", view.flags);
}

std::string scale_text(const ScaleView& scale) {
    if (scale.address < 0)
        return " unit 2^" + std::to_string(scale.exponent) + " ." + std::to_string(scale.frac);
    return " scale " + hex(scale.address) +
           (scale.quantized ? " SQ ." + std::to_string(scale.frac) : "");
}

std::string largest_text(std::int64_t address) {
    return address >= 0 ? " largest " + hex(address) : "";
}

class OperandText {
public:
    OperandText(const Network& network, Unit unit) : network_(network), unit_(unit) {}

    std::string operator()(const Fence&) const { return ""; }
    std::string operator()(const Transfer& t) const {
        const std::string dram = "dram " + hex(t.dram_address);
        const std::string buffer = std::string(to_string(t.buffer)) + " " + hex(t.buffer_address);
        std::ostringstream text;
        text << (unit_ == Unit::dma_write ? buffer + " -> " + dram : dram + " -> " + buffer) << " "
             << t.run_bytes << "B";
        for (std::size_t i = 0; i < t.counts.size(); ++i)
            if (t.counts[i] != 1)
                text << " x" << t.counts[i] << "(+" << t.dram_strides[i] << ", +"
                     << t.buffer_strides[i] << ")";
        return text.str();
    }
    std::string operator()(const WeightLoad& w) const {
        return weight_text(w.weights) + " " + std::to_string(w.rows) + "x" +
               std::to_string(w.columns);
    }
    std::string operator()(const Gemm& g) const {
        std::ostringstream text;
        text << "activations " << hex(g.address) << " (h" << g.h0 << " w" << g.w0 << ") k" << g.k0
             << ":" << g.k;
        if (g.turned) text << " turned m" << g.m0 << ":" << g.m;
        text << plane_text("flags", g.flags);
        if (g.weights.column_stride > 0) text << " " << weight_text(g.weights);  // os
        text << " -> row " << g.accumulator_row
             << (g.accumulate          ? " accumulate"
                 : g.bias_address >= 0 ? " bias "
                                       : " first");
        if (g.bias_address >= 0) text << hex(g.bias_address);
        return text.str();
    }
    std::string operator()(const Drain& d) const {
        return view_text(d.source) + " -> " + view_text(d.destination) +
               (d.statistics_address >= 0 ? " statistics " + hex(d.statistics_address) : "") +
               largest_text(d.largest_address);
    }
    std::string operator()(const Gather& g) const {
        return view_text(g.source) + " -> statistics " + hex(g.statistics_address);
    }
    std::string operator()(const Clear& c) const {
        return "parameters " + hex(c.address) + " " + std::to_string(c.bytes) + "B";
    }
    std::string operator()(const BnStat& b) const {
        return "statistics " + hex(b.statistics_address) + " / " + std::to_string(b.count) +
               " -> mu " + hex(b.mu_address) + " sigma " + hex(b.sigma_address) + " run_mu " +
               hex(b.run_mu_address) + " run_sigma " + hex(b.run_sigma_address);
    }
    std::string operator()(const BnCoef& b) const {
        if (b.kind == BnCoef::Kind::inverse)
            return "sigma " + hex(b.sigma_address) + " -> inv " + hex(b.out_address);
        return "mu " + hex(b.mu_address) + " sigma " + hex(b.sigma_address) + " gamma_q " +
               hex(b.gamma_address) + " beta_q " + hex(b.beta_address) + " -> fold_a " +
               hex(b.out_address) + " fold_b " + hex(b.out_b_address);
    }
    std::string operator()(const NormalizeCmd& n) const {
        return view_text(n.source) + " mu " + hex(n.mu_address) +
               (n.inverse ? " inv " : " sigma ") + hex(n.sigma_address) + " -> " +
               view_text(n.destination);
    }
    std::string operator()(const Act& a) const {
        std::string text = view_text(a.source);
        if (a.kind != Act::Kind::plain)
            text += std::string(a.kind == Act::Kind::fold ? " fold_a " : " gamma_q ") +
                    hex(a.gamma_address) + (a.kind == Act::Kind::fold ? " fold_b " : " beta_q ") +
                    hex(a.beta_address);
        if (a.clip != Clip::none) text += a.clip == Clip::relu ? " relu" : " relu6";
        return text + " -> " + view_text(a.destination) + " " +
               qp_name(network_, a.quantize ? a.a_qp : a.x_qp) + plane_text("mask", a.mask);
    }
    std::string operator()(const Add& a) const {
        return view_text(a.a) + " + " + view_text(a.b) + " -> " + view_text(a.destination) + " " +
               qp_name(network_, a.quantize ? a.a_qp : a.stream_qp);
    }
    std::string operator()(const Pool& p) const {
        std::ostringstream text;
        text << view_text(p.source) << " (h" << p.h0 << " w" << p.w0 << ") "
             << (p.average ? "avg " : "max ") << p.kernel_h << "x" << p.kernel_w << " / "
             << p.stride_y << "x" << p.stride_x << " -> " << view_text(p.destination) << " "
             << qp_name(network_, p.qp) << plane_text("index", p.index);
        return text.str();
    }
    std::string operator()(const QuantizeCmd& q) const {
        return "activations " + hex(q.source_address) + " " + std::to_string(q.source_bytes) +
               "B x" + std::to_string(q.count) + " -> " + hex(q.destination_address) + " " +
               std::to_string(q.destination_bytes) + "B " + qp_name(network_, q.qp) + " " +
               format_text(q.quantizer.format);
    }
    std::string operator()(const Softmax& s) const {
        return view_text(s.source) + " labels " + hex(s.label_address) + " -> " +
               view_text(s.destination) + " " + qp_name(network_, s.e0_qp) + " exponent " +
               std::to_string(s.exponent) + largest_text(s.largest_address);
    }
    std::string operator()(const Exponent& e) const {
        std::string text = hex(e.scale_address) + " <-";
        for (const Exponent::Operand& operand : e.operands) text += scale_text(operand.scale);
        if (e.operands.empty()) text += " " + std::to_string(e.exponent);
        if (e.is_fork) return text + " fork";
        return text + " frac " +
               (e.keeps_frac ? std::to_string(e.frac) : "+" + std::to_string(e.add_frac));
    }
    std::string operator()(const ShiftQuantize& s) const {
        return view_text(s.source) + scale_text(s.scale) + " -> " + view_text(s.destination) + " " +
               qp_name(network_, s.mask.exists() ? s.masked_qp : s.qp) +
               plane_text("mask", s.mask) + largest_text(s.largest_address);
    }
    std::string operator()(const FlagQuantize& f) const {
        return view_text(f.source) + scale_text(f.scale) + " -> " + view_text(f.destination) + " " +
               qp_name(network_, f.qp) + plane_text("flags", f.flags);
    }
    std::string operator()(const PoolBack& p) const {
        std::ostringstream text;
        text << view_text(p.source) << " (h" << p.h0 << " w" << p.w0 << ")" << scale_text(p.scale)
             << (p.average ? " avg " : " max ") << p.kernel_h << "x" << p.kernel_w << " / "
             << p.stride_y << "x" << p.stride_x << " -> " << view_text(p.destination)
             << plane_text("index", p.index) << largest_text(p.largest_address);
        return text.str();
    }
    std::string operator()(const Reduce& r) const {
        return view_text(r.source) + plane_text("flags", r.flags) +
               (r.with_xhat ? " xhat " + view_text(r.xhat) : "") + " -> sums " +
               hex(r.sums_address);
    }
    std::string operator()(const BnBack& b) const {
        if (b.bias)
            return "sums " + hex(b.sums_address) + scale_text(b.scale) + " -> gBias " +
                   hex(b.beta_address);
        return "sums " + hex(b.sums_address) + " / " + std::to_string(b.count) +
               scale_text(b.scale) + " -> m1 " + hex(b.m1_address) + " m2 " + hex(b.m2_address) +
               " gBN_gamma " + hex(b.gamma_address) + " gBN_beta " + hex(b.beta_address);
    }
    std::string operator()(const BnError& b) const {
        return view_text(b.source) + scale_text(b.scale) + " xhat " + view_text(b.xhat) + " m1 " +
               hex(b.m1_address) + " m2 " + hex(b.m2_address) + " gamma_q " + hex(b.gamma_address) +
               (b.inverse ? " inv " : " sigma ") + hex(b.sigma_address) + " -> " +
               view_text(b.destination) + largest_text(b.largest_address);
    }
    std::string operator()(const Fork& f) const {
        std::string text;
        for (const Fork::Operand& operand : f.operands)
            text +=
                (text.empty() ? "" : " + ") + view_text(operand.tile) + scale_text(operand.scale);
        return text + " -> " + view_text(f.destination) + largest_text(f.largest_address);
    }
    std::string operator()(const Update& u) const {
        return qp_name(network_, u.master_qp) + " #" + std::to_string(u.first) + " x" +
               std::to_string(u.count) + ": gradient " + hex(u.gradient_address) + " " +
               std::to_string(u.gradient_bytes) + "B" +
               (u.constant ? scale_text(u.scale) : " ." + std::to_string(u.gradient_frac)) +
               " accumulator " + hex(u.accumulator_address) + " " +
               std::to_string(u.accumulator_bytes) + "B master " + hex(u.master_address) + " " +
               std::to_string(u.master_bytes) + "B -> " + hex(u.quantized_address) + " " +
               std::to_string(u.quantized_bytes) + "B " + qp_name(network_, u.quantized_qp);
    }

private:
    const Network& network_;
    Unit unit_;
};

void put_tokens(std::ostringstream& text, const char* word, const Tokens& tokens,
                const Program& program) {
    if (tokens.empty()) return;
    text << " " << word;
    for (const Token token : tokens) text << " " << program.tokens[token].name;
}

}  // namespace

std::string listing(const Program& program, const Network& network) {
    std::ostringstream text;
    text << "# network " << network.name << ": " << program.size() << " commands, "
         << program.dram_bytes << " bytes of Dram\n# tensors: address, name, shape, format, bytes "
         << "per code\n";
    for (const DramTensor& tensor : program.tensors)
        text << hex(tensor.address) << " " << qp_name(network, tensor.qp) << role_text(tensor.role)
             << " " << tensor.shape.n << "x" << tensor.shape.c << "x" << tensor.shape.h << "x"
             << tensor.shape.w << " "
             << (tensor.plane_bits > 0
                     ? std::to_string(tensor.plane_bits) + "-bit plane"
                     : format_text(tensor.format) + " " + std::to_string(tensor.bytes))
             << (tensor.from_host ? " from the host" : "") << "\n";
    text << "# tokens: name, count at the start\n";
    for (const TokenInfo& token : program.tokens)
        text << token.name << " " << token.initial << "\n";
    text << "# commands: index, unit, command, layer, tile, box, operands, tokens\n";
    for (std::size_t i = 0; i < program.size(); ++i) {
        const Command& command = program.at(i);
        text << std::setw(6) << i << " ";
        if (std::holds_alternative<Fence>(command.operands)) {
            text << "FENCE\n";
            continue;
        }
        text << std::left << std::setw(13) << to_string(command.unit) << " " << std::setw(9)
             << mnemonic(command) << std::right << " " << network.name_of(command.layer) << " #"
             << command.tile << " " << box_text(command.box) << " "
             << std::visit(OperandText(network, command.unit), command.operands);
        put_tokens(text, "waits", command.waits, program);
        put_tokens(text, "gives", command.gives, program);
        if (const Gemm* gemm = std::get_if<Gemm>(&command.operands))
            put_tokens(text, "gives-at-swap", gemm->gives_at_swap, program);
        text << "\n";
    }
    return text.str();
}

}  // namespace wagesim::compile
