//! Clients that request much and never read.

use std::time::Duration;

use futures_util::future::join_all;
use parlance_devstack::Stack;
use serde_json::json;

use super::message_with_ref;
use crate::support::{Socket, make_room, person};

/// More than the gateway reads histories for at once.
const SOCKETS: usize = 80;
/// The events of one replay exceed the send queue and the buffers of the kernel.
const MESSAGES: usize = 300;
const CONTENT: usize = 16_000;
/// How often another client subscribes meanwhile, and the longest time for it.
const SUBSCRIPTIONS: usize = 50;
const SUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(5);

#[tokio::test]
async fn clients_that_never_read_do_not_delay_other_subscriptions() {
    let stack = Stack::builder().start().await.expect("the stack starts");
    let anna = person(&stack).await;
    let (large_room, small_room) = (make_room(&anna, &[]).await, make_room(&anna, &[]).await);
    let mut socket = anna.socket().await;
    let content = "x".repeat(CONTENT);
    for _ in 0..MESSAGES {
        assert_eq!(socket.ask(&message_with_ref(large_room, &content, "m")).await["type"], "ack");
    }

    let deaf = join_all((0..SOCKETS).map(async |_| {
        let mut socket = Socket::open_narrow(stack.address("gateway", 0), &anna.token).await;
        socket.send(&json!({"type": "subscribe", "room_id": large_room, "after_seq": 0})).await;
        socket
    }));
    let deaf = deaf.await;
    for _ in 0..SUBSCRIPTIONS {
        let subscribed =
            tokio::time::timeout(SUBSCRIBE_TIMEOUT, socket.subscribe(small_room)).await;
        subscribed.expect("the subscription is answered in time");
        let unsubscribe = json!({"type": "unsubscribe", "room_id": small_room});
        assert_eq!(socket.ask(&unsubscribe).await["type"], "success");
    }
    drop(deaf);
    stack.stop().await.expect("the stack stops");
}
