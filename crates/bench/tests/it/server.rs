//! A server of a test.

use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Serves until the set of tasks is dropped.
pub(crate) async fn serve(router: Router) -> (JoinSet<()>, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async { axum::serve(listener, router).await.unwrap() });
    (tasks, address)
}
