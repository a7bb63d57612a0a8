use parlance_proto::auth::ClientInfo;

use super::Client;

fn client(address: &str, user_agent: Option<&str>) -> Client {
    let user_agent = user_agent.map(str::to_owned);
    Some(ClientInfo { address: address.to_owned(), user_agent, ..ClientInfo::default() }).into()
}

#[test]
fn an_address_is_kept_as_a_bare_ip() {
    let kept = |address| client(address, None).address.map(|address| address.to_string());
    assert_eq!(kept("192.0.2.1").as_deref(), Some("192.0.2.1"));
    assert_eq!(kept("::ffff:192.0.2.1").as_deref(), Some("192.0.2.1"));
    assert_eq!(kept("2001:db8::1").as_deref(), Some("2001:db8::1"));
    assert_eq!(kept("192.0.2.1:80"), None);
    assert_eq!(kept(""), None);
}

#[test]
fn a_user_agent_has_at_most_512_characters_and_no_control_characters() {
    assert_eq!(client("", None).user_agent, None);
    assert_eq!(client("", Some("ä\0b\nc")).user_agent.as_deref(), Some("äbc"));
    let long = "ä".repeat(600);
    assert_eq!(client("", Some(&long)).user_agent, Some("ä".repeat(512)));
}
