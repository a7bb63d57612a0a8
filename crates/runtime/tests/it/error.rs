//! The table of error codes.

use std::time::Duration;

use parlance_core::ErrorCode;
use parlance_runtime::error::{
    code_from_status, mapping, retry_after_from_status, status_from_code,
};
use tonic::{Code, Status};

#[test]
fn every_code_survives_a_round_trip_through_grpc() {
    for &code in ErrorCode::ALL {
        let status = status_from_code(code, Some(Duration::from_secs(3)));
        assert_eq!(code_from_status(&status), code);
        assert_eq!(retry_after_from_status(&status), Some(Duration::from_secs(3)));
    }
}

#[test]
fn every_code_is_an_error_in_grpc_and_in_http() {
    for &code in ErrorCode::ALL {
        let (grpc, http) = mapping(code);
        assert_ne!(grpc, Code::Ok);
        assert!(http.is_client_error() || http.is_server_error());
    }
}

#[test]
fn the_documentation_lists_every_code_with_its_mapping() {
    let page = include_str!("../../../../docs/errors.md");
    for &code in ErrorCode::ALL {
        let (grpc, http) = mapping(code);
        let row = format!("| `{}` | {} | {grpc:?} | ", code.name(), http.as_u16());
        assert!(page.contains(&row), "docs/errors.md has no row {row}");
    }
}

#[test]
fn a_lost_connection_and_a_call_of_a_later_version_are_unavailable_and_the_rest_is_internal() {
    assert_eq!(code_from_status(&Status::unavailable("")), ErrorCode::Unavailable);
    assert_eq!(code_from_status(&Status::deadline_exceeded("")), ErrorCode::Unavailable);
    assert_eq!(code_from_status(&Status::unimplemented("")), ErrorCode::Unavailable);
    assert_eq!(code_from_status(&Status::unknown("")), ErrorCode::Internal);
}
