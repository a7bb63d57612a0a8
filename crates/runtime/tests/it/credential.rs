//! The secret that the parts show each other.

use tonic::Code;

use crate::support::{Server, ask, of_token};

const OLD: &str = "the-old-internal-token";
const NEW: &str = "the-new-internal-token";

#[tokio::test]
async fn of_several_tokens_each_is_accepted() {
    let server = Server::start(&of_token(&format!("{NEW},{OLD}"))).await;
    for accepted in [NEW, OLD] {
        assert_eq!(ask(&server.client(&of_token(accepted)).await).await, Ok(()), "{accepted}");
    }
    for refused in ["another-internal-token", &format!("{NEW}x"), &NEW[1..]] {
        let answer = ask(&server.client(&of_token(refused)).await).await;
        assert_eq!(answer, Err(Code::Unauthenticated), "{refused}");
    }
}

#[tokio::test]
async fn of_several_tokens_the_first_is_shown() {
    let server = Server::start(&of_token(NEW)).await;
    let answer = ask(&server.client(&of_token(&format!("{NEW},{OLD}"))).await).await;
    assert_eq!(answer, Ok(()));
    let answer = ask(&server.client(&of_token(&format!("{OLD},{NEW}"))).await).await;
    assert_eq!(answer, Err(Code::Unauthenticated));
}
