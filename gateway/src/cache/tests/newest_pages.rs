use super::*;

const KEY: Key = (1, 50);

fn page(content: &str) -> Page {
    let message = Message { content: content.to_owned(), ..Default::default() };
    Page::from(HistoryPage { messages: vec![message], has_more: false, last_seq: 1 })
}

#[test]
fn a_page_is_cached_for_a_limited_time() {
    let newest = Newest::new();
    newest.insert(KEY, Arc::new(page("hello")));
    assert!(newest.get(KEY).is_some());
    assert!(newest.get((1, 49)).is_none() && newest.get((2, 50)).is_none());

    let read_at = Instant::now().checked_sub(CACHED_FOR).unwrap();
    newest.insert(KEY, Arc::new(Page { read_at, ..page("hello") }));
    assert!(newest.get(KEY).is_none());
}

#[test]
fn cached_pages_take_bounded_memory() {
    let newest = Newest::new();
    let content = "x".repeat(100_000);
    for room in 0..1_000 {
        newest.insert((room, 50), Arc::new(page(&content)));
    }
    let cached = (0..1_000).filter(|&room| newest.get((room, 50)).is_some()).count() as u64;
    let limit = MAX_CACHED_BYTES / page(&content).weight;
    assert!((limit / 2..=limit).contains(&cached), "{cached} of {limit}");
}
