//! What a client asked for before it went and nobody has come to yet.

use std::time::Duration;

use crate::ws::protocol::{ClientFrame, Request};
use crate::ws::session::Session;
use crate::ws::socket::Incoming;

/// How long that may take: nobody waits for it.
const LIMIT: Duration = Duration::from_secs(2);

impl Session {
    /// Carries out, in its order, what was asked for and outlasts the connection: messages and
    /// changes of messages. Nobody is left to be subscribed or answered.
    pub(crate) async fn drain_pending(&mut self) {
        // A client that asked more than that in its last moment was not answered, and has to look.
        let _ = tokio::time::timeout(LIMIT, self.carry_out()).await;
    }

    async fn carry_out(&mut self) {
        loop {
            if let Some(current) = &mut self.current {
                current.handle().await;
                self.current = None;
            }
            let Some(Incoming::Frame(frame)) = self.waiting.pop_front() else { return };
            match frame {
                Ok(ClientFrame {
                    reference,
                    request: Request::Send { room_id, content, client_msg_id },
                }) => self.send(reference, room_id, content, client_msg_id),
                Ok(
                    frame @ ClientFrame {
                        request: Request::Edit { .. } | Request::Delete { .. },
                        ..
                    },
                ) => {
                    self.await_under_way().await;
                    self.begin(frame);
                }
                // What follows would be for another session to decide.
                Ok(ClientFrame { request: Request::Auth { .. }, .. }) => return,
                _ => {}
            }
        }
    }

    async fn await_under_way(&mut self) {
        while let Some(mut in_flight) = self.in_flight.pop_front() {
            in_flight.answer().await;
        }
    }
}
