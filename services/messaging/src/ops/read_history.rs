//! Reading pages of rooms' histories.

use parlance_core::ErrorCode;

use crate::app::App;
use crate::error::Error;
use crate::memberships::Question;
use crate::model::{Message, Page, PageFrom, PageQuestion};
use crate::store::messages;

/// The most messages in a page.
const MAX_LIMIT: u32 = 100;
/// The most messages in all pages of a call, so that none holds up others for long.
const MAX_MESSAGES: u32 = 10_000;
const MAX_QUESTIONS: usize = 1_000;

/// Reads pages for members of the rooms, with one check of all memberships and one statement; what came of each question, in
/// their order.
pub(crate) async fn read_history(
    app: &App,
    mut questions: Vec<PageQuestion>,
) -> Result<Vec<Result<Page, ErrorCode>>, Error> {
    for question in &mut questions {
        question.limit = question.limit.clamp(1, MAX_LIMIT);
    }
    let size: u32 = questions.iter().map(|question| question.limit).sum();
    if questions.len() > MAX_QUESTIONS || size > MAX_MESSAGES {
        return Err(Error::Malformed("too many pages in one call"));
    }

    let membership =
        |question: &PageQuestion| Question { room_id: question.room_id, user_id: question.acting };
    let standings = app.memberships.check_all(questions.iter().map(membership).collect()).await?;
    let admitted: Vec<PageQuestion> = questions
        .iter()
        .zip(&standings)
        .filter(|(_, standing)| standing.is_ok())
        .map(|(question, _)| *question)
        .collect();
    let pages = if admitted.is_empty() { Vec::new() } else { messages::pages(&app.pool, &admitted).await? };

    let mut pages = pages.into_iter().zip(admitted).map(|(messages, question)| cut(messages, question));
    let answer =
        |standing: Result<_, ErrorCode>| standing.and_then(|_| pages.next().ok_or(ErrorCode::Internal));
    Ok(standings.into_iter().map(answer).collect())
}

/// Takes off the one message more than was asked for, which is the last in the direction of reading.
fn cut(mut messages: Vec<Message>, question: PageQuestion) -> Page {
    let has_more = messages.len() > question.limit as usize;
    match question.from {
        _ if !has_more => {}
        PageFrom::After(_) => drop(messages.pop()),
        PageFrom::Newest | PageFrom::Before(_) => drop(messages.remove(0)),
    }
    Page { messages, has_more }
}
