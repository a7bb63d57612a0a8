use http::HeaderValue;

use super::*;

#[test]
fn one_trace_that_a_client_marked_is_recorded_each_second() {
    let sampling = Sampling::new(0.0);
    let allowed = [0, 1, 999, 1_000, 1_500, 2_000, 9_000, 9_001]
        .map(|millis| sampling.allows_client_sampled_at(Duration::from_millis(millis)));
    assert_eq!(allowed, [true, false, false, true, false, true, true, false]);
}

#[test]
fn a_ratio_of_one_records_all_and_zero_records_none() {
    assert!((0..1_000).all(|_| Sampling::new(1.0).is_chosen()));
    assert!(!(0..1_000).any(|_| Sampling::new(0.0).is_chosen()));
}

#[test]
fn without_a_collector_no_trace_is_sampled() {
    let sampled =
        HeaderValue::from_static("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    let headers = HeaderMap::from_iter([("traceparent".parse().unwrap(), sampled)]);
    let mut passed_on = HeaderMap::new();
    Sampling::new(1.0).for_request(&headers).propagate(&mut passed_on);
    assert_eq!(passed_on["traceparent"], "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00");
    assert!(Sampling::new(1.0).for_frame().is_none());
}
