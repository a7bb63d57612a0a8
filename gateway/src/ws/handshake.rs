//! Authenticates a new socket and takes its place among the connections of its user.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parlance_core::ErrorCode;
use parlance_runtime::context::RequestContext;
use rand::Rng;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::app::App;
use crate::auth::identity::Identity;
use crate::limits::{ConnectionPermit, SocketPermit};
use crate::ws::close_code::CloseCode;
use crate::ws::protocol::{ClientFrame, ErrorFrame, Request, authenticated};
use crate::ws::session::Session;
use crate::ws::socket::{Incoming, Socket};

/// How long a client may take to send its token.
const AUTH_TIMEOUT: Duration = Duration::from_secs(10);

/// A new socket and its place among the sockets of its kind.
pub(super) enum Handshake {
    /// The HTTP request had a token.
    Authenticated(Arc<Identity>, ConnectionPermit),
    /// The first frame has to have one.
    Anonymous(SocketPermit),
}

/// Serves a socket until it is closed. `read_ahead` was read behind the HTTP request.
pub(super) async fn serve(app: App, stream: TcpStream, read_ahead: Bytes, handshake: Handshake) {
    let id: u64 = rand::rng().random();
    // The connection id is the request id of its calls to services.
    let context = RequestContext::new(format!("ws-{id:016x}"));
    let stream = Arc::new(stream);
    let mut socket = Socket::new(stream.clone(), read_ahead, app.hub.send_queue(id, Some(stream)));
    let (identity, _place) = match handshake {
        Handshake::Authenticated(identity, place) => {
            socket.send_queue().push(authenticated(None, identity.user_id));
            (identity, place)
        }
        Handshake::Anonymous(place) => {
            // Boxed, so that the memory is freed afterwards.
            let result = Box::pin(context.clone().scope(first_frame(&app, &mut socket))).await;
            drop(place);
            match result {
                Ok(authenticated) => authenticated,
                Err(None) => return,
                Err(Some(code)) => return Box::pin(socket.close(code)).await,
            }
        }
    };
    Box::new(Session::new(app, context, socket, identity)).run().await;
}

/// Reads the first frame and authenticates its token. An error is the code to close with, or none
/// if the client is gone.
async fn first_frame(
    app: &App,
    socket: &mut Socket,
) -> Result<(Arc<Identity>, ConnectionPermit), Option<CloseCode>> {
    let frame = async {
        loop {
            match socket.read().await {
                Incoming::KeepAlive => {}
                Incoming::End => return Err(None),
                Incoming::TooBig => return Err(Some(CloseCode::TOO_BIG)),
                Incoming::Close(code) => return Err(Some(code)),
                Incoming::Frame(frame) => return Ok(frame),
            }
        }
    };
    let frame = tokio::select! {
        frame = timeout(AUTH_TIMEOUT, frame) => frame.map_err(|_| Some(CloseCode::AUTH_TIMEOUT))??,
        () = app.lifecycle.draining().cancelled() => return Err(Some(CloseCode::RESTART)),
    };
    let error = match frame {
        Ok(ClientFrame { reference, request: Request::Auth { token } }) => {
            match connect(app, &token).await {
                Ok((identity, place)) => {
                    let answer = authenticated(reference.as_deref(), identity.user_id);
                    socket.send_queue().push(answer);
                    return Ok((identity, place));
                }
                Err(code) => ErrorFrame::new(reference, code),
            }
        }
        // An `auth` frame without a token has its own sentence.
        Err(error) if error.code == ErrorCode::Unauthenticated => error,
        frame => {
            let reference = frame.map_or_else(|error| error.reference, |frame| frame.reference);
            let sentence = "Authentication required";
            ErrorFrame::with_sentence(reference, ErrorCode::Unauthenticated, sentence)
        }
    };
    socket.send_queue().push(error.encode());
    let may_retry = matches!(error.code, ErrorCode::Unavailable | ErrorCode::RateLimited);
    Err(Some(if may_retry {
        CloseCode::TRY_AGAIN
    } else {
        CloseCode::for_refused_token(error.code)
    }))
}

/// Authenticates a token and takes a place among the connections of its user.
pub(super) async fn connect(
    app: &App,
    token: &str,
) -> Result<(Arc<Identity>, ConnectionPermit), ErrorCode> {
    let identity = app.token_verifier.authenticate(token).await?;
    let place = app.limits.connect(identity.user_id)?;
    Ok((identity, place))
}
