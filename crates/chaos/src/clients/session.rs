//! A client whose sessions end: it logs in, listens for a while, and then watches what an ended
//! session still gets.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use anyhow::{Context, ensure};
use futures_util::future::join_all;
use parlance_client::{Account, Client, Options, PASSWORD, Request, WebSocket, endpoints};
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
/// How long the client watches after the end: longer than a gateway without auth goes on serving.
const WATCH_TIME: Duration = Duration::from_secs(7);
/// Bounds one of these requests.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long one of the gateways may be out of reach of a new session.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(60);
/// The pause before each session. Before the first one, subscribers connect and senders begin.
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
    /// Its access tokens: that of the log-in and, if it was refreshed, a newer one.
    tokens: Vec<String>,
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
    /// Begins a session, listens on a socket, ends the session after a while and watches on.
    async fn live_and_end(&mut self, mut phases: Phases) -> anyhow::Result<EndedSession> {
        let session = self.begin().await.context("a session could not begin")?;
        let (world, user) = (self.world.clone(), self.account().user_id);
        let mut socket = self.listen(&session).await?;
        let (mut delivered, mut closed_at) = (Vec::new(), None);
        let follow = async {
            while let Ok(Received::Frame(frame)) = receive(socket.stream()).await {
                delivered.extend(micros(&frame["message"]["created_at"]));
            }
            closed_at = Some(world.clock.now().as_micros());
            pending::<Infallible>().await
        };
        let script = async {
            let life = Duration::from_millis(self.rng.random_range(500..4_000));
            finishes_within(life, &mut phases).await;
            self.end(&session).await.context("a session could not be ended")?;
            let answered_at = world.clock.now().as_micros();
            anyhow::Ok((answered_at, self.probe(&session.tokens).await))
        };
        let (answered_at, served) = tokio::select! {
            result = script => result?,
            never = follow => match never {},
        };
        let (session, watched_until) = (session.id, world.clock.now().as_micros());
        Ok(EndedSession { user, session, answered_at, served, delivered, closed_at, watched_until })
    }

    /// Opens a socket with the newest token, and subscribes to all rooms of the user.
    async fn listen(&mut self, session: &LiveSession) -> anyhow::Result<WebSocket> {
        let token = session.tokens.last().context("a session without a token")?.clone();
        let account = Account { token, ..self.account().clone() };
        let gateways = &self.world.target.gateways;
        let connected = timeout(CONNECT_TIMEOUT, connect_any(gateways, &account, &mut self.rng));
        let mut socket = connected.await.context("no gateway takes a socket")?;
        for room in self.world.rooms_of(self.user) {
            // A socket that has ended is noticed when it is read.
            let _ = socket.send(&json!({"type": "subscribe", "room_id": room})).await;
        }
        Ok(socket)
    }

    fn account(&self) -> &Account {
        &self.world.users[self.user]
    }

    /// Logs in. Half of the sessions are refreshed at once.
    async fn begin(&mut self) -> anyhow::Result<LiveSession> {
        let client = &self.world.target.client;
        let request = endpoints::login_with_refresh(&self.account().username, &self.password);
        let login = client.send_until_answered(request).await?.expect(200)?;
        let id = login["session_id"].as_i64().context("no session in the answer to a log-in")?;
        let mut tokens = vec![text(&login, "access_token")?];
        if self.rng.random() {
            let refresh = endpoints::refresh(&text(&login, "refresh_token")?);
            let refreshed = client.send_until_answered(refresh).await?.expect(200)?;
            tokens.push(text(&refreshed, "access_token")?);
        }
        Ok(LiveSession { id, tokens })
    }

    /// Ends a session in one of three ways. An earlier attempt may have ended it already.
    async fn end(&mut self, session: &LiveSession) -> anyhow::Result<()> {
        let way = self.rng.random_range(0..3);
        let own = &self.account().token;
        match way {
            0 => self.call(endpoints::logout(&session.tokens[0]), "session_revoked").await,
            1 => self.call(endpoints::end_session(own, session.id), "session_not_found").await,
            _ => {
                let password = format!("{PASSWORD}-{}", session.id);
                let request = endpoints::change_password(own, &self.password, &password);
                self.call(request, "wrong_password").await?;
                self.password = password;
                Ok(())
            }
        }
    }

    /// Makes a call that ends a session. It is refused with this code if an earlier attempt, whose
    /// answer was lost, has ended the session.
    async fn call(&self, request: Request, repeated: &str) -> anyhow::Result<()> {
        let answer = self.world.target.client.send_until_answered(request).await?;
        let is_ended = answer.status == 204 || answer.has_code(repeated);
        ensure!(is_ended, "the answer was {} {}", answer.status, answer.text);
        Ok(())
    }

    /// Asks every gateway again and again with the tokens of an ended session, in turn. Returns when
    /// the requests began that were answered with success.
    async fn probe(&self, tokens: &[String]) -> Vec<i64> {
        let begin = Instant::now();
        let probe = async |gateway: &Client| {
            let mut served = Vec::new();
            for token in tokens.iter().cycle() {
                if begin.elapsed() >= WATCH_TIME {
                    break;
                }
                let begun_at = self.world.clock.now().as_micros();
                let answer = gateway.send(endpoints::me(token)).await;
                if answer.is_ok_and(|answer| answer.status == 200) {
                    served.push(begun_at);
                }
                sleep(PROBE_INTERVAL).await;
            }
            served
        };
        join_all(self.gateways.iter().map(probe)).await.concat()
    }
}

fn text(answer: &Value, member: &str) -> anyhow::Result<String> {
    let text = answer[member].as_str().map(str::to_owned);
    text.with_context(|| format!("no {member} in the answer to a log-in"))
}
