//! Certificates that are replaced while everything runs.

use futures_util::future::join_all;
use parlance_devstack::Stack;
use parlance_devstack::handshake::certificate_shown_at;

use super::{Load, PARTS, REPLICAS, draining_stack, restart, sockets, writers};
use crate::faults::{RECOVERY, on_stack_of};
use crate::support::{eventually, make_room, person};

const SERVICES: [&str; 4] = ["auth", "contacts", "rooms", "messaging"];

/// What a replica shows to who comes now.
async fn shown_by(stack: &Stack, service: &str, index: usize) -> Vec<u8> {
    let files = stack.certificate_of("gateway").unwrap();
    certificate_shown_at(stack.address(service, index), &files).await.unwrap()
}

/// Gives every part a new certificate, and has all of them connect anew after the new ones are
/// shown.
async fn replace_certificates(load: &Load<'_>) {
    let stack = load.stack;
    let mut old = Vec::new();
    for service in SERVICES {
        old.push(shown_by(stack, service, 0).await);
    }
    for part in PARTS {
        stack.renew_certificate_of(part).unwrap();
    }
    for (service, old) in SERVICES.into_iter().zip(&old) {
        for index in 0..REPLICAS {
            eventually(RECOVERY, service, async || shown_by(stack, service, index).await != *old)
                .await;
        }
    }
    for service in SERVICES {
        for index in 0..REPLICAS {
            restart(load, service, index).await;
        }
    }
}

#[tokio::test]
async fn certificates_are_replaced_and_nothing_is_lost_repeated_or_refused() {
    on_stack_of(draining_stack(REPLICAS, REPLICAS).encrypted(), async |stack| {
        let anna = person(stack).await;
        let rooms = [make_room(&anna, &[]).await, make_room(&anna, &[]).await];
        let load = Load::on(stack);
        let writing = writers::write(&load);
        let talking = join_all(rooms.map(|room| sockets::talk(&load, &anna, room)));
        tokio::join!(writing, talking, load.during(replace_certificates(&load)));
    })
    .await;
}
