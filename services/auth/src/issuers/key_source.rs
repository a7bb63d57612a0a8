//! A place with the keys of an issuer. `background::refresh_issuers` fetches them when they are due
//! or asked for; what is known stays in use while that fails.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use jsonwebtoken::{Algorithm, DecodingKey};
use tokio::io::AsyncReadExt;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{Instant, timeout};

use super::config::KeyLocation;
use super::http;
use super::identity::Refusal;
use super::key_set::KeySet;

/// How long keys may be fresh, whatever `Cache-Control` says.
const MIN_AGE: Duration = Duration::from_secs(5 * 60);
const MAX_AGE: Duration = Duration::from_secs(24 * 3600);
/// How often a file is read again.
const FILE_AGE: Duration = Duration::from_secs(10);
/// The time from a failed fetch to the next one.
const RETRY_INTERVAL: Duration = Duration::from_secs(10);
/// The least time between two fetches that unknown keys ask for.
const ASK_INTERVAL: Duration = Duration::from_secs(10);
const FETCH_DEADLINE: Duration = Duration::from_secs(3);
/// Longer than the fetch in progress and the next one.
const WAIT_DEADLINE: Duration = Duration::from_secs(7);
/// Hundreds of keys. Issuers publish a few.
const MAX_BYTES: usize = 256 * 1024;
/// Requests that wait for a fetch.
const MAX_WAITING: usize = 128;

/// The keys at one place.
pub(crate) struct KeySource {
    /// The name of an issuer with these keys, for logs and metrics.
    pub(crate) name: String,
    pub(super) location: KeyLocation,
    state: watch::Sender<State>,
    waiting: Semaphore,
    /// Wakes the task that fetches.
    wake: Arc<Notify>,
}

struct State {
    keys: KeySet,
    /// Counts the fetches that have ended, in success or not.
    fetches: u64,
    is_fetching: bool,
    due_at: Instant,
    /// True from when an unknown key asked for a fetch until that begins.
    is_asked: bool,
    asked_at: Option<Instant>,
}

/// Keys, and how long they are fresh.
pub(crate) struct FetchedKeys {
    keys: KeySet,
    max_age: Duration,
}

impl KeySource {
    pub(super) fn new(name: String, location: KeyLocation, wake: Arc<Notify>) -> Self {
        let state = State {
            keys: KeySet::default(),
            fetches: 0,
            is_fetching: false,
            due_at: Instant::now(),
            is_asked: false,
            asked_at: None,
        };
        let waiting = Semaphore::new(MAX_WAITING);
        Self { name, location, state: watch::Sender::new(state), waiting, wake }
    }

    /// Returns a key. An unknown one is looked for once more after a fetch: the one under way, or
    /// else one that is asked for, if none was asked for lately.
    pub(super) async fn find(
        &self,
        kid: &str,
        algorithm: Algorithm,
    ) -> Result<DecodingKey, Refusal> {
        if let Some(key) = self.state.borrow().keys.find(kid, algorithm) {
            return Ok(key);
        }
        let _permit = self.waiting.try_acquire().map_err(|_| Refusal::KeysBusy)?;
        if let Some(fetches) = self.fetches_under_way()
            && let Some(key) = self.find_after(fetches, kid, algorithm).await
        {
            return Ok(key);
        }
        let fetches = self.ask().ok_or(Refusal::UnknownKey)?;
        self.find_after(fetches, kid, algorithm).await.ok_or(Refusal::UnknownKey)
    }

    /// Returns how many fetches will have ended when the present one has, if there is one.
    fn fetches_under_way(&self) -> Option<u64> {
        let state = self.state.borrow();
        let is_due = state.due_at <= Instant::now();
        (state.is_fetching || is_due).then_some(state.fetches + 1)
    }

    /// Waits for a key until this many fetches have ended.
    async fn find_after(
        &self,
        fetches: u64,
        kid: &str,
        algorithm: Algorithm,
    ) -> Option<DecodingKey> {
        let mut states = self.state.subscribe();
        let is_found = |state: &State| state.keys.find(kid, algorithm).is_some();
        let fetched = states.wait_for(|state| state.fetches >= fetches || is_found(state));
        let state = timeout(WAIT_DEADLINE, fetched).await.ok()?.ok()?;
        state.keys.find(kid, algorithm)
    }

    /// Asks for a fetch. Returns how many fetches will have ended when that one has, or `None` if
    /// no fetch is to be waited for.
    fn ask(&self) -> Option<u64> {
        let mut awaited = None;
        self.state.send_if_modified(|state| {
            if state.asked_at.is_none_or(|asked_at| asked_at.elapsed() >= ASK_INTERVAL) {
                state.is_asked = true;
                state.asked_at = Some(Instant::now());
            }
            let ahead = u64::from(state.is_fetching) + u64::from(state.is_asked);
            awaited = (ahead > 0).then(|| state.fetches + ahead);
            false
        });
        self.wake.notify_one();
        awaited
    }

    /// True if a fetch has to begin now; it counts as begun then.
    pub(crate) fn begin_fetch(&self) -> bool {
        let mut begins = false;
        self.state.send_if_modified(|state| {
            let is_due = state.is_asked || state.due_at <= Instant::now();
            begins = is_due && !state.is_fetching;
            if begins {
                state.is_asked = false;
                state.is_fetching = true;
            }
            false
        });
        begins
    }

    /// Fetches the keys, within a deadline.
    pub(crate) async fn fetch(&self) -> anyhow::Result<FetchedKeys> {
        let fetched = match &self.location {
            KeyLocation::Url(url) => timeout(FETCH_DEADLINE, from_url(url)).await,
            KeyLocation::File(path) => timeout(FETCH_DEADLINE, from_file(path)).await,
        };
        let fetched = fetched.context("the answer took too long")??;
        ensure!(fetched.keys.len() > 0, "there is no key that can be used");
        Ok(fetched)
    }

    /// Ends a fetch. Returns how many keys there are now.
    pub(crate) fn end_fetch(&self, fetched: Option<FetchedKeys>) -> usize {
        self.state.send_modify(|state| {
            state.is_fetching = false;
            state.fetches += 1;
            state.due_at =
                Instant::now() + fetched.as_ref().map_or(RETRY_INTERVAL, |it| it.max_age);
            if let Some(fetched) = fetched {
                state.keys = fetched.keys;
            }
        });
        self.state.borrow().keys.len()
    }
}

async fn from_url(url: &url::Url) -> anyhow::Result<FetchedKeys> {
    let document = http::get(url, MAX_BYTES).await?;
    let max_age = document.max_age.unwrap_or(MIN_AGE).clamp(MIN_AGE, MAX_AGE);
    Ok(FetchedKeys { keys: KeySet::parse(&document.body)?, max_age })
}

async fn from_file(path: &Path) -> anyhow::Result<FetchedKeys> {
    let document = read_file(path, MAX_BYTES).await?;
    Ok(FetchedKeys { keys: KeySet::parse(&document)?, max_age: FILE_AGE })
}

/// Reads a file of at most `max_bytes`.
pub(super) async fn read_file(path: &Path, max_bytes: usize) -> anyhow::Result<Vec<u8>> {
    let context = || format!("cannot read {}", path.display());
    let file = tokio::fs::File::open(path).await.with_context(context)?;
    let mut contents = Vec::new();
    let limit = u64::try_from(max_bytes).unwrap_or(u64::MAX).saturating_add(1);
    file.take(limit).read_to_end(&mut contents).await.with_context(context)?;
    ensure!(contents.len() <= max_bytes, "{} is larger than {max_bytes} bytes", path.display());
    Ok(contents)
}
