//! A client whose sessions end: it logs in, listens for a while, and then watches what an ended
//! session still gets.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use anyhow::{Context, ensure};
use futures_util::future::join_all;
use parlance_client::{Account, Client, Options, PASSWORD, Response, endpoints};
use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use super::phase::{Phase, Phases, reached};
use super::subscriber::micros;
use super::world::SharedWorld;
use crate::connection::{Received, connect_any, receive};
use crate::history::EndedSession;

/// The pause between two requests to a gateway with the token of an ended session.
const PROBE_INTERVAL: Duration = Duration::from_millis(250);
/// Longer than a gateway without auth serves a session that has ended.
const WATCH_TIME: Duration = Duration::from_secs(7);
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// The pause before each session. The other clients have connected in it.
const PAUSE: Duration = Duration::from_millis(300);

struct SessionClient {
    world: SharedWorld,
    user: usize,
    rng: StdRng,
    password: String,
    /// A client for each gateway.
    gateways: Vec<Client>,
}

/// A session that has not ended.
struct LiveSession {
    id: i64,
    token: String,
}

/// What an open socket got.
#[derive(Default)]
struct SocketLog {
    delivered: Vec<i64>,
    closed_at: Option<i64>,
}

/// Begins and ends sessions of a user, one after the other, until the run finishes.
pub(crate) async fn end_sessions(
    world: SharedWorld,
    user: usize,
    rng: StdRng,
    mut phases: Phases,
) -> anyhow::Result<Vec<EndedSession>> {
    let options = Options { timeout: PROBE_TIMEOUT, ..Default::default() };
    let client = |gateway: &_| Client::with_options([*gateway], options.clone());
    let gateways = world.target.gateways.iter().map(client).collect();
    let mut client = SessionClient { world, user, rng, password: PASSWORD.to_owned(), gateways };
    let mut ended = Vec::new();
    while !finishes_within(PAUSE, &mut phases).await {
        ended.push(client.live_and_end(phases.clone()).await?);
    }
    Ok(ended)
}

/// Waits, and returns true at once if the run finishes.
async fn finishes_within(pause: Duration, phases: &mut Phases) -> bool {
    timeout(pause, reached(phases, Phase::Finishing)).await.is_ok()
}

impl SessionClient {
    async fn live_and_end(&mut self, mut phases: Phases) -> anyhow::Result<EndedSession> {
        let session = self.begin().await.context("a session could not begin")?;
        let account = Account { token: session.token.clone(), ..self.account().clone() };
        let world = self.world.clone();
        let mut socket = connect_any(&world.target.gateways, &account, &mut self.rng).await;
        for room in world.rooms_of(self.user) {
            // A connection that has ended is noticed below.
            let _ = socket.send(&json!({"type": "subscribe", "room_id": room})).await;
        }
        let mut log = SocketLog::default();
        let follow = async {
            while let Ok(Received::Frame(frame)) = receive(socket.stream()).await {
                log.delivered.extend(micros(&frame["message"]["created_at"]));
            }
            log.closed_at = Some(world.clock.now().as_micros());
            pending::<Infallible>().await
        };
        let script = async {
            let life = Duration::from_millis(self.rng.random_range(500..4_000));
            finishes_within(life, &mut phases).await;
            self.end(&session).await.context("a session could not be ended")?;
            let answered_at = world.clock.now().as_micros();
            anyhow::Ok((answered_at, self.served(&session.token).await))
        };
        let (answered_at, served) = tokio::select! {
            result = script => result?,
            never = follow => match never {},
        };
        let SocketLog { delivered, closed_at } = log;
        let watched_until = world.clock.now().as_micros();
        let (user, session) = (account.user_id, session.id);
        let ended = EndedSession {
            user,
            session,
            answered_at,
            served,
            delivered,
            closed_at,
            watched_until,
        };
        Ok(ended)
    }

    fn account(&self) -> &Account {
        &self.world.users[self.user]
    }

    /// Logs in. Some sessions are refreshed at once: their older tokens end with them, too.
    async fn begin(&mut self) -> anyhow::Result<LiveSession> {
        let client = &self.world.target.client;
        let request = endpoints::login_with_refresh(&self.account().username, &self.password);
        let mut tokens = client.send_until_answered(request).await?.expect(200)?;
        if self.rng.random() {
            let refresh = endpoints::refresh(text(&tokens, "refresh_token")?);
            tokens = client.send_until_answered(refresh).await?.expect(200)?;
        }
        let id = tokens["session_id"].as_i64().context("no session")?;
        Ok(LiveSession { id, token: text(&tokens, "access_token")?.to_owned() })
    }

    /// Ends a session in one of three ways. An earlier attempt may have ended it already.
    async fn end(&mut self, session: &LiveSession) -> anyhow::Result<()> {
        let way = self.rng.random_range(0..3);
        let own = &self.account().token;
        match way {
            0 => self.ended(endpoints::logout(&session.token), "session_revoked").await,
            1 => self.ended(endpoints::end_session(own, session.id), "session_not_found").await,
            _ => {
                let password = format!("{PASSWORD}-{}", session.id);
                let request = endpoints::change_password(own, &self.password, &password);
                self.ended(request, "wrong_password").await?;
                self.password = password;
                Ok(())
            }
        }
    }

    async fn ended(&self, request: parlance_client::Request, repeated: &str) -> anyhow::Result<()> {
        let answer: Response = self.world.target.client.send_until_answered(request).await?;
        let is_ended = answer.status == 204 || answer.has_code(repeated);
        ensure!(is_ended, "the answer was {} {}", answer.status, answer.text);
        Ok(())
    }

    /// Asks every gateway again and again with the token of an ended session. Returns when the
    /// requests began that were answered with success.
    async fn served(&self, token: &str) -> Vec<i64> {
        let begin = Instant::now();
        let probe = async |gateway: &Client| {
            let mut served = Vec::new();
            while begin.elapsed() < WATCH_TIME {
                let begun_at = self.world.clock.now().as_micros();
                let answer = timeout(PROBE_TIMEOUT, gateway.send(endpoints::me(token))).await;
                if answer.is_ok_and(|answer| answer.is_ok_and(|it| it.status == 200)) {
                    served.push(begun_at);
                }
                sleep(PROBE_INTERVAL).await;
            }
            served
        };
        join_all(self.gateways.iter().map(probe)).await.concat()
    }
}

fn text<'a>(tokens: &'a Value, member: &str) -> anyhow::Result<&'a str> {
    tokens[member].as_str().with_context(|| format!("no {member} in the answer to a log-in"))
}
