//! The RPCs of `MessagingService`.

use std::net::SocketAddr;

use futures_util::stream::BoxStream;
use parlance_core::{MessageContent, MessageId, RoomId, UserId};
use parlance_proto::messaging::history_question::From as HistoryFrom;
use parlance_proto::messaging::messaging_service_server::{
    MessagingService, MessagingServiceServer,
};
use parlance_proto::messaging::{
    AttachRequest, AttachResponse, DeleteMessageRequest, DeleteMessageResponse, EditMessageRequest,
    EditMessageResponse, HistoryQuestion, ReadChangesRequest, ReadChangesResponse,
    ReadHistoryRequest, ReadHistoryResponse,
};
use parlance_runtime::error::{status, status_from_code};
use parlance_runtime::grpc::Credential;
use parlance_runtime::{Lifecycle, grpc};
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};

use super::{attach, encode};
use crate::app::App;
use crate::error::Error;
use crate::model::{PageFrom, PageQuestion};
use crate::ops;

/// Messages between gateway and replica carry batches: this is far above what a batch can be.
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
            .map_err(|_| status_from_code(parlance_core::ErrorCode::ContentInvalid, None))?;
        let (acting, message) =
            (UserId::new(request.acting_user_id), MessageId::new(request.message_id));
        let (message, change_seq) =
            ops::edit_message(&self.app, acting, message, &content).await.map_err(encode_error)?;
        Ok(Response::new(EditMessageResponse {
            message: Some(encode::message(&message)),
            change_seq,
        }))
    }

    async fn delete_message(
        &self,
        request: Request<DeleteMessageRequest>,
    ) -> Result<Response<DeleteMessageResponse>, Status> {
        let request = request.into_inner();
        let (acting, message) =
            (UserId::new(request.acting_user_id), MessageId::new(request.message_id));
        let (room_id, change_seq) =
            ops::delete_message(&self.app, acting, message).await.map_err(encode_error)?;
        Ok(Response::new(DeleteMessageResponse { room_id: room_id.get(), change_seq }))
    }

    async fn read_history(
        &self,
        request: Request<ReadHistoryRequest>,
    ) -> Result<Response<ReadHistoryResponse>, Status> {
        let questions = request.into_inner().questions.into_iter().map(decode_question).collect();
        let answers = ops::read_history(&self.app, questions).await.map_err(encode_error)?;
        Ok(Response::new(ReadHistoryResponse {
            answers: answers.into_iter().map(encode::history).collect(),
        }))
    }

    async fn read_changes(
        &self,
        request: Request<ReadChangesRequest>,
    ) -> Result<Response<ReadChangesResponse>, Status> {
        let request = request.into_inner();
        let room_id = RoomId::new(request.room_id);
        let changes = ops::read_changes(&self.app, room_id, request.after_seq, request.up_to_seq)
            .await
            .map_err(encode_error)?;
        let events = changes.events.iter().map(encode::event).collect();
        Ok(Response::new(ReadChangesResponse {
            events,
            complete_up_to_seq: changes.complete_up_to,
        }))
    }
}

fn decode_question(question: HistoryQuestion) -> PageQuestion {
    let from = match question.from {
        None => PageFrom::Newest,
        Some(HistoryFrom::BeforeId(id)) => PageFrom::Before(id),
        Some(HistoryFrom::AfterId(id)) => PageFrom::After(id),
    };
    let (acting, room_id) = (UserId::new(question.acting_user_id), RoomId::new(question.room_id));
    PageQuestion {
        acting,
        room_id,
        limit: question.limit,
        from,
        known_last_seq: question.known_last_seq,
    }
}

fn encode_error(error: Error) -> Status {
    status(&error)
}
