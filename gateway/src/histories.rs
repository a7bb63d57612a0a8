//! Pages of history. Those that are asked for at about the same time come with one call to messaging, which checks and reads them together.

use std::time::Duration;

use parlance_core::ErrorCode;
use parlance_proto::messaging::history_answer::Outcome;
use parlance_proto::messaging::messaging_service_client::MessagingServiceClient;
use parlance_proto::messaging::{HistoryAnswer, HistoryPage, HistoryQuestion, ReadHistoryRequest};
use parlance_runtime::error::code_of_status;
use parlance_runtime::grpc::Client;
use parlance_runtime::{Bounds, Collector, Lifecycle};

/// A call weighs as much as the messages that it asks for: as many as 32 pages of usual size, and 26 MB if all were as long as may be.
fn bounds(deadline: Duration) -> Bounds<HistoryQuestion> {
    let weigh = |question: &HistoryQuestion| question.limit as usize;
    Bounds { queued: 4_096, patience: deadline, calls: 4, weight: 1_600, weigh }
}

/// Reads pages. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Histories {
    collector: Collector<HistoryQuestion, Result<HistoryPage, ErrorCode>>,
}

impl Histories {
    /// An answer takes no longer than the deadline.
    pub(crate) fn start(
        messaging: MessagingServiceClient<Client>,
        deadline: Duration,
        lifecycle: &Lifecycle,
    ) -> Self {
        let call = move |questions| read(messaging.clone(), questions);
        Self { collector: Collector::start("histories", bounds(deadline), call, lifecycle) }
    }

    /// A page for a member of the room.
    pub(crate) async fn page(&self, question: HistoryQuestion) -> Result<HistoryPage, ErrorCode> {
        self.collector.ask(question).await?
    }
}

async fn read(
    mut messaging: MessagingServiceClient<Client>,
    questions: Vec<HistoryQuestion>,
) -> Result<Vec<Result<HistoryPage, ErrorCode>>, ErrorCode> {
    let response = messaging.read_history(ReadHistoryRequest { questions }).await;
    let refused = |status: tonic::Status| {
        tracing::warn!(grpc.code = ?status.code(), error = status.message(), "pages of history could not be read");
        code_of_status(&status)
    };
    let answers = response.map_err(refused)?.into_inner().answers;
    Ok(answers.into_iter().map(decode).collect())
}

fn decode(answer: HistoryAnswer) -> Result<HistoryPage, ErrorCode> {
    match answer.outcome {
        Some(Outcome::Page(page)) => Ok(page),
        Some(Outcome::Error(name)) => Err(ErrorCode::from_name(&name).unwrap_or(ErrorCode::Internal)),
        None => Err(ErrorCode::Internal),
    }
}
