//! The RPCs of `MessagingService`.

use std::net::SocketAddr;

use futures_util::stream::BoxStream;
use parlance_core::{ErrorCode, MessageContent, MessageId, RoomId, UserId};
use parlance_proto::messaging::history_answer::Outcome;
use parlance_proto::messaging::messaging_service_server::{
    MessagingService, MessagingServiceServer,
};
use parlance_proto::messaging::{
    AttachRequest, AttachResponse, DeleteMessageRequest, DeleteMessageResponse, EditMessageRequest,
    EditMessageResponse, HistoryAnswer, HistoryPage, ReadChangesRequest, ReadChangesResponse,
    ReadHistoryRequest, ReadHistoryResponse, UnchangedPage,
};
use parlance_runtime::grpc::Credential;
use parlance_runtime::{Lifecycle, grpc};
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};

use super::{attach, decode};
use crate::app::App;
use crate::error::Error;
use crate::model::{Page, PageResult};
use crate::{encode, ops};

/// The maximum size of a gRPC message. Batches stay far below it.
const MAX_MESSAGE_BYTES: usize = 64 << 20;

/// Serves the RPCs until the process drains.
pub(crate) async fn serve(
    app: App,
    listen: SocketAddr,
    credential: &Credential,
    lifecycle: &Lifecycle,
) -> anyhow::Result<()> {
    let service = MessagingServiceServer::new(Service { app, lifecycle: lifecycle.clone() })
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    let (name, routes) = ("parlance.messaging.v1.MessagingService", Routes::new(service));
    grpc::serve(listen, credential, name, routes, lifecycle).await
}

struct Service {
    app: App,
    lifecycle: Lifecycle,
}

#[tonic::async_trait]
impl MessagingService for Service {
    type AttachStream = BoxStream<'static, Result<AttachResponse, Status>>;

    async fn attach(
        &self,
        request: Request<Streaming<AttachRequest>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        Ok(Response::new(attach::attach(&self.app, request.into_inner(), &self.lifecycle)))
    }

    async fn edit_message(
        &self,
        request: Request<EditMessageRequest>,
    ) -> Result<Response<EditMessageResponse>, Status> {
        let request = request.into_inner();
        let content = MessageContent::parse(request.content)
            .map_err(|_| Error::Refused(ErrorCode::ContentInvalid))?;
        let (user_id, message_id) =
            (UserId::new(request.acting_user_id), MessageId::new(request.message_id));
        let (message, change_seq) =
            ops::edit_message(&self.app, user_id, message_id, &content).await?;
        let message = Some(encode::message(message));
        Ok(Response::new(EditMessageResponse { message, change_seq }))
    }

    async fn delete_message(
        &self,
        request: Request<DeleteMessageRequest>,
    ) -> Result<Response<DeleteMessageResponse>, Status> {
        let request = request.into_inner();
        let (user_id, message_id) =
            (UserId::new(request.acting_user_id), MessageId::new(request.message_id));
        let (room_id, change_seq) = ops::delete_message(&self.app, user_id, message_id).await?;
        Ok(Response::new(DeleteMessageResponse { room_id: room_id.get(), change_seq }))
    }

    async fn read_history(
        &self,
        request: Request<ReadHistoryRequest>,
    ) -> Result<Response<ReadHistoryResponse>, Status> {
        let questions = request.into_inner().questions;
        let requests = questions.into_iter().map(decode::page_request).collect();
        let results = ops::read_history(&self.app, requests).await?;
        let answers = results.into_iter().map(encode_page).collect();
        Ok(Response::new(ReadHistoryResponse { answers }))
    }

    async fn read_changes(
        &self,
        request: Request<ReadChangesRequest>,
    ) -> Result<Response<ReadChangesResponse>, Status> {
        let request = request.into_inner();
        let room_id = RoomId::new(request.room_id);
        let changes =
            ops::read_changes(&self.app, room_id, request.after_seq, request.up_to_seq).await?;
        Ok(Response::new(ReadChangesResponse {
            events: changes.events.into_iter().map(encode::event).collect(),
            complete_up_to_seq: changes.complete_up_to,
        }))
    }
}

fn encode_page(result: Result<PageResult, ErrorCode>) -> HistoryAnswer {
    let outcome = match result {
        Ok(PageResult::Page(Page { messages, has_more, last_seq })) => Outcome::Page(HistoryPage {
            messages: messages.into_iter().map(encode::message).collect(),
            has_more,
            last_seq: last_seq.unwrap_or(0),
        }),
        Ok(PageResult::Unchanged) => Outcome::Unchanged(UnchangedPage {}),
        Err(code) => Outcome::Error(code.name().to_owned()),
    };
    HistoryAnswer { outcome: Some(outcome) }
}
