// The commands that look at programs and run directories.
#pragma once

#include <cstdint>
#include <string>

namespace wagesim::app {

/// `wagesim compile`: a summary of the program, or its listing.
int print_program(const std::string& network, const std::string& datapath, std::int64_t batch,
                  const std::string& batch_norm, bool listing);

/// `wagesim show RUN TENSOR[n,c,h,w] --as code|hex|real|bin`. Throws InputError.
int show(const std::string& run, const std::string& tensor, const std::string& as);

/// `wagesim diff A B`: 1 where a tensor that both have differs, naming the first element.
int diff(const std::string& run_a, const std::string& run_b);

/// `wagesim report RUN`: the table again, from manifest.json.
int print_report(const std::string& run);

}  // namespace wagesim::app
