//! What the benchmark and the fault tests share: a latency recorder and line plots.

mod latencies;
mod number;
mod plot;

pub use latencies::{Latencies, Percentiles};
pub use number::three_digits;
pub use plot::{Axis, Band, Line, Plot, Scale};
