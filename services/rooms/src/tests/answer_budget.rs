use std::time::Duration;

use futures_util::FutureExt;
use parlance_core::ErrorCode;
use parlance_runtime::error::Coded;

use super::{AnswerBudget, MAX_MEMBERS, MAX_MEMBERS_PER_ANSWER, MAX_MEMBERS_UNCOUNTED};

#[tokio::test]
async fn large_answers_wait_for_each_other_and_are_refused_after_a_while() {
    let budget = AnswerBudget::new();
    let half = budget.reserve(MAX_MEMBERS / 2).await.unwrap();
    let other_half = budget.reserve(MAX_MEMBERS / 2).await.unwrap();
    let refused = budget.reserve(50_000).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::Unavailable);
    assert!(refused.retry_after().is_some());

    let (waited, ()) = tokio::join!(budget.reserve(50_000), async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        drop(half);
    });
    drop((waited.unwrap(), other_half));
    let _all = budget.reserve(MAX_MEMBERS).await.unwrap();
}

#[tokio::test]
async fn small_answers_do_not_wait_for_large_ones() {
    let budget = AnswerBudget::new();
    let _all = budget.reserve(MAX_MEMBERS_PER_ANSWER).await.unwrap();
    for _ in 0..1_000 {
        let _small = budget.reserve(MAX_MEMBERS_UNCOUNTED).await.unwrap();
    }
}

#[tokio::test]
async fn an_answer_above_the_bound_of_one_is_refused_at_once() {
    let budget = AnswerBudget::new();
    let answered = budget.reserve(MAX_MEMBERS_PER_ANSWER + 1).now_or_never();
    assert_eq!(answered.unwrap().unwrap_err().code(), ErrorCode::Unavailable);
}
