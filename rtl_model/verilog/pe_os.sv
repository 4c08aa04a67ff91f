// An output-stationary PE: what stays in it and what moves down. What moves right (the operand, the
// valid and swap bits) is kept by the column.
module pe_os #(
    parameter int OPERAND_BITS = 8,
    parameter int WEIGHT_BITS = 8,
    parameter int ACCUMULATOR_BITS = 40,
    parameter int SATURATE = 0
) (
    // verilator tracing_off
    input  logic                               clk_i,
    input  logic                               rst_ni,
    input  logic                               shift_i,
    input  logic                               valid_i,
    input  logic                               swap_i,
    input  logic signed [OPERAND_BITS-1:0]     operand_i,
    input  logic signed [WEIGHT_BITS-1:0]      weight_i,
    input  logic        [ACCUMULATOR_BITS-1:0] next_acc_i,
    input  logic                               next_overflowed_i,
    output logic        [WEIGHT_BITS-1:0]      weight_o,
    output logic        [ACCUMULATOR_BITS-1:0] next_acc_o,
    output logic                               next_overflowed_o
);
  localparam int PRODUCT_BITS = OPERAND_BITS + WEIGHT_BITS;
  localparam int EXACT_BITS =
      1 + (PRODUCT_BITS > ACCUMULATOR_BITS ? PRODUCT_BITS : ACCUMULATOR_BITS);

  // verilator tracing_on
  logic signed [WEIGHT_BITS-1:0] b;
  logic signed [ACCUMULATOR_BITS-1:0] acc, next_acc;
  logic acc_overflowed, next_overflowed;
  // verilator tracing_off

  logic signed [ACCUMULATOR_BITS-1:0] start;
  logic start_overflowed;
  assign start = swap_i ? next_acc : acc;
  assign start_overflowed = swap_i ? next_overflowed : acc_overflowed;

  logic signed [EXACT_BITS-1:0] exact;
  logic [ACCUMULATOR_BITS-1:0] fitted;
  logic overflow;
  assign exact = EXACT_BITS'(start) + EXACT_BITS'(operand_i) * EXACT_BITS'(weight_i);
  fit #(
      .EXACT_BITS(EXACT_BITS),
      .BITS(ACCUMULATOR_BITS),
      .SATURATE(SATURATE)
  ) fit (
      .exact_i(exact),
      .sum_o(fitted),
      .overflow_o(overflow)
  );

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      b <= '0;
      acc <= '0;
      acc_overflowed <= 1'b0;
      next_acc <= '0;
      next_overflowed <= 1'b0;
    end else begin
      b <= weight_i;
      acc <= valid_i ? fitted : start;
      acc_overflowed <= start_overflowed || (valid_i && overflow);
      if (swap_i) begin
        next_acc <= acc;
        next_overflowed <= acc_overflowed;
      end else if (shift_i) begin
        next_acc <= next_acc_i;
        next_overflowed <= next_overflowed_i;
      end
    end
  end

  assign weight_o = b;
  assign next_acc_o = next_acc;
  assign next_overflowed_o = next_overflowed;
endmodule
