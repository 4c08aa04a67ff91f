// A delay line per lane: lane l passes l registers, or LANES - 1 - l if FALLING.
module skew #(
    parameter int LANES = 4,
    parameter int BITS = 8,
    parameter int FALLING = 0
) (
    input  logic                  clk_i,
    input  logic                  rst_ni,
    input  logic [LANES*BITS-1:0] lanes_i,
    output logic [LANES*BITS-1:0] lanes_o
);
  generate
    for (genvar l = 0; l < LANES; l = l + 1) begin : lane
      localparam int STAGES = FALLING != 0 ? LANES - 1 - l : l;
      for (genvar s = 0; s < STAGES; s = s + 1) begin : stage
        logic [BITS-1:0] from, data;
        if (s == 0) begin : first
          assign from = lanes_i[l*BITS+:BITS];
        end else begin : other
          assign from = lane[l].stage[s-1].data;
        end
        always_ff @(posedge clk_i or negedge rst_ni) begin
          if (!rst_ni) data <= '0;
          else data <= from;
        end
      end
      if (STAGES == 0) begin : straight
        assign lanes_o[l*BITS+:BITS] = lanes_i[l*BITS+:BITS];
      end else begin : delayed
        assign lanes_o[l*BITS+:BITS] = stage[STAGES-1].data;
      end
    end
  endgenerate
endmodule
