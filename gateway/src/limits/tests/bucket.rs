use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn taken(bucket: &mut TokenBucket, refill: Refill, now: Instant) -> usize {
    std::iter::from_fn(|| bucket.take(refill, now).then_some(())).take(1_000).count()
}

#[test]
fn a_burst_passes_at_once_and_no_more() {
    let (now, refill) = (Instant::now(), Refill::new(3, SECOND, 7));
    assert_eq!(taken(&mut TokenBucket::full(now), refill, now), 7);
}

#[test]
fn tokens_come_back_at_the_rate_up_to_the_burst() {
    let (start, refill) = (Instant::now(), Refill::new(4, SECOND, 10));
    let mut bucket = TokenBucket::full(start);
    taken(&mut bucket, refill, start);
    let later = start + Duration::from_secs(2);
    assert_eq!(taken(&mut bucket, refill, later), 8);
    assert_eq!(taken(&mut bucket, refill, later + refill.time_to_fill), 10);
    assert_eq!(taken(&mut bucket, refill, later + Duration::from_secs(3_600)), 10);
}

#[test]
fn a_refused_event_takes_no_token() {
    let (start, refill) = (Instant::now(), Refill::new(1, SECOND, 1));
    let mut bucket = TokenBucket::full(start);
    assert!(bucket.take(refill, start));
    assert!((0..100).all(|_| !bucket.take(refill, start)));
    assert!(bucket.take(refill, start + Duration::from_secs(1)));
}

#[test]
fn the_time_until_a_retry_suffices_for_a_token() {
    for (count, seconds) in [(1, 60), (7, 9), (60, 1), (120, 1), (1_000_000, 1)] {
        let (start, refill) = (Instant::now(), Refill::new(count, 60 * SECOND, 1));
        assert_eq!(refill.retry_after(), seconds * SECOND, "{count}");
        let mut bucket = TokenBucket::full(start);
        assert!(bucket.take(refill, start));
        assert!(bucket.take(refill, start + refill.retry_after()));
    }
}
