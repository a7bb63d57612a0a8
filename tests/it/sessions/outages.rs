//! Gateways that start, and gateways that lose auth.

use std::time::{Duration, Instant};

use parlance_client::endpoints;
use serde_json::json;

use super::{execute, is_revoked, log_in};
use crate::support::{
    Ended, RECOVERY, RESTART, Socket, auth_command, eventually, on_stack, person,
};

/// A gateway has to know an end by then, if it has its stream.
const LIMIT: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_gateway_that_restarts_while_a_session_ends_serves_it_no_more() {
    on_stack(1, 2, async |stack| {
        let anna = person(stack).await;
        let (session, other) = (log_in(&anna).await, log_in(&anna).await);
        let gateway = stack.process("gateway", 1);
        gateway.kill().await.unwrap();
        let restart = gateway.restart(RESTART);
        let end = async {
            session.send(endpoints::logout(&session.token)).await.ok(204);
            tokio::time::sleep(LIMIT).await;
            session.me().await.refused(401, "session_revoked");
        };
        let (restarted, ()) = tokio::join!(restart, end);
        restarted.unwrap();
        // It is ready, so it knows. Before that it serves nobody.
        session.at(stack, 1).me().await.refused(401, "session_revoked");
        other.at(stack, 1).me().await.ok(200);
    })
    .await;
}

#[tokio::test]
async fn a_gateway_that_starts_knows_ten_thousand_ended_sessions_before_it_is_ready() {
    on_stack(1, 2, async |stack| {
        let anna = person(stack).await;
        let (first, live, last) = (log_in(&anna).await, log_in(&anna).await, log_in(&anna).await);
        first.send(endpoints::logout(&first.token)).await.ok(204);
        // More than auth sends in one message.
        let statement = "INSERT INTO auth.ended_access (session_id, expires_at) \
                         SELECT id, now() + INTERVAL '1 hour' \
                         FROM unnest($1) AS starts (start), \
                         LATERAL generate_series(start, start + 11999) AS ids (id)";
        execute(stack, statement, &[1_000_000]).await;
        last.send(endpoints::logout(&last.token)).await.ok(204);
        let gateway = stack.process("gateway", 1);
        gateway.kill().await.unwrap();
        gateway.restart(RESTART).await.unwrap();
        for ended in [&first, &last] {
            ended.at(stack, 1).me().await.refused(401, "session_revoked");
        }
        live.at(stack, 1).me().await.ok(200);
        let metrics = stack.metrics("gateway", 1).await.unwrap();
        let line =
            metrics.lines().find(|line| line.starts_with("parlance_gateway_access_state_ended"));
        let count: f64 = line.unwrap().rsplit(' ').next().unwrap().parse().unwrap();
        assert!(count >= 12_002.0, "{count}");
    })
    .await;
}

#[tokio::test]
async fn a_gateway_without_auth_serves_no_token_until_it_knows_what_has_ended() {
    // A process that hangs, as opposed to one that is gone, keeps its connections open.
    for is_hung in [true, false] {
        on_stack(1, 2, async |stack| {
            let anna = person(stack).await;
            let (ended, live) = (log_in(&anna).await, log_in(&anna).await);
            let mut sockets = [ended.socket().await, ended.at(stack, 1).socket().await];
            let mut open = live.socket().await;
            let auth = stack.process("auth", 0);
            if is_hung {
                auth.pause().unwrap();
            } else {
                auth.kill().await.unwrap();
            }
            let lost_at = Instant::now();
            // Ends while no gateway can know it.
            execute(stack, "DELETE FROM auth.sessions WHERE id = ANY($1)", &[ended.id]).await;
            for session in [&ended, &live.at(stack, 1)] {
                let is_refused = async || session.contacts().await.status == 503;
                eventually(RECOVERY, "tokens are refused", is_refused).await;
            }
            assert!(lost_at.elapsed() < Duration::from_secs(10), "{:?}", lost_at.elapsed());
            live.contacts().await.refused(503, "unavailable");
            for token in [Some(&live.token), None] {
                let authorization = token.map(|it| ("authorization", format!("Bearer {it}")));
                let refused = Socket::connect(live.api.gateway, authorization).await;
                assert_eq!(refused.err(), Some(503));
            }
            assert_eq!(open.ask(&json!({"type": "ping"})).await["type"], "pong");
            assert_eq!(sockets[0].ask(&json!({"type": "ping"})).await["type"], "pong");

            if is_hung {
                auth.resume().unwrap();
            } else {
                auth.restart(RESTART).await.unwrap();
            }
            for gateway in [0, 1] {
                let (live, ended) = (live.at(stack, gateway), ended.at(stack, gateway));
                let is_back = async || {
                    // Whatever comes first: never a success of what has ended.
                    assert_ne!(ended.me().await.status, 200);
                    live.me().await.status == 200
                };
                eventually(RECOVERY, "tokens are accepted", is_back).await;
                ended.me().await.refused(401, "session_revoked");
            }
            for socket in &mut sockets {
                is_revoked(socket).await;
            }
            assert_eq!(open.ask(&json!({"type": "ping"})).await["type"], "pong");
        })
        .await;
    }
}

#[tokio::test]
async fn a_replica_of_auth_that_hangs_is_replaced_by_another_before_tokens_are_refused() {
    on_stack(2, 2, async |stack| {
        let anna = person(stack).await;
        for replica in [0, 1] {
            let (ended, live) = (log_in(&anna).await, log_in(&anna).await);
            let mut socket = ended.socket().await;
            stack.process("auth", replica).pause().unwrap();
            auth_command(stack, &["end-sessions", &anna.name], &[]).await;
            // The stream moves before tokens are refused for want of one.
            for gateway in [0, 1] {
                let is_refused = async || {
                    let status = ended.at(stack, gateway).contacts().await.status;
                    assert_ne!(status, 503);
                    status == 401
                };
                eventually(Duration::from_secs(8), "the end arrives", is_refused).await;
            }
            assert_eq!(socket.closed().await, Ended(Some(4403)));
            live.me().await.refused(401, "session_revoked");
            stack.process("auth", replica).resume().unwrap();
        }
    })
    .await;
}
