//! Request coalescing: requests that arrive while a call is in flight share the next call.
//!
//! While few requests come, each is sent at once. While as many calls are in flight as allowed,
//! requests queue, and the next call takes all of them: the more load there is, the more requests
//! share the cost of a call. No request waits for a timer.

use std::sync::Arc;
use std::time::Duration;

use parlance_core::ErrorCode;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::Lifecycle;
use crate::context::RequestContext;

/// The limits of a batcher.
#[derive(Clone, Copy, Debug)]
pub struct BatchLimits<Req> {
    /// The most requests that may queue. Beyond it a request fails with `unavailable` at once.
    pub max_queued: usize,
    /// How long a response may take, the time in the queue included. Beyond it the request fails
    /// with `unavailable`.
    pub timeout: Duration,
    /// The most calls in flight.
    pub max_calls: usize,
    /// The most weight of a batch, unless the batch is a single request.
    pub max_weight: usize,
    /// The weight of a request.
    pub weight: fn(&Req) -> usize,
}

/// The sending end of the queue of requests. Cheap to clone.
///
/// A call serves all requests of its batch. It runs in the context of the first of them whose trace
/// is recorded.
#[derive(Debug)]
pub struct Batcher<Req, Resp> {
    queue: mpsc::Sender<Queued<Req, Resp>>,
    timeout: Duration,
}

#[derive(Debug)]
struct Queued<Req, Resp> {
    request: Req,
    responder: oneshot::Sender<Result<Resp, ErrorCode>>,
    /// The context of the caller, if its trace is recorded.
    context: Option<RequestContext>,
}

impl<Req, Resp> Clone for Batcher<Req, Resp> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone(), timeout: self.timeout }
    }
}

impl<Req: Send + 'static, Resp: Send + 'static> Batcher<Req, Resp> {
    /// Starts the task that batches requests. `call` returns a response to each request, in their
    /// order, and has a deadline of its own.
    pub fn start<F, Fut>(
        name: &'static str,
        limits: BatchLimits<Req>,
        call: F,
        lifecycle: &Lifecycle,
    ) -> Self
    where
        F: Fn(Vec<Req>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Vec<Resp>, ErrorCode>> + Send + 'static,
    {
        let timeout = limits.timeout;
        let (queue, receiver) = mpsc::channel(limits.max_queued);
        let requests = Requests { receiver, next: None, limits };
        lifecycle.spawn_task(name, call_forever(requests, call, lifecycle.clone()));
        Self { queue, timeout }
    }

    /// Queues a request and waits for the response.
    pub async fn call(&self, request: Req) -> Result<Resp, ErrorCode> {
        let (responder, response) = oneshot::channel();
        let queued = Queued { request, responder, context: RequestContext::recorded() };
        self.queue.try_send(queued).map_err(|_| ErrorCode::Unavailable)?;
        let response = tokio::time::timeout(self.timeout, response).await;
        response.map_err(|_| ErrorCode::Unavailable)?.map_err(|_| ErrorCode::Unavailable)?
    }
}

/// The receiving end of the queue.
struct Requests<Req, Resp> {
    receiver: mpsc::Receiver<Queued<Req, Resp>>,
    /// The request that was too heavy for the batch before.
    next: Option<Queued<Req, Resp>>,
    limits: BatchLimits<Req>,
}

impl<Req, Resp> Requests<Req, Resp> {
    /// Waits for a request and takes those that have queued behind it, up to the weight of a batch.
    /// Returns `None` when the queue is closed.
    async fn next_batch(&mut self) -> Option<Vec<Queued<Req, Resp>>> {
        let first = match self.next.take() {
            Some(first) => first,
            None => self.receiver.recv().await?,
        };
        let mut weight = (self.limits.weight)(&first.request);
        let mut batch = vec![first];
        while let Ok(queued) = self.receiver.try_recv() {
            weight += (self.limits.weight)(&queued.request);
            if weight > self.limits.max_weight {
                self.next = Some(queued);
                break;
            }
            batch.push(queued);
        }
        // Requests whose caller has gone are dropped before the batch is sent.
        batch.retain(|queued| !queued.responder.is_closed());
        Some(batch)
    }
}

async fn call_forever<Req, Resp, F, Fut>(
    mut requests: Requests<Req, Resp>,
    call: F,
    lifecycle: Lifecycle,
) -> anyhow::Result<()>
where
    Req: Send + 'static,
    Resp: Send + 'static,
    F: Fn(Vec<Req>) -> Fut,
    Fut: Future<Output = Result<Vec<Resp>, ErrorCode>> + Send + 'static,
{
    let calls = Arc::new(Semaphore::new(requests.limits.max_calls));
    loop {
        let permit = calls.clone().acquire_owned().await?;
        let Some(mut batch) = requests.next_batch().await else { return Ok(()) };
        if batch.is_empty() {
            continue;
        }
        let context = batch.iter_mut().find_map(|queued| queued.context.take());
        let (requests, responders): (Vec<Req>, Vec<_>) =
            batch.into_iter().map(|queued| (queued.request, queued.responder)).unzip();
        let responses = call(requests);
        lifecycle.spawn(async move {
            let result = match context {
                None => responses.await,
                // The deadline is left out: other requests of the batch may have more time.
                Some(context) => {
                    Box::pin(RequestContext { deadline: None, ..context }.scope(responses)).await
                }
            };
            respond(result, responders);
            drop(permit);
        });
    }
}

/// Passes each response to its caller, or the error to all of them. A caller may have gone.
fn respond<Resp>(
    result: Result<Vec<Resp>, ErrorCode>,
    responders: Vec<oneshot::Sender<Result<Resp, ErrorCode>>>,
) {
    let count = responders.len();
    let error = match result {
        Ok(responses) if responses.len() == count => {
            for (responder, response) in responders.into_iter().zip(responses) {
                let _ = responder.send(Ok(response));
            }
            return;
        }
        Ok(_) => ErrorCode::Internal,
        Err(error) => error,
    };
    for responder in responders {
        let _ = responder.send(Err(error));
    }
}
