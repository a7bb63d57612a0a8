//! Closes the sockets of users who become inactive.

use std::collections::HashSet;
use std::sync::Arc;

use parlance_core::{ErrorCode, UserId};
use tokio::sync::watch;

use crate::fanout::hub::Hub;
use crate::ws::close_code::CloseCode;
use crate::ws::protocol::ErrorFrame;

impl Hub {
    /// Sends `inactive_user` and closes with 4401, as soon as auth reports a user as inactive.
    pub(super) async fn close_inactive(
        self,
        mut inactive_users: watch::Receiver<Arc<HashSet<UserId>>>,
    ) -> anyhow::Result<()> {
        let notice = ErrorFrame::new(None, ErrorCode::InactiveUser).encode();
        loop {
            let inactive = inactive_users.borrow_and_update().clone();
            for (user_id, send_queue) in self.connections().values() {
                if inactive.contains(user_id) {
                    send_queue.push(notice.clone());
                    send_queue.close(CloseCode::UNAUTHENTICATED);
                }
            }
            inactive_users.changed().await?;
        }
    }
}
