use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use super::KeySet;

const X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

fn key(more: &Value) -> Value {
    let mut key = json!({"kty": "OKP", "crv": "Ed25519", "x": X, "kid": "k"});
    let members = more.as_object().unwrap().clone();
    key.as_object_mut().unwrap().extend(members);
    key
}

fn is_found(keys: &Value, algorithm: Algorithm) -> bool {
    let document = json!({"keys": keys}).to_string();
    KeySet::parse(document.as_bytes()).unwrap().find("k", algorithm).is_some()
}

#[test]
fn a_key_is_used_only_for_what_it_says_of_itself() {
    for more in [
        json!({}),
        json!({"use": "sig", "alg": "EdDSA"}),
        json!({"key_ops": ["verify"]}),
        json!({"x5t": "unknown", "more": [1]}),
    ] {
        assert!(is_found(&json!([key(&more)]), Algorithm::EdDSA), "{more}");
        assert!(!is_found(&json!([key(&more)]), Algorithm::ES256), "{more}");
        assert!(!is_found(&json!([key(&more)]), Algorithm::RS256), "{more}");
    }
    for more in [
        json!({"use": "enc"}),
        json!({"alg": "ES256"}),
        json!({"alg": "unheard-of"}),
        json!({"key_ops": ["encrypt"]}),
        json!({"kid": "other"}),
        json!({"kid": null}),
        json!({"crv": "X25519"}),
        json!({"kty": "unheard-of"}),
        json!({"x": "!"}),
    ] {
        assert!(!is_found(&json!([key(&more)]), Algorithm::EdDSA), "{more}");
    }
}

#[test]
fn keys_that_cannot_be_used_do_not_spoil_the_others() {
    let keys = json!([1, null, {}, {"kty": "EC", "kid": "k"}, key(&json!({}))]);
    assert!(is_found(&keys, Algorithm::EdDSA));
}
