use std::time::Duration;

use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderValue};

use super::max_age;

#[test]
fn the_age_of_a_document_is_read_from_cache_control() {
    let cases = [
        (&["public, max-age=600, must-revalidate"][..], Some(600)),
        (&["Max-Age=\"7\""], Some(7)),
        (&["public", "max-age=8"], Some(8)),
        (&["max-age=600", "no-cache"], Some(0)),
        (&["no-store"], Some(0)),
        (&["max-age=-1"], None),
        (&["max-age=x"], None),
        (&["s-maxage=9"], None),
        (&[], None),
    ];
    for (values, expected) in cases {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(CACHE_CONTROL, HeaderValue::from_static(value));
        }
        assert_eq!(max_age(&headers), expected.map(Duration::from_secs), "{values:?}");
    }
}
