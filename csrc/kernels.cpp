// The table of kernels of one instruction set: compiled once for each.

#include "kernels.hpp"

#include "scans.hpp"

namespace framecast::FRAMECAST_SET {
namespace {

#define FRAMECAST_TEXT_OF(name) #name
#define FRAMECAST_TEXT(name) FRAMECAST_TEXT_OF(name)

// Calls action<Stored>() with the C++ type of `type`.
#define FRAMECAST_FOR_TYPE(type, action)        \
    switch (type) {                             \
        case float32: return action(float);     \
        case float64: return action(double);    \
        case bfloat16: return action(BFloat16); \
    }

template <class Stored, template <class, class> class Pass, class Call>
void scan_of_type(const Call& call) {
    using Scalar = Accumulator<Stored>;
    switch (call.scan) {
        case linear: return Pass<Linear<Scalar>, Stored>::run(call);
        case min_gru: return Pass<Gated<Scalar, GruGate<Scalar>>, Stored>::run(call);
        case min_lstm: return Pass<Gated<Scalar, LstmGate<Scalar>>, Stored>::run(call);
        case min_exp_lstm: return Pass<Gated<Scalar, ExpLstmGate<Scalar>>, Stored>::run(call);
    }
}

template <class Rule, class Stored>
struct ForwardPass {
    static void run(const ScanForward& call) { forward<Rule, Stored>(call); }
};
template <class Rule, class Stored>
struct BackwardPass {
    static void run(const ScanBackward& call) { backward<Rule, Stored>(call); }
};

void scan_forward(const ScanForward& call) {
#define FRAMECAST_ACTION(Stored) scan_of_type<Stored, ForwardPass>(call)
    FRAMECAST_FOR_TYPE(call.type, FRAMECAST_ACTION)
#undef FRAMECAST_ACTION
}

void scan_backward(const ScanBackward& call) {
#define FRAMECAST_ACTION(Stored) scan_of_type<Stored, BackwardPass>(call)
    FRAMECAST_FOR_TYPE(call.type, FRAMECAST_ACTION)
#undef FRAMECAST_ACTION
}

}  // namespace

const Kernels kernels{FRAMECAST_TEXT(FRAMECAST_SET), scan_forward, scan_backward};

}  // namespace framecast::FRAMECAST_SET
