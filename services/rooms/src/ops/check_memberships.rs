//! Another service checks many memberships.

use crate::app::App;
use crate::error::Error;
use crate::model::{Answer, Question};
use crate::store::members;

/// A larger call would delay the calls behind it.
const MAX_QUESTIONS: usize = 10_000;

/// Returns an answer for each question, in the same order, from one statement.
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
    Ok(members::check(&mut *app.vital_pool.acquire().await?, questions).await?)
}
