//! Reading pages of messages.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use parlance_core::{ErrorCode, RoomId};
use parlance_runtime::error::chain;
use parlance_runtime::postgres;

use crate::app::App;
use crate::clients::memberships::Check;
use crate::error::Error;
use crate::model::{Message, Page, PageFrom, PageRequest, PageResult};
use crate::store::{messages, room_heads, with_timeout};

/// The maximum number of messages in a page.
const MAX_LIMIT: u32 = 100;
/// The bounds of one call, so that it does not delay others for long.
const MAX_MESSAGES: u32 = 10_000;
const MAX_PAGES: usize = 1_000;
/// How long all pages of a call may take together. After it they are read room by room.
const TOGETHER_TIMEOUT: Duration = Duration::from_millis(500);
/// How long that may take. The caller waits for 2 seconds.
const ROOMS_TIMEOUT: Duration = Duration::from_secs(1);
/// Rooms that are read at the same time then.
const MAX_ROOMS_AT_ONCE: usize = 4;

/// Reads pages for members of the rooms. Returns the results in the order of the requests.
///
/// One call costs one membership check, one read of `room_heads` for the newest pages, at the same
/// time, and one statement for all pages that the callers do not have. A room whose pages cannot be
/// read, or not in time, fails alone.
pub(crate) async fn read_history(
    app: &App,
    mut requests: Vec<PageRequest>,
) -> Result<Vec<Result<PageResult, ErrorCode>>, Error> {
    for request in &mut requests {
        request.limit = request.limit.clamp(1, MAX_LIMIT);
    }
    let size: u32 = requests.iter().map(|request| request.limit).sum();
    if requests.len() > MAX_PAGES || size > MAX_MESSAGES {
        return Err(ErrorCode::BadRequest.into());
    }

    let check =
        |request: &PageRequest| Check { room_id: request.room_id, user_id: request.user_id };
    let (memberships, last_seqs) = tokio::join!(
        app.memberships.check_all(requests.iter().map(check).collect()),
        read_last_seqs(app, &requests)
    );
    let admitted: Vec<PageRequest> = requests
        .into_iter()
        .zip(&memberships)
        .filter(|(_, membership)| membership.is_ok())
        .map(|(request, _)| request)
        .collect();
    let mut pages = match &admitted[..] {
        [] => Vec::new(),
        _ => read(app, admitted, &last_seqs?).await,
    }
    .into_iter();
    let result = |membership: Result<_, ErrorCode>| {
        membership.and_then(|_| pages.next().unwrap_or(Err(ErrorCode::Internal)))
    };
    Ok(memberships.into_iter().map(result).collect())
}

/// Returns the `last_seq` of the rooms whose newest pages are requested.
async fn read_last_seqs(
    app: &App,
    requests: &[PageRequest],
) -> Result<HashMap<RoomId, i64>, Error> {
    let newest = requests.iter().filter(|request| matches!(request.from, PageFrom::Newest));
    let mut room_ids: Vec<RoomId> = newest.map(|request| request.room_id).collect();
    room_ids.sort_unstable();
    room_ids.dedup();
    if room_ids.is_empty() {
        return Ok(HashMap::new());
    }
    Ok(room_heads::read(&mut *app.pool.acquire().await?, &room_ids).await?)
}

/// Reads the pages of admitted requests. `last_seqs` were read before, so that the pages contain
/// all changes up to them.
async fn read(
    app: &App,
    requests: Vec<PageRequest>,
    last_seqs: &HashMap<RoomId, i64>,
) -> Vec<Result<PageResult, ErrorCode>> {
    let last_seq = |request: &PageRequest| match request.from {
        PageFrom::Newest => last_seqs.get(&request.room_id).copied(),
        PageFrom::Before(_) | PageFrom::After(_) => None,
    };
    let is_unchanged = |request: &PageRequest| {
        request.known_last_seq.is_some() && request.known_last_seq == last_seq(request)
    };

    let changed: Vec<PageRequest> =
        requests.iter().filter(|request| !is_unchanged(request)).copied().collect();
    let pages = if changed.is_empty() { Vec::new() } else { read_pages(app, &changed).await };
    let mut pages = pages.into_iter();
    let result = |request: PageRequest| {
        if is_unchanged(&request) {
            return Ok(PageResult::Unchanged);
        }
        let messages = pages.next().unwrap_or(Err(ErrorCode::Internal))?;
        let (messages, has_more) = truncate(messages, request);
        Ok(PageResult::Page(Page { messages, has_more, last_seq: last_seq(&request) }))
    };
    requests.into_iter().map(result).collect()
}

/// Reads all pages with one statement. If that fails, reads the pages of each room with one of
/// their own.
async fn read_pages(app: &App, requests: &[PageRequest]) -> Vec<Result<Vec<Message>, ErrorCode>> {
    match read_together(app, requests, TOGETHER_TIMEOUT).await {
        Ok(pages) => return pages.into_iter().map(Ok).collect(),
        Err(error) => {
            tracing::warn!(error = chain(&error), "cannot read some pages; reading room by room");
        }
    }
    let mut by_room: BTreeMap<RoomId, Vec<usize>> = BTreeMap::new();
    for (index, request) in requests.iter().enumerate() {
        by_room.entry(request.room_id).or_default().push(index);
    }
    let mut pages: Vec<_> = requests.iter().map(|_| Err(ErrorCode::Unavailable)).collect();
    let mut rooms = stream::iter(by_room.into_values())
        .map(|indices| async move {
            let requests: Vec<PageRequest> = indices.iter().map(|&index| requests[index]).collect();
            let read = read_together(app, &requests, ROOMS_TIMEOUT).await;
            (indices, read.map_err(|error| postgres::code_from_error(&error)))
        })
        .buffer_unordered(MAX_ROOMS_AT_ONCE);
    let read_rooms = async {
        while let Some((indices, read)) = rooms.next().await {
            match read {
                Ok(read) => {
                    indices.into_iter().zip(read).for_each(|(at, page)| pages[at] = Ok(page))
                }
                Err(code) => indices.into_iter().for_each(|at| pages[at] = Err(code)),
            }
        }
    };
    // What is not read in time stays `unavailable`.
    let _ = tokio::time::timeout(ROOMS_TIMEOUT, read_rooms).await;
    drop(rooms);
    pages
}

async fn read_together(
    app: &App,
    requests: &[PageRequest],
    timeout: Duration,
) -> sqlx::Result<Vec<Vec<Message>>> {
    let read = async { messages::read_pages(&mut *app.pool.acquire().await?, requests).await };
    with_timeout(timeout, read).await
}

/// Removes the one message above the limit, which is the last in the direction of reading. Returns
/// true if there was one.
fn truncate(mut messages: Vec<Message>, request: PageRequest) -> (Vec<Message>, bool) {
    let has_more = messages.len() > request.limit as usize;
    match request.from {
        _ if !has_more => {}
        PageFrom::After(_) => drop(messages.pop()),
        PageFrom::Newest | PageFrom::Before(_) => drop(messages.remove(0)),
    }
    (messages, has_more)
}
