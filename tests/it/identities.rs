//! Identities that the host product brings: its users chat without registering.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use parlance_client::{Method, Request, endpoints};
use parlance_devstack::{Stack, TemporaryFolder};
use parlance_testkit::issuer::{Issuer, Key};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::{
    Api, Ended, Socket, assert_not_logged, eventually, log_everything, on_own_stack,
};

const SOON: Duration = Duration::from_secs(10);

fn claims(subject: &str) -> Value {
    #[expect(clippy::disallowed_methods, reason = "the processes use the clock of the machine")]
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    json!({
        "iss": "https://host.example",
        "aud": "parlance",
        "sub": subject,
        "preferred_username": subject,
        "iat": now,
        "exp": now + 60,
    })
}

/// Runs a test on a stack that trusts one issuer.
async fn with_issuer(test: impl AsyncFnOnce(&Stack, &Key, &Issuer)) {
    let key = Key::rsa("host-1").unwrap();
    let issuer = Issuer::start(&[&key]).await.unwrap();
    let folder = TemporaryFolder::new().unwrap();
    let file = folder.path().join("issuers.toml");
    let text = format!(
        "[[issuers]]\nname = \"host\"\nissuer = \"https://host.example\"\naudience = \"parlance\"\n\
        jwks_url = \"{}\"\nalgorithms = [\"RS256\"]\n",
        issuer.url
    );
    std::fs::write(&file, text).unwrap();
    let builder = Stack::builder().replicas(2).gateways(2);
    let builder = builder.environment("auth", "ISSUERS", file.to_str().unwrap());
    on_own_stack(log_everything(builder), async |stack| test(stack, &key, &issuer).await).await;
}

#[tokio::test]
async fn a_person_of_the_host_product_chats_and_the_session_ends() {
    with_issuer(async |stack, key, issuer| {
        let (here, there) = (Api::at(stack, 0), Api::at(stack, 1));
        // Each replica of auth learns of the keys by itself.
        let exchange = async |api: &Api, subject: &str| {
            api.send(endpoints::exchange(&key.token(&claims(subject)))).await.ok(200)
        };
        let anna = exchange(&here, "anna").await;
        assert_eq!(anna["user"]["username"], "anna");
        let again = exchange(&there, "anna").await;
        assert_eq!(again["user"], anna["user"]);
        let bert = exchange(&there, "bert").await;

        let text = |answer: &Value| answer["access_token"].as_str().unwrap().to_owned();
        let (anna, bert) = (text(&anna), text(&bert));
        let me = there.send(endpoints::me(&anna)).await.ok(200);
        assert_eq!(me, again["user"]);
        let mut socket = Socket::open(there.gateway, Some(&bert)).await;
        assert_eq!(socket.next().await["type"], "success");
        let invitation = here.send(endpoints::invite(&anna, "bert")).await.ok(200);
        let invitation_id = invitation["id"].as_i64().unwrap();
        there.send(endpoints::accept(&bert, invitation_id)).await.ok(200);
        here.send(endpoints::create_room(&anna, "Order", &["bert"])).await.ok(201);

        // The first password, just after the exchange.
        let body = json!({"new_password": "a secure enough one"});
        let request = Request::new(Method::PUT, "/v1/auth/password").json(&body).bearer(&anna);
        here.send(request).await.ok(204);
        here.send(endpoints::login("anna", "a secure enough one")).await.ok(200);
        let none = here.send(endpoints::login("bert", "a secure enough one")).await;
        none.refused(401, "invalid_credentials");

        here.send(endpoints::logout(&bert)).await.ok(204);
        let frame = socket.next().await;
        assert_eq!(frame["code"], "session_revoked");
        assert_eq!(socket.closed().await, Ended(Some(4403)));

        let wrong = Key::rsa("host-1").unwrap().token(&claims("anna"));
        here.send(endpoints::exchange(&wrong)).await.refused(401, "identity_refused");
        let nameless = |name: &str| {
            let mut claims = claims("nameless");
            claims["preferred_username"] = name.into();
            key.token(&claims)
        };
        let token = nameless("?!");
        here.send(endpoints::exchange(&token)).await.refused(409, "username_needed");
        here.send(endpoints::exchange_as(&token, "ANNA")).await.refused(400, "username_taken");
        here.send(endpoints::exchange_as(&token, "chosen")).await.ok(200);

        // A rotation of the keys of the issuer.
        let new = Key::p256("host-2").unwrap();
        issuer.publish(&[&new]);
        here.send(endpoints::exchange(&new.token(&claims("anna"))))
            .await
            .refused(401, "identity_refused");
        let new = Key::rsa("host-3").unwrap();
        issuer.publish(&[&new]);
        let is_accepted = async || {
            here.send(endpoints::exchange(&new.token(&claims("anna")))).await.status == 200
        };
        eventually(SOON * 3, "the new key is accepted", is_accepted).await;
    })
    .await;
}

#[tokio::test]
async fn no_log_has_a_token_of_the_host_product() {
    with_issuer(async |stack, key, _| {
        let api = Api::at(stack, 0);
        let accepted = key.token(&claims("anna"));
        let session = api.send(endpoints::exchange(&accepted)).await.ok(200);
        let mut late = claims("anna");
        late["exp"] = 1.into();
        let late = key.token(&late);
        api.send(endpoints::exchange(&late)).await.refused(401, "identity_refused");
        let forged = Key::rsa("host-1").unwrap().token(&claims("anna"));
        api.send(endpoints::exchange(&forged)).await.refused(401, "identity_refused");
        let malformed = "a-token-of-one-part";
        api.send(endpoints::exchange(malformed)).await.refused(401, "identity_refused");
        let signature = |token: &str| token.rsplit('.').next().unwrap().to_owned();
        let audited = assert_not_logged(
            stack,
            &[
                ("an accepted token", signature(&accepted)),
                ("an expired token", signature(&late)),
                ("a forged token", signature(&forged)),
                ("a malformed token", malformed.to_owned()),
                ("the access token", signature(session["access_token"].as_str().unwrap())),
            ],
        );
        assert!(audited > 0, "the exchange has been logged");
    })
    .await;
}

/// Without Python or OpenSSL the test says so and checks nothing.
#[tokio::test]
async fn the_script_of_the_page_on_embedding_runs_as_written() {
    for program in ["python3", "openssl"] {
        let output = Command::new(program).arg("--version").output().await;
        if !output.is_ok_and(|output| output.status.success()) {
            eprintln!("SKIPPED, because {program} is missing: the page on embedding");
            return;
        }
    }
    let folder = TemporaryFolder::new().unwrap();
    std::fs::write(folder.path().join("host.py"), script()).unwrap();
    host(folder.path(), &["keys"]).await;
    let file = folder.path().join("issuers.toml");
    let builder = Stack::builder().environment("auth", "ISSUERS", file.to_str().unwrap());
    on_own_stack(builder, async |stack| {
        let gateway = format!("http://{}", stack.address("gateway", 0));
        let printed = host(folder.path(), &["chat", &gateway]).await;
        assert_eq!(
            printed,
            "anna is anna at Parlance\nbert is bert at Parlance\nbert reads: Is it on its way?\n"
        );
    })
    .await;
}

/// The first block of Python on the page.
fn script() -> String {
    let page = include_str!("../../docs/embedding.md");
    let (_, rest) = page.split_once("```python\n").unwrap();
    rest.split_once("```").unwrap().0.to_owned()
}

async fn host(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("python3");
    command.arg("host.py").args(arguments).current_dir(folder).stdin(Stdio::null());
    let output = command.kill_on_drop(true).output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}
