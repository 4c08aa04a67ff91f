// The accumulator memory: rows of sums, each with a sticky overflow flag. Every cycle may add a row
// of sums to one row, and another row may be read. Rows hold nothing until they are started.
module accumulators #(
    parameter int COLUMNS = 4,
    parameter int SUM_BITS = 18,
    parameter int ACCUMULATOR_BITS = 40,
    parameter int SATURATE = 0,
    parameter int DEPTH = 64,
    parameter int ROW_BITS = DEPTH > 1 ? $clog2(DEPTH) : 1
) (
    input  logic                                clk_i,
    input  logic                                add_i,
    input  logic [ROW_BITS-1:0]                 row_i,
    input  logic                                start_i,
    input  logic [COLUMNS*ACCUMULATOR_BITS-1:0] initial_i,
    input  logic [COLUMNS-1:0]                  initial_overflowed_i,
    input  logic [COLUMNS*SUM_BITS-1:0]         sums_i,
    input  logic [ROW_BITS-1:0]                 read_row_i,
    output logic [COLUMNS*ACCUMULATOR_BITS-1:0] values_o,
    output logic [COLUMNS-1:0]                  overflowed_o
);
  localparam int EXACT_BITS = 1 + (SUM_BITS > ACCUMULATOR_BITS ? SUM_BITS : ACCUMULATOR_BITS);

  logic [COLUMNS*ACCUMULATOR_BITS-1:0] values[0:DEPTH-1];
  logic [COLUMNS-1:0] overflowed[0:DEPTH-1];

  logic [COLUMNS*ACCUMULATOR_BITS-1:0] before_add, after_add;
  logic [COLUMNS-1:0] overflowed_before, overflow;
  assign before_add = start_i ? initial_i : values[row_i];
  assign overflowed_before = start_i ? initial_overflowed_i : overflowed[row_i];

  generate
    for (genvar c = 0; c < COLUMNS; c = c + 1) begin : column
      logic signed [ACCUMULATOR_BITS-1:0] value;
      logic signed [SUM_BITS-1:0] sum;
      logic signed [EXACT_BITS-1:0] exact;
      assign value = before_add[c*ACCUMULATOR_BITS+:ACCUMULATOR_BITS];
      assign sum = sums_i[c*SUM_BITS+:SUM_BITS];
      assign exact = EXACT_BITS'(value) + EXACT_BITS'(sum);
      fit #(
          .EXACT_BITS(EXACT_BITS),
          .BITS(ACCUMULATOR_BITS),
          .SATURATE(SATURATE)
      ) fit (
          .exact_i(exact),
          .sum_o(after_add[c*ACCUMULATOR_BITS+:ACCUMULATOR_BITS]),
          .overflow_o(overflow[c])
      );
    end
  endgenerate

  always_ff @(posedge clk_i) begin
    if (add_i) begin
      values[row_i] <= after_add;
      overflowed[row_i] <= overflowed_before | overflow;
    end
  end

  assign values_o = values[read_row_i];
  assign overflowed_o = overflowed[read_row_i];
endmodule
