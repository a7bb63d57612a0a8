//! A collector of traces that receives OTLP over gRPC.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

/// A running collector. Dropping it ends it.
pub(crate) struct Collector {
    pub(crate) address: SocketAddr,
    received: Received,
    _server: JoinSet<()>,
}

#[derive(Clone, Default)]
struct Received(Arc<Mutex<Vec<Span>>>);

/// A span, with the ids as in a `traceparent`.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) trace_id: String,
    pub(crate) id: String,
    /// Empty for the root of a trace.
    pub(crate) parent_id: String,
    pub(crate) name: String,
    pub(crate) kind: i32,
    /// In nanoseconds.
    pub(crate) begin: u64,
    pub(crate) end: u64,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) events: Vec<String>,
    /// The ids of linked spans.
    pub(crate) links: Vec<String>,
    /// The name of the program.
    pub(crate) service: String,
    /// The id of the process.
    pub(crate) instance: String,
}

impl Collector {
    pub(crate) async fn start() -> Self {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into()).await
    }

    pub(crate) async fn start_at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.expect("the port is free");
        let address = listener.local_addr().unwrap();
        let received = Received::default();
        let router = Server::builder().add_service(TraceServiceServer::new(received.clone()));
        let mut server = JoinSet::new();
        server.spawn(async move {
            router
                .serve_with_incoming(TcpIncoming::from(listener))
                .await
                .expect("the collector serves");
        });
        Self { address, received, _server: server }
    }

    /// All received spans.
    pub(crate) fn spans(&self) -> Vec<Span> {
        self.received.0.lock().unwrap().clone()
    }
}

#[tonic::async_trait]
impl TraceService for Received {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut spans = self.0.lock().unwrap();
        for group in request.into_inner().resource_spans {
            let resource = group.resource.unwrap_or_default();
            let received = group.scope_spans.into_iter().flat_map(|scope| scope.spans);
            spans.extend(received.map(|span| Span::new(span, &resource)));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Span {
    fn new(span: v1::Span, resource: &Resource) -> Self {
        let resource = texts(&resource.attributes);
        Self {
            trace_id: hex(&span.trace_id),
            id: hex(&span.span_id),
            parent_id: hex(&span.parent_span_id),
            name: span.name,
            kind: span.kind,
            begin: span.start_time_unix_nano,
            end: span.end_time_unix_nano,
            attributes: texts(&span.attributes),
            events: span.events.into_iter().map(|event| event.name).collect(),
            links: span.links.iter().map(|link| hex(&link.span_id)).collect(),
            service: resource["service.name"].clone(),
            instance: resource["service.instance.id"].clone(),
        }
    }
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |attribute: &KeyValue| match attribute
        .value
        .as_ref()
        .and_then(|value| value.value.as_ref())
    {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    attributes.iter().map(|attribute| (attribute.key.clone(), text(attribute))).collect()
}
