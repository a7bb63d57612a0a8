//! What the tests share: a stack, people who use it, and their sockets.

mod collector;
mod operator;
mod people;
mod shapes;
mod socket;
mod wait;

use parlance_devstack::Stack;
use tokio::sync::OnceCell;

pub(crate) use parlance_client::PASSWORD;

pub(crate) use collector::{Collector, Step};
pub(crate) use operator::{auth_command, health, migrate, program, try_auth_command};
pub(crate) use people::{
    Answer, Api, Person, become_contacts, fresh_name, make_room, people, person,
};
pub(crate) use shapes::{
    assert_contact, assert_invitation, assert_members, assert_message, assert_room, assert_user,
};
pub(crate) use socket::{Ended, Socket, seq_of};
pub(crate) use wait::eventually;

/// The stack that all tests share which do no harm to it: two of everything.
pub(crate) async fn stack() -> &'static Stack {
    static SHARED: OnceCell<Stack> = OnceCell::const_new();
    SHARED
        .get_or_init(async || {
            Stack::builder().replicas(2).gateways(2).start().await.expect("the shared stack starts")
        })
        .await
}
