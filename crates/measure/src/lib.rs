//! What the benchmark and the fault tests share: a latency recorder, a progress display, and line
//! plots.

mod latencies;
mod number;
mod plot;
mod progress;

pub use latencies::{Latencies, Percentiles};
pub use number::three_digits;
pub use plot::{Axis, Band, Line, Plot, Scale};
pub use progress::Progress;
