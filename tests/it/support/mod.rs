//! What the tests share: a stack, people who use it, and their sockets.

mod people;
mod socket;

use parlance_devstack::Stack;
use tokio::sync::OnceCell;

pub(crate) use people::{Answer, Api, Person, become_contacts, make_room, people, person};
pub(crate) use socket::{Ended, Socket, seq_of};

/// The stack that all tests share which do no harm to it: two of everything.
pub(crate) async fn stack() -> &'static Stack {
    static SHARED: OnceCell<Stack> = OnceCell::const_new();
    SHARED
        .get_or_init(async || {
            Stack::builder().replicas(2).gateways(2).start().await.expect("the shared stack starts")
        })
        .await
}
