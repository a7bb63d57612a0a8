//! A trusted issuer of identities, as Keycloak or Auth0 is one: keys, tokens signed with them, and
//! a small HTTP server that publishes the keys, or misbehaves.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
    RSA_PSS_SHA256, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A private key of an issuer.
pub struct Key {
    /// Its id.
    pub kid: String,
    pair: Pair,
}

enum Pair {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Key {
    /// Makes an RSA key of 2048 bits, for `RS256` and `PS256`.
    pub fn rsa(kid: &str) -> anyhow::Result<Self> {
        let pair = RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048)?;
        Ok(Self { kid: kid.to_owned(), pair: Pair::Rsa(pair) })
    }

    /// Makes a P-256 key, for `ES256`.
    pub fn p256(kid: &str) -> anyhow::Result<Self> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
        Ok(Self { kid: kid.to_owned(), pair: Pair::P256(pair) })
    }

    /// Makes an Ed25519 key, for `EdDSA`.
    pub fn ed25519(kid: &str) -> anyhow::Result<Self> {
        Ok(Self { kid: kid.to_owned(), pair: Pair::Ed25519(Ed25519KeyPair::generate()?) })
    }

    /// The public key as a JSON Web Key (RFC 7517).
    pub fn jwk(&self) -> Value {
        let mut jwk = match &self.pair {
            Pair::Rsa(_) => {
                json!({"kty": "RSA", "n": encode(self.public_bytes()), "e": "AQAB"})
            }
            Pair::P256(_) => {
                let (x, y) = self.public_bytes().split_at(32);
                json!({"kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y)})
            }
            Pair::Ed25519(_) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": encode(self.public_bytes())})
            }
        };
        jwk["kid"] = self.kid.clone().into();
        jwk["use"] = "sig".into();
        jwk
    }

    /// The modulus, the two coordinates, or the key itself.
    pub fn public_bytes(&self) -> &[u8] {
        match &self.pair {
            // DER: the headers of a sequence and of an integer, a zero, the modulus, the exponent.
            Pair::Rsa(pair) => &pair.public_key().as_ref()[9..265],
            Pair::P256(pair) => &pair.public_key().as_ref()[1..],
            Pair::Ed25519(pair) => pair.public_key().as_ref(),
        }
    }

    /// Signs a token with the usual algorithm of the key: `RS256`, `ES256` or `EdDSA`.
    pub fn token(&self, claims: &Value) -> String {
        let algorithm = match self.pair {
            Pair::Rsa(_) => "RS256",
            Pair::P256(_) => "ES256",
            Pair::Ed25519(_) => "EdDSA",
        };
        self.token_with(&json!({"alg": algorithm, "kid": self.kid, "typ": "JWT"}), claims)
    }

    /// Signs a token with any header.
    pub fn token_with(&self, header: &Value, claims: &Value) -> String {
        let signed = unsigned(header, claims);
        let signature = self.sign(header["alg"] == "PS256", signed.as_bytes());
        format!("{signed}.{}", encode(&signature))
    }

    fn sign(&self, is_pss: bool, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair) => {
                let padding: &dyn aws_lc_rs::signature::RsaEncoding =
                    if is_pss { &RSA_PSS_SHA256 } else { &RSA_PKCS1_SHA256 };
                let mut signature = vec![0; pair.public_modulus_len()];
                let signed = pair.sign(padding, &random, message, &mut signature);
                signed.map(|()| signature).unwrap_or_default()
            }
            Pair::P256(pair) => {
                let signed = pair.sign(&random, message);
                signed.map(|signature| signature.as_ref().to_vec()).unwrap_or_default()
            }
            Pair::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }
}

/// The header and the claims of a token, without a signature.
pub fn unsigned(header: &Value, claims: &Value) -> String {
    format!("{}.{}", encode(header.to_string()), encode(claims.to_string()))
}

/// Base64url, as in tokens.
pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// How the server answers.
#[derive(Clone, Debug)]
pub enum Behaviour {
    /// Publishes a document.
    Document(Value),
    /// Publishes a text that need not be JSON.
    Text(String),
    /// Redirects to another URL.
    Redirect(String),
    /// Answers with this status, and the document of nobody.
    Status(u16),
    /// Sends the head of an answer and then a byte each second.
    Slow,
    /// Sends an answer of a hundred megabytes.
    Huge,
    /// Closes each connection at once.
    Away,
}

/// The server of an issuer. It ends when it is dropped.
pub struct Issuer {
    /// Where the keys are.
    pub url: String,
    state: Arc<State>,
    _server: JoinSet<()>,
}

struct State {
    behaviour: Mutex<Behaviour>,
    requests: AtomicUsize,
}

impl Issuer {
    /// Starts a server that publishes these keys.
    pub async fn start(keys: &[&Key]) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/keys", listener.local_addr()?);
        let state = Arc::new(State {
            behaviour: Mutex::new(Behaviour::Document(key_set(keys))),
            requests: AtomicUsize::new(0),
        });
        let mut server = JoinSet::new();
        server.spawn(serve(listener, state.clone()));
        Ok(Self { url, state, _server: server })
    }

    /// Publishes other keys.
    pub fn publish(&self, keys: &[&Key]) {
        self.behave(Behaviour::Document(key_set(keys)));
    }

    /// Answers in another way from now on.
    pub fn behave(&self, behaviour: Behaviour) {
        *self.state.behaviour.lock().unwrap_or_else(PoisonError::into_inner) = behaviour;
    }

    /// The number of requests so far.
    pub fn requests(&self) -> usize {
        self.state.requests.load(Ordering::SeqCst)
    }
}

/// A JSON Web Key Set.
pub fn key_set(keys: &[&Key]) -> Value {
    json!({"keys": keys.iter().map(|key| key.jwk()).collect::<Vec<_>>()})
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        state.requests.fetch_add(1, Ordering::SeqCst);
        let state = state.clone();
        // The client may go at any time.
        connections.spawn(async move { drop(answer(stream, &state).await) });
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(mut stream: TcpStream, state: &State) -> anyhow::Result<()> {
    let behaviour = state.behaviour.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if matches!(behaviour, Behaviour::Away) {
        return Ok(());
    }
    read_head(&mut stream).await?;
    let head = |status: u16, more: &str| {
        let cache = "Cache-Control: public, max-age=600";
        format!("HTTP/1.1 {status} x\r\nConnection: close\r\n{cache}\r\n{more}\r\n")
    };
    match behaviour {
        Behaviour::Document(document) => {
            let head = head(200, "Content-Type: application/json\r\n");
            stream.write_all(format!("{head}{document}").as_bytes()).await?;
        }
        Behaviour::Text(text) => {
            stream.write_all(format!("{}{text}", head(200, "")).as_bytes()).await?;
        }
        Behaviour::Redirect(url) => {
            stream.write_all(head(302, &format!("Location: {url}\r\n")).as_bytes()).await?;
        }
        Behaviour::Status(status) => stream.write_all(head(status, "").as_bytes()).await?,
        Behaviour::Slow => {
            stream.write_all(head(200, "").as_bytes()).await?;
            loop {
                stream.write_all(b" ").await?;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
        Behaviour::Huge => {
            stream.write_all(head(200, "").as_bytes()).await?;
            for _ in 0..100 {
                stream.write_all(&vec![b' '; 1_000_000]).await?;
            }
        }
        Behaviour::Away => (),
    }
    stream.shutdown().await?;
    Ok(())
}

async fn read_head(stream: &mut TcpStream) -> anyhow::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = stream.read_u8().await.context("the client has gone")?;
        head.push(byte);
    }
    Ok(())
}
