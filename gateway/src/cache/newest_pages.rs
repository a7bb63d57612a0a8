//! Pages of history. Those that are asked for at about the same time come with one call to
//! messaging, which checks and reads them together.
//!
//! The newest page of a room is the one that everybody reads who opens it. It is remembered, as it
//! was encoded, with the room's number of the last change: messaging is asked each time whether the
//! reader is a member and whether that is still the last.

use std::sync::{Arc, Mutex, PoisonError};
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

/// About how much memory the remembered pages may take, in bytes.
const MAX_REMEMBERED: u64 = 16 << 20;
/// How many pages of usual size that is, to lay the cache out by: it is divided into 8 parts at
/// most, and a page that is larger than a part is not remembered.
const USUALLY_REMEMBERED: usize = 400;
/// A page is read anew after this time, whatever messaging says: a store that failed over to a
/// replica without the last changes gives their numbers to others.
const REMEMBERED_FOR: Duration = Duration::from_secs(60);

/// A call weighs as much as the messages that it asks for: as many as 32 pages of usual size, and
/// 26 MB if all were as long as may be.
fn limits(deadline: Duration) -> BatchLimits<HistoryQuestion> {
    let weight = |question: &HistoryQuestion| question.limit as usize;
    BatchLimits { max_queued: 4_096, timeout: deadline, max_calls: 4, max_weight: 1_600, weight }
}

/// Reads pages. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct NewestPages {
    batcher: Batcher<HistoryQuestion, Result<Reading, ErrorCode>>,
    newest: Arc<Newest>,
}

#[derive(Debug)]
enum Reading {
    Page(HistoryPage),
    Unchanged,
}

impl NewestPages {
    /// An answer takes no longer than the deadline.
    pub(crate) fn start(
        messaging: MessagingServiceClient<Client>,
        deadline: Duration,
        lifecycle: &Lifecycle,
    ) -> Self {
        let call = move |questions| read(messaging.clone(), questions);
        let batcher = Batcher::start("histories", limits(deadline), call, lifecycle);
        Self { batcher, newest: Arc::new(Newest::new()) }
    }

    /// A page for a member of the room.
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

/// The newest pages that are remembered.
#[derive(Debug)]
struct Newest(Cache<Key, Arc<Page>, Weight>);

/// Says what a page takes.
#[derive(Clone, Debug)]
struct Weight;

impl Weighter<Key, Arc<Page>> for Weight {
    fn weight(&self, _: &Key, page: &Arc<Page>) -> u64 {
        page.weight
    }
}

impl Newest {
    fn new() -> Self {
        Self(Cache::with_weighter(USUALLY_REMEMBERED, MAX_REMEMBERED, Weight))
    }

    fn get(&self, key: Key) -> Option<Arc<Page>> {
        self.0.get(&key).filter(|page| page.read_at.elapsed() < REMEMBERED_FOR)
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
    let refused = |status: tonic::Status| {
        tracing::warn!(grpc.code = ?status.code(), error = status.message(), "pages of history could not be read");
        code_from_status(&status)
    };
    let answers = response.map_err(refused)?.into_inner().answers;
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

/// A page, and how it was last encoded.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) messages: Vec<Message>,
    /// Whether there are more in the direction of reading.
    pub(crate) has_more: bool,
    /// Who has written the messages, each once.
    pub(crate) senders: Vec<UserId>,
    last_seq: i64,
    read_at: Instant,
    weight: u64,
    encoding: Mutex<Option<Encoding>>,
}

#[derive(Debug)]
struct Encoding {
    /// The senders as they were.
    senders: Vec<Arc<User>>,
    body: Bytes,
}

impl From<HistoryPage> for Page {
    fn from(page: HistoryPage) -> Self {
        let mut senders: Vec<UserId> =
            page.messages.iter().map(|message| UserId::new(message.sender_id)).collect();
        senders.sort_unstable();
        senders.dedup();
        // The content twice, as it came and as it is encoded, and all that is around it.
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
    /// The page with these senders in it: as it was encoded before, if none of them has changed
    /// since.
    pub(crate) fn encoded(
        &self,
        senders: &UsersById,
        encode: impl FnOnce(&Self) -> Result<Bytes, ApiError>,
    ) -> Result<Bytes, ApiError> {
        let mut encoding = self.encoding.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(encoding) = &*encoding
            && encoding.senders.len() == senders.len()
            && encoding.senders.iter().all(|known| is_same(known, senders))
        {
            return Ok(encoding.body.clone());
        }
        let body = encode(self)?;
        *encoding =
            Some(Encoding { senders: senders.values().cloned().collect(), body: body.clone() });
        Ok(body)
    }
}

/// One who has not changed stays the same object.
fn is_same(known: &Arc<User>, users: &UsersById) -> bool {
    users.get(&known.id).is_some_and(|user| Arc::ptr_eq(known, user))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = (1, 50);

    fn page(content: &str) -> Page {
        let message = Message { content: content.to_owned(), ..Default::default() };
        Page::from(HistoryPage { messages: vec![message], has_more: false, last_seq: 1 })
    }

    #[test]
    fn a_page_is_remembered_for_a_while() {
        let newest = Newest::new();
        newest.insert(KEY, Arc::new(page("hello")));
        assert!(newest.get(KEY).is_some());
        assert!(newest.get((1, 49)).is_none() && newest.get((2, 50)).is_none());

        let read_at = Instant::now().checked_sub(REMEMBERED_FOR).unwrap();
        newest.insert(KEY, Arc::new(Page { read_at, ..page("hello") }));
        assert!(newest.get(KEY).is_none());
    }

    #[test]
    fn pages_take_only_so_much() {
        let newest = Newest::new();
        let content = "x".repeat(100_000);
        for room in 0..1_000 {
            newest.insert((room, 50), Arc::new(page(&content)));
        }
        let remembered = (0..1_000).filter(|&room| newest.get((room, 50)).is_some()).count() as u64;
        let limit = MAX_REMEMBERED / page(&content).weight;
        assert!((limit / 2..=limit).contains(&remembered), "{remembered} of {limit}");
    }
}
