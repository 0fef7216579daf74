// The table of kernels of one instruction set: compiled once for each.

#include "kernels.hpp"

#include "cell.hpp"
#include "complex.hpp"
#include "norm.hpp"
#include "scans.hpp"
#include "wrap.hpp"

namespace framecast::FRAMECAST_SET {
namespace {

#define FRAMECAST_TEXT_OF(name) #name
#define FRAMECAST_TEXT(name) FRAMECAST_TEXT_OF(name)

template <class Stored>
struct Of {
    using Scalar = Accumulator<Stored>;

    static void run(const ScanForwardCall& call) {
        switch (call.scan) {
            case linear: return forward<Linear<Scalar>, Stored>(call);
            case min_gru: return forward<Gated<Scalar, GruGate<Scalar>>, Stored>(call);
            case min_lstm: return forward<Gated<Scalar, LstmGate<Scalar>>, Stored>(call);
            case min_exp_lstm: return forward<Gated<Scalar, ExpLstmGate<Scalar>>, Stored>(call);
        }
    }
    static void run(const ScanBackwardCall& call) {
        switch (call.scan) {
            case linear: return backward<Linear<Scalar>, Stored>(call);
            case min_gru: return backward<Gated<Scalar, GruGate<Scalar>>, Stored>(call);
            case min_lstm: return backward<Gated<Scalar, LstmGate<Scalar>>, Stored>(call);
            case min_exp_lstm: return backward<Gated<Scalar, ExpLstmGate<Scalar>>, Stored>(call);
        }
    }
    static void run(const ComplexForwardCall& call) { complex_forward<Stored>(call); }
    static void run(const ComplexBackwardCall& call) { complex_backward<Stored>(call); }
    static void run(const CellForwardCall& call) { cell_forward<Stored>(call); }
    static void run(const CellBackwardCall& call) { cell_backward<Stored>(call); }
    static void run(const NormForwardCall& call) { norm<Stored>(call); }
    static void run(const NormBackwardCall& call) { norm<Stored>(call); }
    static void run(const WrapForwardCall& call) { wrap_forward<Stored>(call); }
    static void run(const WrapBackwardCall& call) { wrap_backward<Stored>(call); }
};

template <class Call>
void run_type(const Call& call) {
    switch (call.type) {
        case float32: return Of<float>::run(call);
        case float64: return Of<double>::run(call);
        case bfloat16: return Of<BFloat16>::run(call);
    }
}

}  // namespace

const Kernels kernels{
    FRAMECAST_TEXT(FRAMECAST_SET),  run_type<ScanForwardCall>,     run_type<ScanBackwardCall>,
    run_type<ComplexForwardCall>,   run_type<ComplexBackwardCall>, run_type<CellForwardCall>,
    run_type<CellBackwardCall>,     run_type<NormForwardCall>,     run_type<NormBackwardCall>,
    run_type<WrapForwardCall>,      run_type<WrapBackwardCall>,
};

}  // namespace framecast::FRAMECAST_SET
