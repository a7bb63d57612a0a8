//! Reads pages of history and caches the newest page of each room.
//!
//! A [`Batcher`] reads the pages of concurrent requests with one call to messaging.
//!
//! Each client that opens a room reads its newest page. That page is cached as encoded JSON,
//! together with the room's `last_seq`. Messaging still checks for each request that the reader is
//! a member and that `last_seq` has not changed.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use parlance_core::{ErrorCode, UserId};
use parlance_proto::messaging::history_answer::Outcome;
use parlance_proto::messaging::messaging_service_client::MessagingServiceClient;
use parlance_proto::messaging::{
    HistoryAnswer, HistoryPage, HistoryQuestion, Message, ReadHistoryRequest,
};
use parlance_runtime::error::code_from_status;
use parlance_runtime::grpc::Client;
use parlance_runtime::{BatchLimits, Batcher, Lifecycle};
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use tokio::time::Instant;

use crate::api::dto::{User, UsersById};
use crate::error::ApiError;
use crate::lock::lock;

/// The memory that the cached pages may take, in bytes.
const MAX_CACHED_BYTES: u64 = 16 << 20;
/// The number of pages of usual size in that memory. The cache derives its number of shards from
/// it, at most 8. A page that is larger than a shard is not cached.
const USUAL_CACHED_PAGES: usize = 400;
/// The time for which a page is cached, whatever messaging answers. After a failover to a standby
/// that lacks the last changes, their numbers are given to other changes.
const CACHED_FOR: Duration = Duration::from_secs(60);

/// Returns the limits of the batcher. The weight of a call is the number of messages it asks for:
/// at most 32 pages of usual size, which take 26 MB if each message has the largest size.
fn limits(deadline: Duration) -> BatchLimits<HistoryQuestion> {
    let weight = |question: &HistoryQuestion| question.limit as usize;
    BatchLimits { max_queued: 4_096, timeout: deadline, max_calls: 4, max_weight: 1_600, weight }
}

/// Reads pages of history. Cheap to clone.
#[derive(Clone)]
pub(crate) struct NewestPages {
    batcher: Batcher<HistoryQuestion, Result<Reading, ErrorCode>>,
    newest: Arc<Newest>,
}

enum Reading {
    Page(HistoryPage),
    Unchanged,
}

impl NewestPages {
    /// Starts the batcher. A page is read within the deadline or not at all.
    pub(crate) fn start(
        messaging: MessagingServiceClient<Client>,
        deadline: Duration,
        lifecycle: &Lifecycle,
    ) -> Self {
        let call = move |questions| read(messaging.clone(), questions);
        let batcher = Batcher::start("history pages", limits(deadline), call, lifecycle);
        Self { batcher, newest: Arc::new(Newest::new()) }
    }

    /// Reads a page for a member of the room.
    pub(crate) async fn page(&self, mut question: HistoryQuestion) -> Result<Arc<Page>, ErrorCode> {
        let key = question.from.is_none().then_some((question.room_id, question.limit));
        let known = key.and_then(|key| self.newest.get(key));
        question.known_last_seq = known.as_ref().map(|page| page.last_seq);
        match self.batcher.call(question).await?? {
            Reading::Unchanged => known.ok_or(ErrorCode::Internal),
            Reading::Page(page) => {
                let page = Arc::new(Page::from(page));
                if let Some(key) = key
                    && page.last_seq > 0
                {
                    self.newest.insert(key, page.clone());
                }
                Ok(page)
            }
        }
    }
}

/// A room and a limit.
type Key = (i64, u32);

struct Newest(Cache<Key, Arc<Page>, Weight>);

/// Weighs a page by the bytes it takes.
#[derive(Clone, Debug)]
struct Weight;

impl Weighter<Key, Arc<Page>> for Weight {
    fn weight(&self, _: &Key, page: &Arc<Page>) -> u64 {
        page.weight
    }
}

impl Newest {
    fn new() -> Self {
        Self(Cache::with_weighter(USUAL_CACHED_PAGES, MAX_CACHED_BYTES, Weight))
    }

    fn get(&self, key: Key) -> Option<Arc<Page>> {
        self.0.get(&key).filter(|page| page.read_at.elapsed() < CACHED_FOR)
    }

    fn insert(&self, key: Key, page: Arc<Page>) {
        self.0.insert(key, page);
    }
}

async fn read(
    mut messaging: MessagingServiceClient<Client>,
    questions: Vec<HistoryQuestion>,
) -> Result<Vec<Result<Reading, ErrorCode>>, ErrorCode> {
    let response = messaging.read_history(ReadHistoryRequest { questions }).await;
    let failed = |status: tonic::Status| {
        let (grpc_code, error) = (status.code(), status.message());
        tracing::warn!(grpc.code = ?grpc_code, error, "messaging could not read history");
        code_from_status(&status)
    };
    let answers = response.map_err(failed)?.into_inner().answers;
    Ok(answers.into_iter().map(decode).collect())
}

fn decode(answer: HistoryAnswer) -> Result<Reading, ErrorCode> {
    match answer.outcome {
        Some(Outcome::Page(page)) => Ok(Reading::Page(page)),
        Some(Outcome::Unchanged(_)) => Ok(Reading::Unchanged),
        Some(Outcome::Error(name)) => {
            Err(ErrorCode::from_name(&name).unwrap_or(ErrorCode::Internal))
        }
        None => Err(ErrorCode::Internal),
    }
}

/// A page and its last encoding.
pub(crate) struct Page {
    pub(crate) messages: Vec<Message>,
    /// True if there are more in the direction of reading.
    pub(crate) has_more: bool,
    /// The senders of the messages, without duplicates.
    pub(crate) senders: Vec<UserId>,
    last_seq: i64,
    read_at: Instant,
    weight: u64,
    encoding: Mutex<Option<Encoding>>,
}

struct Encoding {
    /// The senders when the page was encoded.
    senders: Vec<Arc<User>>,
    body: Bytes,
}

impl From<HistoryPage> for Page {
    fn from(page: HistoryPage) -> Self {
        let mut senders: Vec<UserId> =
            page.messages.iter().map(|message| UserId::new(message.sender_id)).collect();
        senders.sort_unstable();
        senders.dedup();
        // The content counts twice, decoded and encoded. 512 bytes stand for all other members.
        let weight: u64 =
            page.messages.iter().map(|message| 512 + 2 * message.content.len() as u64).sum();
        Self {
            messages: page.messages,
            has_more: page.has_more,
            senders,
            last_seq: page.last_seq,
            read_at: Instant::now(),
            weight: 512 + weight,
            encoding: Mutex::default(),
        }
    }
}

impl Page {
    /// Returns the encoded page. It is encoded anew only if a sender has changed.
    pub(crate) fn encoded(
        &self,
        senders: &UsersById,
        encode: impl FnOnce(&Self) -> Result<Bytes, ApiError>,
    ) -> Result<Bytes, ApiError> {
        let mut encoding = lock(&self.encoding);
        if let Some(encoding) = &*encoding
            && encoding.senders.len() == senders.len()
            && encoding.senders.iter().all(|known| is_unchanged(known, senders))
        {
            return Ok(encoding.body.clone());
        }
        let body = encode(self)?;
        *encoding =
            Some(Encoding { senders: senders.values().cloned().collect(), body: body.clone() });
        Ok(body)
    }
}

/// Returns true if the user is unchanged: the user cache keeps the `Arc` of an unchanged user.
fn is_unchanged(known: &Arc<User>, users: &UsersById) -> bool {
    users.get(&known.id).is_some_and(|user| Arc::ptr_eq(known, user))
}

#[cfg(test)]
#[path = "tests/newest_pages.rs"]
mod tests;
