//! What happens at the same moment as the end of a session.

use std::time::Duration;

use futures_util::future::join_all;
use parlance_client::endpoints;
use serde_json::json;
use tokio::time::sleep;

use super::{Session, log_in};
use crate::support::{Ended, Socket, person, stack};

/// How often each race is run.
const ROUNDS: u64 = 10;

#[tokio::test]
async fn nothing_that_a_refresh_gives_outlives_a_log_out_at_the_same_moment() {
    let stack = stack().await;
    let anna = person(stack).await;
    for round in 0..ROUNDS {
        let session = log_in(&anna).await;
        let refresh = async |gateway| {
            let answer = session.at(stack, gateway).refresh().await;
            (answer.status == 200).then(|| Session::new(&session.api, &answer.json()))
        };
        let refreshes = join_all((0..20).map(|call| refresh(call % 2)));
        let log_out = async {
            sleep(Duration::from_millis(2 * round)).await;
            session.at(stack, 1).send(endpoints::logout(&session.token)).await.ok(204);
        };
        let (successors, ()) = tokio::join!(refreshes, log_out);
        session.is_ended(stack).await;
        for successor in successors.into_iter().flatten() {
            assert_eq!(successor.id, session.id);
            for gateway in [0, 1] {
                successor.at(stack, gateway).me().await.refused(401, "session_revoked");
            }
            successor.refresh().await.refused(401, "session_revoked");
        }
    }
}

/// Opens a socket with the token of a session, which may have ended. Returns how it ends.
async fn opened(session: &Session, has_header: bool) -> Result<Ended, u16> {
    let token = &session.token;
    let mut socket = if has_header {
        let authorization = ("authorization", format!("Bearer {token}"));
        Socket::connect(session.api.gateway, [authorization]).await?
    } else {
        let mut socket = Socket::open(session.api.gateway, None).await;
        socket.send(&json!({"type": "auth", "token": token})).await;
        socket
    };
    Ok(socket.closed().await)
}

#[tokio::test]
async fn a_socket_that_opens_while_its_session_ends_is_closed() {
    let stack = stack().await;
    let anna = person(stack).await;
    for round in 0..ROUNDS {
        let session = log_in(&anna).await;
        let sockets = (0..40_usize).map(|index| {
            let session = session.at(stack, index % 2);
            async move {
                // The end reaches a gateway up to a second after it was answered.
                sleep(Duration::from_millis(20 * index as u64)).await;
                opened(&session, index % 4 < 2).await
            }
        });
        let log_out = async {
            sleep(Duration::from_millis(10 * round)).await;
            session.send(endpoints::logout(&session.token)).await.ok(204);
        };
        let (ends, ()) = tokio::join!(join_all(sockets), log_out);
        for end in ends {
            assert!(end == Ok(Ended(Some(4403))) || end == Err(401), "{end:?}");
        }
    }
}
