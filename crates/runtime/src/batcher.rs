//! Asks together what comes up together.
//!
//! While few questions come, each is asked at once. While as many calls are under way as may be,
//! questions collect, and the next call asks all of them: what a call costs is shared by more, the
//! more there is to ask. Nothing waits for a timer.

use std::sync::Arc;
use std::time::Duration;

use parlance_core::ErrorCode;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::Lifecycle;
use crate::context::RequestContext;

/// What a batcher may hold and ask.
#[derive(Clone, Copy, Debug)]
pub struct BatchLimits<Q> {
    /// Questions that may wait; beyond it the answer is `unavailable` at once.
    pub max_queued: usize,
    /// How long an answer may take, the time in the queue included; beyond it the answer is
    /// `unavailable`.
    pub timeout: Duration,
    /// Calls under way at once.
    pub max_calls: usize,
    /// The weight of all questions in one call, unless there is only one.
    pub max_weight: usize,
    /// The weight of a question.
    pub weight_of: fn(&Q) -> usize,
}

/// The way to the questions that wait. Cheap to clone.
///
/// A call belongs to as many requests as there are questions in it. It is made in the context of
/// the first whose trace is recorded.
#[derive(Debug)]
pub struct Batcher<Q, A> {
    waiting: mpsc::Sender<Waiting<Q, A>>,
    timeout: Duration,
}

/// A question and whom to tell the answer.
#[derive(Debug)]
struct Waiting<Q, A> {
    question: Q,
    answer: oneshot::Sender<Result<A, ErrorCode>>,
    /// What it is asked in, if that is recorded.
    context: Option<RequestContext>,
}

impl<Q, A> Clone for Batcher<Q, A> {
    fn clone(&self) -> Self {
        Self { waiting: self.waiting.clone(), timeout: self.timeout }
    }
}

impl<Q: Send + 'static, A: Send + 'static> Batcher<Q, A> {
    /// Starts to collect. A call gets questions and gives an answer to each, in their order, before
    /// a deadline of its own.
    pub fn start<F, Fut>(
        name: &'static str,
        limits: BatchLimits<Q>,
        call: F,
        lifecycle: &Lifecycle,
    ) -> Self
    where
        F: Fn(Vec<Q>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Vec<A>, ErrorCode>> + Send + 'static,
    {
        let timeout = limits.timeout;
        let (sender, waiting) = mpsc::channel(limits.max_queued);
        lifecycle.spawn_task(name, ask_forever(waiting, limits, call, lifecycle.clone()));
        Self { waiting: sender, timeout }
    }

    /// Asks, and waits for the answer.
    pub async fn ask(&self, question: Q) -> Result<A, ErrorCode> {
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting { question, answer, context: RequestContext::recorded() };
        self.waiting.try_send(waiting).map_err(|_| ErrorCode::Unavailable)?;
        let answered = tokio::time::timeout(self.timeout, answered).await;
        answered.map_err(|_| ErrorCode::Unavailable)?.map_err(|_| ErrorCode::Unavailable)?
    }
}

async fn ask_forever<Q, A, F, Fut>(
    mut waiting: mpsc::Receiver<Waiting<Q, A>>,
    limits: BatchLimits<Q>,
    call: F,
    lifecycle: Lifecycle,
) -> anyhow::Result<()>
where
    Q: Send + 'static,
    A: Send + 'static,
    F: Fn(Vec<Q>) -> Fut,
    Fut: Future<Output = Result<Vec<A>, ErrorCode>> + Send + 'static,
{
    let calls = Arc::new(Semaphore::new(limits.max_calls));
    let mut left_over = None;
    loop {
        let permit = calls.clone().acquire_owned().await?;
        let Some(first) = (match left_over.take() {
            Some(first) => Some(first),
            None => waiting.recv().await,
        }) else {
            return Ok(());
        };
        let mut weight = (limits.weight_of)(&first.question);
        let mut batch = vec![first];
        while let Ok(next) = waiting.try_recv() {
            weight += (limits.weight_of)(&next.question);
            if weight > limits.max_weight {
                left_over = Some(next);
                break;
            }
            batch.push(next);
        }
        // Who no longer waits is not asked for.
        batch.retain(|waiting| !waiting.answer.is_closed());
        if batch.is_empty() {
            continue;
        }
        let context = batch.iter_mut().find_map(|waiting| waiting.context.take());
        let (questions, answers): (Vec<Q>, Vec<_>) =
            batch.into_iter().map(|waiting| (waiting.question, waiting.answer)).unzip();
        let asked = call(questions);
        lifecycle.spawn(async move {
            let outcome = match context {
                None => asked.await,
                // The others may have more time.
                Some(context) => {
                    Box::pin(RequestContext { deadline: None, ..context }.scope(asked)).await
                }
            };
            hand_out(outcome, answers);
            drop(permit);
        });
    }
}

fn hand_out<A>(
    outcome: Result<Vec<A>, ErrorCode>,
    waiting: Vec<oneshot::Sender<Result<A, ErrorCode>>>,
) {
    let is_complete = |answers: &Vec<A>| answers.len() == waiting.len();
    let outcome =
        outcome.and_then(|answers| Some(answers).filter(is_complete).ok_or(ErrorCode::Internal));
    // Who asked may have stopped waiting, here and below.
    match outcome {
        Ok(answers) => {
            for (waiting, answer) in waiting.into_iter().zip(answers) {
                let _ = waiting.send(Ok(answer));
            }
        }
        Err(code) => {
            for waiting in waiting {
                let _ = waiting.send(Err(code));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use futures_util::FutureExt;
    use futures_util::future::BoxFuture;
    use tokio::sync::Notify;

    use super::*;

    const LIMITS: BatchLimits<usize> = BatchLimits {
        max_queued: 8,
        timeout: Duration::from_secs(20),
        max_calls: 1,
        max_weight: 5,
        weight_of: |&question| question,
    };

    /// A batcher whose calls wait to be let go, and what they ask. One that asks for 0 fails.
    struct Fixture {
        batcher: Batcher<usize, usize>,
        calls: Arc<Calls>,
    }

    #[derive(Default)]
    struct Calls {
        asked: Mutex<Vec<Vec<usize>>>,
        go: Notify,
    }

    impl Calls {
        async fn answer(self: Arc<Self>, questions: Vec<usize>) -> Result<Vec<usize>, ErrorCode> {
            self.asked.lock().unwrap().push(questions.clone());
            self.go.notified().await;
            if questions.contains(&0) {
                return Err(ErrorCode::RoomNotFound);
            }
            Ok(questions.into_iter().map(|question| question * 10).collect())
        }
    }

    impl Fixture {
        /// One call is under way.
        async fn busy() -> (Self, BoxFuture<'static, Result<usize, ErrorCode>>) {
            Self::busy_within(LIMITS).await
        }

        async fn busy_within(
            limits: BatchLimits<usize>,
        ) -> (Self, BoxFuture<'static, Result<usize, ErrorCode>>) {
            let calls = Arc::<Calls>::default();
            let answering = calls.clone();
            let (lifecycle, _shutdown) = Lifecycle::new(Duration::from_secs(1));
            let call = move |questions| answering.clone().answer(questions);
            let fixture = Self { batcher: Batcher::start("test", limits, call, &lifecycle), calls };
            let first = fixture.ask(1);
            fixture.until_asked(1).await;
            (fixture, first)
        }

        /// The question waits when this returns.
        fn ask(&self, question: usize) -> BoxFuture<'static, Result<usize, ErrorCode>> {
            let batcher = self.batcher.clone();
            let mut asked = async move { batcher.ask(question).await }.boxed();
            assert!((&mut asked).now_or_never().is_none());
            asked
        }

        async fn until_asked(&self, calls: usize) {
            while self.calls.asked.lock().unwrap().len() < calls {
                tokio::task::yield_now().await;
            }
        }

        fn asked(&self) -> Vec<Vec<usize>> {
            self.calls.asked.lock().unwrap().clone()
        }
    }

    #[tokio::test]
    async fn what_comes_up_during_a_call_is_asked_together_up_to_the_weight() {
        let (fixture, first) = Fixture::busy().await;
        let others = [2, 3, 4].map(|question| fixture.ask(question));
        fixture.calls.go.notify_one();
        assert_eq!(first.await, Ok(10));
        fixture.until_asked(2).await;
        fixture.calls.go.notify_one();
        fixture.until_asked(3).await;
        fixture.calls.go.notify_one();
        for (other, answer) in others.into_iter().zip([20, 30, 40]) {
            assert_eq!(other.await, Ok(answer));
        }
        assert_eq!(fixture.asked(), [vec![1], vec![2, 3], vec![4]]);
    }

    #[tokio::test]
    async fn a_failure_is_told_to_all_who_were_asked_for() {
        let (fixture, first) = Fixture::busy().await;
        let others = [0, 2].map(|question| fixture.ask(question));
        fixture.calls.go.notify_one();
        assert_eq!(first.await, Ok(10));
        fixture.until_asked(2).await;
        fixture.calls.go.notify_one();
        for other in others {
            assert_eq!(other.await, Err(ErrorCode::RoomNotFound));
        }
    }

    #[tokio::test]
    async fn who_has_stopped_waiting_is_not_asked_for() {
        let (fixture, first) = Fixture::busy().await;
        drop(fixture.ask(2));
        let last = fixture.ask(3);
        fixture.calls.go.notify_one();
        assert_eq!(first.await, Ok(10));
        fixture.until_asked(2).await;
        fixture.calls.go.notify_one();
        assert_eq!(last.await, Ok(30));
        assert_eq!(fixture.asked(), [vec![1], vec![3]]);
    }

    #[tokio::test]
    async fn beyond_the_bound_the_answer_is_unavailable_at_once() {
        let (fixture, _first) = Fixture::busy().await;
        let _waiting: Vec<_> = (0..LIMITS.max_queued).map(|_| fixture.ask(1)).collect();
        assert_eq!(fixture.batcher.ask(1).now_or_never(), Some(Err(ErrorCode::Unavailable)));
    }

    #[tokio::test]
    async fn an_answer_takes_no_longer_than_promised_even_in_the_queue() {
        let (fixture, first) =
            Fixture::busy_within(BatchLimits { timeout: Duration::from_millis(50), ..LIMITS })
                .await;
        let second = fixture.ask(2);
        assert_eq!(
            tokio::join!(first, second),
            (Err(ErrorCode::Unavailable), Err(ErrorCode::Unavailable))
        );
    }
}
