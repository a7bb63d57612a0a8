//! Closes the sockets whose token is not accepted any more: their session has ended, their user is
//! inactive, or their key was withdrawn.

use std::time::Duration;

use crate::auth::verifier::TokenVerifier;
use crate::fanout::hub::Hub;
use crate::ws::close_code::CloseCode;
use crate::ws::protocol::ErrorFrame;

/// The shortest time between two passes over all sockets. Many ends share one.
const MIN_INTERVAL: Duration = Duration::from_millis(100);

impl Hub {
    /// Looks at all sockets after each change of the access state, in one pass for all that has
    /// ended since the last one.
    pub(super) async fn close_ended(self, access: TokenVerifier) -> anyhow::Result<()> {
        let mut changes = access.changes();
        loop {
            changes.changed().await?;
            self.close_refused(&access);
            tokio::time::sleep(MIN_INTERVAL).await;
        }
    }

    fn close_refused(&self, access: &TokenVerifier) {
        for (identity, send_queue) in self.connections().values() {
            if let Err(code) = access.check(identity) {
                let notice = ErrorFrame::new(None, code).encode();
                send_queue.revoke(notice, CloseCode::for_refused_token(code));
            }
        }
    }
}
