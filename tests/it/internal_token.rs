//! A caller without the internal token gets nothing from the gRPC port of a service.

use std::time::Duration;

use parlance_devstack::Stack;
use prost::Message;
use prost_types::FileDescriptorSet;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};
use tonic_prost::ProstCodec;

use crate::support::on_own_stack;

const TOKEN: &str = "the-token-of-this-stack";
const SERVICES: [&str; 4] = ["auth", "contacts", "rooms", "messaging"];

/// Every method of a service, streams and the health and reflection services included, and methods
/// that do not exist.
fn methods(service: &str) -> Vec<String> {
    let descriptors = FileDescriptorSet::decode(parlance_proto::DESCRIPTORS).unwrap();
    let package = format!("parlance.{service}.v1");
    let mut methods = Vec::new();
    for file in descriptors.file.iter().filter(|file| file.package() == package) {
        for service in &file.service {
            let method = |name| format!("/{package}.{}/{name}", service.name());
            methods.extend(service.method.iter().map(|declared| method(declared.name())));
            methods.push(method("Unknown"));
        }
    }
    assert!(methods.len() > 2, "{methods:?}");
    methods.extend(
        ["/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"].map(str::to_owned),
    );
    methods.push("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo".to_owned());
    methods
}

/// Calls a method with an empty message.
async fn call(channel: &Channel, method: &str, authorization: Option<&str>) -> Code {
    let mut client = Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let mut request = Request::new(());
    request.set_timeout(Duration::from_secs(10));
    if let Some(value) = authorization {
        let value: AsciiMetadataValue = value.parse().unwrap();
        request.metadata_mut().insert("authorization", value);
    }
    let path = PathAndQuery::try_from(method).unwrap();
    let answer = client.server_streaming(request, path, ProstCodec::<(), ()>::default()).await;
    answer.map_or_else(|status| status.code(), |_| Code::Ok)
}

async fn connect(stack: &Stack, service: &str) -> Channel {
    let address = format!("http://{}", stack.address(service, 0));
    Endpoint::from_shared(address).unwrap().connect().await.unwrap()
}

#[tokio::test]
async fn every_grpc_method_refuses_calls_without_the_internal_token() {
    let builder = SERVICES
        .iter()
        .chain(&["gateway"])
        .fold(Stack::builder(), |builder, part| builder.environment(part, "INTERNAL_TOKEN", TOKEN));
    on_own_stack(builder, async |stack| {
        let good = format!("Bearer {TOKEN}");
        for service in SERVICES {
            let channel = connect(stack, service).await;
            for method in methods(service) {
                let shown = [
                    None,
                    Some(""),
                    Some(TOKEN),
                    Some("Bearer "),
                    Some("Bearer the-token-of-this-stac"),
                    Some("Bearer the-token-of-this-stack2"),
                    Some("Basic the-token-of-this-stack"),
                ];
                for authorization in shown {
                    let code = call(&channel, &method, authorization).await;
                    assert_eq!(code, Code::Unauthenticated, "{method} with {authorization:?}");
                }
            }
            for (method, code) in [
                ("/grpc.health.v1.Health/Check", Code::Ok),
                ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Code::Ok),
                ("/nowhere.v1.Nothing/Unknown", Code::Unimplemented),
            ] {
                assert_eq!(call(&channel, method, Some(&good)).await, code, "{method}");
            }
        }
    })
    .await;
}
