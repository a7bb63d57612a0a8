//! Sessions: refreshing, ending, and what is felt of it at every gateway.

mod ending;
mod outages;
mod passwords;
mod racing;
mod refreshing;
mod refusals;
mod secrets;

use std::time::Duration;

use parlance_client::{Request, endpoints};
use parlance_devstack::Stack;
use serde_json::Value;

use crate::support::{Answer, Api, Ended, PASSWORD, Person, Socket, eventually};

/// An end is felt within a second everywhere. The rest is for a busy machine.
const SOON: Duration = Duration::from_secs(3);

/// A log-in with a refresh token.
#[derive(Clone)]
struct Session {
    api: Api,
    id: i64,
    token: String,
    refresh_token: String,
}

/// Logs in with a refresh token, at the gateway of the person.
async fn log_in(person: &Person) -> Session {
    log_in_with(&person.api, &person.name, PASSWORD).await
}

async fn log_in_with(api: &Api, name: &str, password: &str) -> Session {
    let answer = api.send(endpoints::login_with_refresh(name, password)).await.ok(200);
    Session::new(api, &answer)
}

impl Session {
    /// The session with the tokens of an answer.
    fn new(api: &Api, answer: &Value) -> Self {
        let text =
            |name: &str| answer[name].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
        Self {
            api: api.clone(),
            id: answer["session_id"].as_i64().unwrap(),
            token: text("access_token"),
            refresh_token: text("refresh_token"),
        }
    }

    /// The same session at another gateway.
    fn at(&self, stack: &Stack, gateway: usize) -> Self {
        Self { api: Api::at(stack, gateway), ..self.clone() }
    }

    async fn send(&self, request: Request) -> Answer {
        self.api.send(request).await
    }

    async fn me(&self) -> Answer {
        self.send(endpoints::me(&self.token)).await
    }

    /// Lists the contacts, for which a gateway does not need auth.
    async fn contacts(&self) -> Answer {
        self.send(endpoints::contacts(&self.token)).await
    }

    async fn refresh(&self) -> Answer {
        self.send(endpoints::refresh(&self.refresh_token)).await
    }

    /// Refreshes, which must succeed.
    async fn refreshed(&self) -> Self {
        Self::new(&self.api, &self.refresh().await.ok(200))
    }

    async fn socket(&self) -> Socket {
        let mut socket = Socket::open(self.api.gateway, Some(&self.token)).await;
        assert_eq!(socket.next().await["type"], "success");
        socket
    }

    /// Asserts that every gateway soon refuses the session, and that nothing can renew it.
    async fn is_ended(&self, stack: &Stack) {
        for gateway in [0, 1] {
            let session = self.at(stack, gateway);
            let is_refused = async || session.me().await.status == 401;
            eventually(SOON, "the session is refused", is_refused).await;
            session.me().await.refused(401, "session_revoked");
            session.refresh().await.refused(401, "session_revoked");
        }
    }
}

/// Asserts that a socket is closed because its session has ended.
async fn is_revoked(socket: &mut Socket) {
    let frame = socket.next().await;
    assert_eq!((&frame["type"], &frame["code"]), (&"error".into(), &"session_revoked".into()));
    assert_eq!(socket.closed().await, Ended(Some(4403)));
}

/// Runs SQL behind the back of auth.
async fn execute(stack: &Stack, statement: &'static str, ids: &[i64]) {
    let mut connection = stack.postgres().connect("parlance").await.unwrap();
    sqlx::query(statement).bind(ids).execute(&mut connection).await.unwrap();
}
