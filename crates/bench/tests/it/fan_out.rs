//! The load of *fan-out* on the bare server.

use std::time::Duration;

use parlance_bench::baselines::broadcast;
use parlance_bench::load::CONTENT;
use parlance_bench::load::fan_out::Ready;
use parlance_bench::usage::Window;
use parlance_bench::ws::Endpoint;

use crate::server::serve;

#[tokio::test]
async fn every_message_arrives_at_every_subscriber() {
    let (_server, address) = serve(broadcast::router_without_store()).await;
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
