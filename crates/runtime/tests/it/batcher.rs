//! Which requests share a call, and what each caller gets.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parlance_core::ErrorCode;
use parlance_runtime::{BatchLimits, Batcher, Lifecycle};
use tokio::sync::Notify;

const LIMITS: BatchLimits<usize> = BatchLimits {
    max_queued: 8,
    timeout: Duration::from_secs(20),
    max_calls: 1,
    max_weight: 5,
    weight: |&request| request,
};

type Response = BoxFuture<'static, Result<usize, ErrorCode>>;

/// A batcher whose calls wait until they are released. A call with a request of 0 fails.
struct Fixture {
    batcher: Batcher<usize, usize>,
    calls: Arc<Calls>,
}

#[derive(Default)]
struct Calls {
    batches: Mutex<Vec<Vec<usize>>>,
    released: Notify,
}

impl Calls {
    async fn call(self: Arc<Self>, batch: Vec<usize>) -> Result<Vec<usize>, ErrorCode> {
        self.batches.lock().unwrap().push(batch.clone());
        self.released.notified().await;
        if batch.contains(&0) {
            return Err(ErrorCode::RoomNotFound);
        }
        Ok(batch.into_iter().map(|request| request * 10).collect())
    }
}

impl Fixture {
    /// A batcher with one call in flight, and the response to it.
    async fn busy() -> (Self, Response) {
        Self::busy_within(LIMITS).await
    }

    async fn busy_within(limits: BatchLimits<usize>) -> (Self, Response) {
        let calls = Arc::<Calls>::default();
        let callee = calls.clone();
        let (lifecycle, _shutdown) = Lifecycle::new(Duration::from_secs(1));
        let call = move |batch| callee.clone().call(batch);
        let fixture = Self { batcher: Batcher::start("test", limits, call, &lifecycle), calls };
        let first = fixture.call(1);
        fixture.until_called(1).await;
        (fixture, first)
    }

    /// The request is queued when this returns.
    fn call(&self, request: usize) -> Response {
        let batcher = self.batcher.clone();
        let mut response = async move { batcher.call(request).await }.boxed();
        assert!((&mut response).now_or_never().is_none());
        response
    }

    async fn until_called(&self, calls: usize) {
        while self.batches().len() < calls {
            tokio::task::yield_now().await;
        }
    }

    fn batches(&self) -> Vec<Vec<usize>> {
        self.calls.batches.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn requests_that_arrive_during_a_call_share_the_next_up_to_the_weight() {
    let (fixture, first) = Fixture::busy().await;
    let others = [2, 3, 4].map(|request| fixture.call(request));
    fixture.calls.released.notify_one();
    assert_eq!(first.await, Ok(10));
    fixture.until_called(2).await;
    fixture.calls.released.notify_one();
    fixture.until_called(3).await;
    fixture.calls.released.notify_one();
    for (other, response) in others.into_iter().zip([20, 30, 40]) {
        assert_eq!(other.await, Ok(response));
    }
    assert_eq!(fixture.batches(), [vec![1], vec![2, 3], vec![4]]);
}

#[tokio::test]
async fn every_caller_of_a_failed_batch_gets_the_error() {
    let (fixture, first) = Fixture::busy().await;
    let others = [0, 2].map(|request| fixture.call(request));
    fixture.calls.released.notify_one();
    assert_eq!(first.await, Ok(10));
    fixture.until_called(2).await;
    fixture.calls.released.notify_one();
    for other in others {
        assert_eq!(other.await, Err(ErrorCode::RoomNotFound));
    }
}

#[tokio::test]
async fn a_request_whose_caller_has_gone_is_not_sent() {
    let (fixture, first) = Fixture::busy().await;
    drop(fixture.call(2));
    let last = fixture.call(3);
    fixture.calls.released.notify_one();
    assert_eq!(first.await, Ok(10));
    fixture.until_called(2).await;
    fixture.calls.released.notify_one();
    assert_eq!(last.await, Ok(30));
    assert_eq!(fixture.batches(), [vec![1], vec![3]]);
}

#[tokio::test]
async fn a_request_beyond_the_bound_of_the_queue_is_unavailable_at_once() {
    let (fixture, _first) = Fixture::busy().await;
    let _queued: Vec<_> = (0..LIMITS.max_queued).map(|_| fixture.call(1)).collect();
    assert_eq!(fixture.batcher.call(1).now_or_never(), Some(Err(ErrorCode::Unavailable)));
}

#[tokio::test]
async fn a_response_is_due_within_the_timeout_even_in_the_queue() {
    let limits = BatchLimits { timeout: Duration::from_millis(50), ..LIMITS };
    let (fixture, first) = Fixture::busy_within(limits).await;
    let second = fixture.call(2);
    let both = tokio::join!(first, second);
    assert_eq!(both, (Err(ErrorCode::Unavailable), Err(ErrorCode::Unavailable)));
}
