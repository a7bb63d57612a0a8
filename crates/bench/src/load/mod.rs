//! The loads: what clients do in a scenario.

pub(crate) mod crowd;
pub(crate) mod fan_out;
pub(crate) mod herd;
pub(crate) mod open_loop;
pub(crate) mod requests;
pub(crate) mod sends;

/// What every message says: 128 bytes.
pub(crate) const CONTENT: &str = "The quick brown fox jumps over the lazy dog while nobody in this room has \
                                  anything better to say than this sentence does by far.";

/// Whether the gateway says with this that a message was stored. It always begins an ack like this.
fn is_ack(text: &[u8]) -> bool {
    text.starts_with(br#"{"type":"ack","#)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use axum::Router;
    use tokio::net::TcpListener;
    use tokio::task::JoinSet;

    use super::CONTENT;

    /// Serves until the set of tasks is dropped.
    pub(super) async fn serve(router: Router) -> (JoinSet<()>, SocketAddr) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async { axum::serve(listener, router).await.unwrap() });
        (tasks, address)
    }

    #[test]
    fn messages_have_128_bytes() {
        assert_eq!(CONTENT.len(), 128);
    }
}
