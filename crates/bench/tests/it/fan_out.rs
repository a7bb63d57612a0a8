//! The load of *fan-out* on the bare server.

use std::time::Duration;

use parlance_bench::baselines::broadcast;
use parlance_bench::load::CONTENT;
use parlance_bench::load::fan_out::Ready;
use parlance_bench::load::in_flight::InFlight;
use parlance_bench::usage::Window;
use parlance_bench::ws::Endpoint;
use tokio::time::timeout;

use crate::server::serve;

#[tokio::test]
async fn every_message_arrives_at_every_subscriber() {
    let (_server, address) = serve(broadcast::router()).await;
    let connect = async |path| Endpoint { address, path }.connect(None, None).await.unwrap();
    let (mut subscribers, mut senders) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        subscribers.push(connect(broadcast::LISTEN).await.into_counting());
    }
    for length in [10, 200] {
        senders.push((connect(broadcast::SEND).await, "x".repeat(length)));
    }
    let ready = Ready { subscribers, senders, in_flight: 4, acks: 0 };
    let window = Window::after(Duration::ZERO, Duration::from_millis(200));
    let tally = ready.run(window).await.unwrap();
    assert!(tally.deliveries > 0 && tally.latencies.count() > 0, "{tally:?}");
}

#[test]
fn messages_have_128_bytes() {
    assert_eq!(CONTENT.len(), 128);
}

fn in_flight(subscribers: usize, max: usize) -> InFlight {
    InFlight::new(subscribers, max, Window::after(Duration::ZERO, Duration::from_secs(60)))
}

#[tokio::test]
async fn a_message_is_in_flight_until_all_subscribers_have_received_it() {
    let in_flight = in_flight(3, 2);
    assert_eq!(in_flight.acquire(16).await, 2);
    for acquired in [None, Some(1), Some(1)] {
        in_flight.add_delivered(2);
        assert_eq!(timeout(Duration::ZERO, in_flight.acquire(16)).await.ok(), acquired);
    }
    assert_eq!(in_flight.latencies().count(), 2);
    in_flight.add_delivered(6);
    in_flight.wait_until_complete().await.unwrap();
}

#[tokio::test]
async fn a_repeated_delivery_is_an_error() {
    let in_flight = in_flight(2, 1);
    in_flight.acquire(1).await;
    in_flight.add_delivered(3);
    let error = in_flight.wait_until_complete().await.unwrap_err();
    assert!(error.to_string().contains("3 deliveries"), "{error}");
}
