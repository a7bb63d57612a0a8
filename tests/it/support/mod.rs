//! Shared parts of the tests: a stack, its users, and their WebSockets.

mod collector;
mod logs;
mod operator;
mod own_stack;
mod people;
mod shapes;
mod socket;

use parlance_devstack::Stack;
use tokio::sync::OnceCell;

pub(crate) use parlance_client::PASSWORD;
pub(crate) use parlance_devstack::program;
pub(crate) use parlance_testkit::eventually;

pub(crate) use collector::{Collector, Span};
pub(crate) use logs::{assert_not_logged, log_everything};
pub(crate) use operator::{auth_command, health, migrate, try_auth_command};
pub(crate) use own_stack::{RECOVERY, RESTART, on_own_stack, on_stack};
pub(crate) use parlance_testkit::{
    server_certificate, server_certificate_without_client_certificate,
};
pub(crate) use people::{
    Answer, Api, Person, become_contacts, fresh_name, make_room, people, person,
};
pub(crate) use shapes::{
    assert_contact, assert_invitation, assert_members, assert_message, assert_room, assert_user,
};
pub(crate) use socket::{Ended, Socket, event_seq};

/// The stack that tests share unless they inject faults: two replicas of each part.
pub(crate) async fn stack() -> &'static Stack {
    static SHARED: OnceCell<Stack> = OnceCell::const_new();
    SHARED
        .get_or_init(async || {
            Stack::builder().replicas(2).gateways(2).start().await.expect("the shared stack starts")
        })
        .await
}
