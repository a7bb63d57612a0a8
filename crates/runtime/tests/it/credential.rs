//! The secret that the programs present to each other.

use tonic::Code;

use crate::support::{Server, call, with_token};

const OLD: &str = "the-old-internal-token";
const NEW: &str = "the-new-internal-token";

#[tokio::test]
async fn each_of_several_tokens_is_accepted() {
    let server = Server::start(&with_token(&format!("{NEW},{OLD}"))).await;
    for accepted in [NEW, OLD] {
        assert_eq!(call(&server.client(&with_token(accepted)).await).await, Ok(()), "{accepted}");
    }
    for refused in ["another-internal-token", &format!("{NEW}x"), &NEW[1..]] {
        let result = call(&server.client(&with_token(refused)).await).await;
        assert_eq!(result, Err(Code::Unauthenticated), "{refused}");
    }
}

#[tokio::test]
async fn the_first_of_several_tokens_is_presented() {
    let server = Server::start(&with_token(NEW)).await;
    let result = call(&server.client(&with_token(&format!("{NEW},{OLD}"))).await).await;
    assert_eq!(result, Ok(()));
    let result = call(&server.client(&with_token(&format!("{OLD},{NEW}"))).await).await;
    assert_eq!(result, Err(Code::Unauthenticated));
}
