// What the checks against floating point must find. Never linked.
namespace wagesim::rtl {
double half_of(double value);
double half_of(double value) { return value * 0.5; }
}  // namespace wagesim::rtl
