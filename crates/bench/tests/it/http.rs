//! The load of HTTP requests on the bare routes.

use std::collections::HashMap;
use std::time::Duration;

use parlance_bench::baselines::routes;
use parlance_bench::http::{self, HttpConnection};
use parlance_bench::load::requests::{Ready, Tally};
use parlance_bench::usage::Window;
use tokio::time::Instant;

use crate::server::serve;

#[tokio::test]
async fn every_connection_repeats_its_request() {
    let long = "x".repeat(100_000);
    let bodies = [("/long".to_owned(), long.clone()), ("/empty".to_owned(), String::new())];
    let (_server, address) = serve(routes::router(HashMap::from(bodies))).await;
    let requests = ["/long", "/empty"].map(|path| http::get(path, "token").unwrap());
    let mut connection = HttpConnection::open(address).await.unwrap();
    for _ in 0..2 {
        assert_eq!(connection.exchange(requests[0].clone()).await.unwrap(), long);
    }

    let ready = Ready::connect(&[address], requests, 4).await.unwrap();
    let window = Window::after(Duration::ZERO, Duration::from_millis(200));
    let tally = ready.run(window).await.unwrap();
    assert!(tally.responses > 4 && tally.rate() > 0.0, "{tally:?}");
}

#[tokio::test]
async fn a_status_other_than_200_is_an_error() {
    let (_server, address) = serve(routes::router(HashMap::new())).await;
    let mut connection = HttpConnection::open(address).await.unwrap();
    let refused = connection.exchange(http::get("/nothing", "token").unwrap()).await.unwrap_err();
    assert!(refused.to_string().contains("404"), "{refused}");
}

#[test]
fn a_rate_counts_the_intervals_between_responses() {
    let begin = Instant::now();
    let second = Duration::from_secs(1);
    let (mut one, mut other) = (Tally::default(), Tally::default());
    assert_eq!(one.rate(), 0.0);
    one.add(begin, second);
    assert_eq!(one.rate(), 0.0);
    one.add(begin + 2 * second, second);
    other.add(begin + second, second);
    one.merge(&other);
    assert_eq!((one.responses, one.rate()), (3, 1.0));
}
