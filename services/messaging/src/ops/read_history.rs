//! Reading pages of rooms' histories.

use std::collections::HashMap;

use parlance_core::{ErrorCode, RoomId};

use crate::app::App;
use crate::error::Error;
use crate::memberships::Question;
use crate::model::{Message, Page, PageFrom, PageQuestion, Reading};
use crate::store::{messages, room_heads};

/// The most messages in a page.
const MAX_LIMIT: u32 = 100;
/// The most messages in all pages of a call, so that none holds up others for long.
const MAX_MESSAGES: u32 = 10_000;
const MAX_QUESTIONS: usize = 1_000;

/// Reads pages for members of the rooms, with one check of all memberships, a look at the heads of
/// the rooms whose newest pages are asked for at the same time, and one statement for all pages
/// that the askers do not have; what came of each question, in their order.
pub(crate) async fn read_history(
    app: &App,
    mut questions: Vec<PageQuestion>,
) -> Result<Vec<Result<Reading, ErrorCode>>, Error> {
    for question in &mut questions {
        question.limit = question.limit.clamp(1, MAX_LIMIT);
    }
    let size: u32 = questions.iter().map(|question| question.limit).sum();
    if questions.len() > MAX_QUESTIONS || size > MAX_MESSAGES {
        return Err(Error::Malformed("too many pages in one call"));
    }

    let membership =
        |question: &PageQuestion| Question { room_id: question.room_id, user_id: question.acting };
    // The heads say nothing to whoever is no member, and need not wait to be asked for.
    let (standings, heads) = tokio::join!(
        app.memberships.check_all(questions.iter().map(membership).collect()),
        heads(app, &questions)
    );
    let standings = standings?;
    let admitted: Vec<PageQuestion> = questions
        .iter()
        .zip(&standings)
        .filter(|(_, standing)| standing.is_ok())
        .map(|(question, _)| *question)
        .collect();
    let mut readings =
        if admitted.is_empty() { Vec::new() } else { read(app, admitted, &heads?).await? }
            .into_iter();
    let answer = |standing: Result<_, ErrorCode>| {
        standing.and_then(|_| readings.next().ok_or(ErrorCode::Internal))
    };
    Ok(standings.into_iter().map(answer).collect())
}

/// What comes of each question of a member. The heads were read before the pages, which then have
/// all changes up to there.
async fn read(
    app: &App,
    questions: Vec<PageQuestion>,
    heads: &HashMap<RoomId, i64>,
) -> Result<Vec<Reading>, Error> {
    let head_of = |question: &PageQuestion| match question.from {
        PageFrom::Newest => heads.get(&question.room_id).copied(),
        PageFrom::Before(_) | PageFrom::After(_) => None,
    };
    let is_unchanged = |question: &PageQuestion| {
        question.known_last_seq.is_some() && question.known_last_seq == head_of(question)
    };

    let wanted: Vec<PageQuestion> =
        questions.iter().filter(|question| !is_unchanged(question)).copied().collect();
    let pages =
        if wanted.is_empty() { Vec::new() } else { messages::pages(&app.pool, &wanted).await? };
    let mut pages = pages.into_iter();
    let reading = |question: PageQuestion| {
        if is_unchanged(&question) {
            return Reading::Unchanged;
        }
        let (messages, has_more) = cut(pages.next().unwrap_or_default(), question);
        Reading::Page(Page { messages, has_more, last_seq: head_of(&question) })
    };
    Ok(questions.into_iter().map(reading).collect())
}

/// The heads of the rooms whose newest pages are asked for.
async fn heads(app: &App, questions: &[PageQuestion]) -> Result<HashMap<RoomId, i64>, Error> {
    let newest = questions.iter().filter(|question| matches!(question.from, PageFrom::Newest));
    let mut room_ids: Vec<RoomId> = newest.map(|question| question.room_id).collect();
    room_ids.sort_unstable();
    room_ids.dedup();
    if room_ids.is_empty() {
        return Ok(HashMap::new());
    }
    Ok(room_heads::read(&app.pool, &room_ids).await?)
}

/// Takes off the one message more than was asked for, which is the last in the direction of
/// reading; whether there was one.
fn cut(mut messages: Vec<Message>, question: PageQuestion) -> (Vec<Message>, bool) {
    let has_more = messages.len() > question.limit as usize;
    match question.from {
        _ if !has_more => {}
        PageFrom::After(_) => drop(messages.pop()),
        PageFrom::Newest | PageFrom::Before(_) => drop(messages.remove(0)),
    }
    (messages, has_more)
}
