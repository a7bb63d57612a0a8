//! The beginning of a connection: who is there, and whether there is a place.

use std::sync::Arc;
use std::time::Duration;

use parlance_core::ErrorCode;
use parlance_runtime::context::RequestContext;
use rand::Rng;
use tokio::net::TcpStream;

use crate::app::App;
use crate::auth::verifier::Identity;
use crate::limits::{ConnectionPermit, SocketPermit};
use crate::ws::frames::Frames;
use crate::ws::protocol::{Addition, ClientFrame, ErrorFrame, Request, refusal, success};
use crate::ws::send_queue::CloseCode;
use crate::ws::session::Session;
use crate::ws::socket::{Incoming, Socket};

/// How long a client may take to say who it is.
const AUTH_LIMIT: Duration = Duration::from_secs(10);

/// What is known of a socket when it opens, with its place among those of its kind.
pub(crate) enum Handshake {
    /// The upgrade brought a token.
    Authenticated(Arc<Identity>, ConnectionPermit),
    /// The first frame has to bring one.
    Anonymous(SocketPermit),
}

/// Serves a socket to its end. These bytes were read behind the handshake.
pub(crate) async fn serve(app: App, stream: TcpStream, read_ahead: Vec<u8>, entrance: Handshake) {
    let id: u64 = rand::rng().random();
    // What is asked of other services for this connection carries its id as the id of the request.
    let context = RequestContext::new(format!("ws-{id:016x}"));
    let stream = Arc::new(stream);
    let socket = Socket::new(stream.clone(), read_ahead, app.hub.send_queue(id, Some(stream)));
    let introduced = match entrance {
        Handshake::Authenticated(session, place) => {
            socket.send_queue().push(welcome(None, &session));
            Some((socket, session, place))
        }
        // In a box of its own, which takes no memory any more when it is over. Likewise below, and
        // in a connection.
        Handshake::Anonymous(place) => {
            Box::pin(context.clone().scope(authenticate_first(&app, socket, place))).await
        }
    };
    if let Some((socket, session, _place)) = introduced {
        Box::new(Session::new(app, context, socket, session)).run().await;
    }
}

/// Waits for the frame that says who is there. Nothing when the socket was closed instead. The
/// place is held until then.
async fn authenticate_first(
    app: &App,
    mut socket: Socket,
    _place: SocketPermit,
) -> Option<(Socket, Arc<Identity>, ConnectionPermit)> {
    let first = tokio::select! {
        first = tokio::time::timeout(AUTH_LIMIT, socket.read_frame()) => first,
        () = app.lifecycle.draining().cancelled() => {
            socket.close(CloseCode::RESTART).await;
            return None;
        }
    };
    let refused = match first {
        Err(_) => {
            socket.close(CloseCode::AUTH_TIMEOUT).await;
            return None;
        }
        Ok(Incoming::End | Incoming::Nothing) => return None,
        Ok(Incoming::TooBig) => {
            socket.close(CloseCode::TOO_BIG).await;
            return None;
        }
        Ok(Incoming::Frame(Ok(ClientFrame { reference, request: Request::Auth { token } }))) => {
            match admit(app, &token).await {
                Ok((session, place)) => {
                    socket.send_queue().push(welcome(reference.as_deref(), &session));
                    return Some((socket, session, place));
                }
                Err(code) => ErrorFrame::of_code(reference, code),
            }
        }
        // An `auth` frame without a token has its own sentence.
        Ok(Incoming::Frame(Err(refused))) if refused.code == ErrorCode::Unauthenticated => refused,
        Ok(Incoming::Frame(frame)) => {
            let reference = frame.map_or_else(|refused| refused.reference, |frame| frame.reference);
            let sentence = "Authentication required".to_owned();
            ErrorFrame { reference, code: ErrorCode::Unauthenticated, sentence }
        }
    };
    let may_come_back = matches!(refused.code, ErrorCode::Unavailable | ErrorCode::RateLimited);
    socket.send_queue().push(refusal(&refused));
    socket
        .close(if may_come_back { CloseCode::TRY_AGAIN } else { CloseCode::UNAUTHENTICATED })
        .await;
    None
}

/// The session of a token, and a place among the connections of its user.
async fn admit(app: &App, token: &str) -> Result<(Arc<Identity>, ConnectionPermit), ErrorCode> {
    let session = app.token_verifier.authenticate(token).await?;
    let place = app.limits.connect(session.user_id)?;
    Ok((session, place))
}

/// The answer to whoever has said who it is.
pub(crate) fn welcome(reference: Option<&str>, session: &Identity) -> Frames {
    let addition = Addition { user_id: Some(session.user_id.get()), ..Addition::default() };
    success(reference, "Authenticated successfully", addition)
}
