//! The baselines.

use std::time::Duration;

use parlance_bench::baselines::{bcrypt, pgbench};

#[test]
fn the_rate_is_found_in_the_output_of_pgbench() {
    let output = "latency average = 3.2 ms\ninitial connection time = 30 ms\n\
                  tps = 5012.345678 (without initial connection time)\n";
    assert_eq!(pgbench::parse(output).unwrap(), 5_012.345_678);
    assert!(pgbench::parse("pgbench: error").is_err());
}

#[tokio::test]
async fn a_check_at_cost_8_takes_over_four_times_as_long_as_at_cost_4() {
    let time = Duration::from_millis(200);
    let (at_4, at_8) = (bcrypt::run(4, time).await.unwrap(), bcrypt::run(8, time).await.unwrap());
    assert!(at_4 > 4.0 * at_8, "{at_4} and {at_8} a second");
}
