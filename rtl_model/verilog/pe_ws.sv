// A weight-stationary PE: what stays in it and what moves down. What moves right (the operand, the
// valid and swap bits) is kept by the column.
module pe_ws #(
    parameter int OPERAND_BITS = 8,
    parameter int WEIGHT_BITS = 8,
    parameter int SUM_BITS = 20
) (
    // verilator tracing_off
    input  logic                           clk_i,
    input  logic                           rst_ni,
    input  logic                           load_i,
    input  logic                           swap_i,
    input  logic signed [OPERAND_BITS-1:0] operand_i,
    input  logic signed [WEIGHT_BITS-1:0]  next_weight_i,
    input  logic signed [SUM_BITS-1:0]     sum_i,
    output logic signed [WEIGHT_BITS-1:0]  next_weight_o,
    output logic signed [SUM_BITS-1:0]     sum_o
);
  // verilator tracing_on
  logic signed [WEIGHT_BITS-1:0] weight, next_weight;
  logic signed [SUM_BITS-1:0] sum;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) next_weight <= '0;
    else if (load_i) next_weight <= next_weight_i;
  end

  // One multiplier: the branches never work together.
  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      weight <= '0;
      sum <= '0;
    end else if (swap_i) begin
      weight <= next_weight;
      sum <= sum_i + SUM_BITS'(operand_i) * SUM_BITS'(next_weight);
    end else begin
      sum <= sum_i + SUM_BITS'(operand_i) * SUM_BITS'(weight);
    end
  end

  assign next_weight_o = next_weight;
  assign sum_o = sum;
endmodule
