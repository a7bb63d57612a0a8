//! Replacing all certificates under load.

use futures_util::future::join_all;
use parlance_devstack::Stack;

use super::{Load, PARTS, REPLICAS, draining_stack, restart, sockets, writers};
use crate::support::{RECOVERY, eventually, make_room, on_own_stack, person, server_certificate};

const SERVICES: [&str; 4] = ["auth", "contacts", "rooms", "messaging"];

/// The certificate that a replica shows to a new connection.
async fn certificate(stack: &Stack, service: &str, index: usize) -> Vec<u8> {
    let files = stack.certificate("gateway").unwrap();
    server_certificate(stack.address(service, index), &files).await.unwrap()
}

/// Replaces the certificate of every part, waits until the servers show the new ones, and restarts
/// all services.
async fn replace_certificates(load: &Load<'_>) {
    let stack = load.stack;
    let mut old = Vec::new();
    for service in SERVICES {
        old.push(certificate(stack, service, 0).await);
    }
    for part in PARTS {
        stack.renew_certificate(part).unwrap();
    }
    for (service, old) in SERVICES.into_iter().zip(&old) {
        for index in 0..REPLICAS {
            eventually(RECOVERY, service, async || {
                certificate(stack, service, index).await != *old
            })
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
async fn replacing_certificates_loses_repeats_and_refuses_nothing() {
    on_own_stack(draining_stack(REPLICAS, REPLICAS).encrypted(), async |stack| {
        let anna = person(stack).await;
        let rooms = [make_room(&anna, &[]).await, make_room(&anna, &[]).await];
        let load = Load::on(stack);
        let writing = writers::write(&load);
        let talking = join_all(rooms.map(|room| sockets::talk(&load, &anna, room)));
        tokio::join!(writing, talking, load.during(replace_certificates(&load)));
    })
    .await;
}
