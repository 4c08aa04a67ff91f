// A column of output-stationary PEs: weights, and sums on their way in or out, move down; operands,
// valid and swap bits of all rows move right together, one register each a row.
module column_os #(
    parameter int ROWS = 4,
    parameter int OPERAND_BITS = 8,
    parameter int WEIGHT_BITS = 8,
    parameter int ACCUMULATOR_BITS = 40,
    parameter int SATURATE = 0
) (
    // verilator tracing_off
    input  logic                         clk_i,
    input  logic                         rst_ni,
    input  logic                         shift_i,
    input  logic [ACCUMULATOR_BITS-1:0]  initial_i,
    input  logic                         initial_overflowed_i,
    input  logic [WEIGHT_BITS-1:0]       weight_i,
    input  logic [ROWS-1:0]              valid_i,
    input  logic [ROWS-1:0]              swap_i,
    input  logic [ROWS*OPERAND_BITS-1:0] operands_i,
    output logic [ROWS-1:0]              valid_o,
    output logic [ROWS-1:0]              swap_o,
    output logic [ROWS*OPERAND_BITS-1:0] operands_o,
    output logic [ACCUMULATOR_BITS-1:0]  result_o,
    output logic                         result_overflowed_o
);
  // verilator tracing_on
  logic [ROWS-1:0] valid, swap;
  logic [ROWS*OPERAND_BITS-1:0] a;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      valid <= '0;
      swap <= '0;
      a <= '0;
    end else begin
      valid <= valid_i;
      swap <= swap_i;
      a <= operands_i;
    end
  end

  assign valid_o = valid;
  assign swap_o = swap;
  assign operands_o = a;

  generate
    for (genvar r = 0; r < ROWS; r = r + 1) begin : row
      logic [WEIGHT_BITS-1:0] weight_above, weight;
      logic [ACCUMULATOR_BITS-1:0] next_acc_above, next_acc;
      logic next_overflowed_above, next_overflowed;
      if (r == 0) begin : first
        assign weight_above = weight_i;
        assign next_acc_above = initial_i;
        assign next_overflowed_above = initial_overflowed_i;
      end else begin : other
        assign weight_above = row[r-1].weight;
        assign next_acc_above = row[r-1].next_acc;
        assign next_overflowed_above = row[r-1].next_overflowed;
      end
      pe_os #(
          .OPERAND_BITS(OPERAND_BITS),
          .WEIGHT_BITS(WEIGHT_BITS),
          .ACCUMULATOR_BITS(ACCUMULATOR_BITS),
          .SATURATE(SATURATE)
      ) pe (
          .clk_i(clk_i),
          .rst_ni(rst_ni),
          .shift_i(shift_i),
          .valid_i(valid_i[r]),
          .swap_i(swap_i[r]),
          .operand_i(operands_i[r*OPERAND_BITS+:OPERAND_BITS]),
          .weight_i(weight_above),
          .next_acc_i(next_acc_above),
          .next_overflowed_i(next_overflowed_above),
          .weight_o(weight),
          .next_acc_o(next_acc),
          .next_overflowed_o(next_overflowed)
      );
    end
  endgenerate
  assign result_o = row[ROWS-1].next_acc;
  assign result_overflowed_o = row[ROWS-1].next_overflowed;
endmodule
