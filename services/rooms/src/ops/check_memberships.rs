//! Others ask for many memberships at once.

use crate::app::App;
use crate::error::Error;
use crate::model::{Answer, Question};
use crate::store::members;

/// A larger call would hold up those who wait behind it.
const MAX_QUESTIONS: usize = 10_000;

/// One answer for each question, in the same order, from one snapshot; one statement however many
/// there are.
pub(crate) async fn check_memberships(
    app: &App,
    questions: &[Question],
) -> Result<Vec<Answer>, Error> {
    if questions.len() > MAX_QUESTIONS {
        return Err(Error::Malformed("more than 10,000 questions"));
    }
    if questions.is_empty() {
        return Ok(Vec::new());
    }
    let mut conn = app.pool.acquire().await?;
    Ok(members::check(&mut conn, questions).await?)
}
