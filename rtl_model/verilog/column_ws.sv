// A column of weight-stationary PEs: partial sums and shadow weights move down; operands, valid and
// swap bits of all rows move right together, one register each a row.
module column_ws #(
    parameter int ROWS = 4,
    parameter int OPERAND_BITS = 8,
    parameter int WEIGHT_BITS = 8,
    parameter int SUM_BITS = OPERAND_BITS + WEIGHT_BITS + $clog2(ROWS)
) (
    // verilator tracing_off
    input  logic                         clk_i,
    input  logic                         rst_ni,
    input  logic                         load_i,
    input  logic [WEIGHT_BITS-1:0]       weight_i,
    input  logic [ROWS-1:0]              valid_i,
    input  logic [ROWS-1:0]              swap_i,
    input  logic [ROWS*OPERAND_BITS-1:0] operands_i,
    output logic [ROWS-1:0]              valid_o,
    output logic [ROWS-1:0]              swap_o,
    output logic [ROWS*OPERAND_BITS-1:0] operands_o,
    output logic [SUM_BITS-1:0]          sum_o
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
      logic [WEIGHT_BITS-1:0] next_weight_above, next_weight;
      logic [SUM_BITS-1:0] sum_above, sum;
      if (r == 0) begin : first
        assign next_weight_above = weight_i;
        assign sum_above = '0;
      end else begin : other
        assign next_weight_above = row[r-1].next_weight;
        assign sum_above = row[r-1].sum;
      end
      pe_ws #(
          .OPERAND_BITS(OPERAND_BITS),
          .WEIGHT_BITS(WEIGHT_BITS),
          .SUM_BITS(SUM_BITS)
      ) pe (
          .clk_i(clk_i),
          .rst_ni(rst_ni),
          .load_i(load_i),
          .swap_i(swap_i[r]),
          .operand_i(operands_i[r*OPERAND_BITS+:OPERAND_BITS]),
          .next_weight_i(next_weight_above),
          .sum_i(sum_above),
          .next_weight_o(next_weight),
          .sum_o(sum)
      );
    end
  endgenerate
  assign sum_o = row[ROWS-1].sum;
endmodule
