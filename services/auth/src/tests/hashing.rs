//! Hashing.

use super::*;

#[tokio::test]
async fn a_thread_survives_a_job_that_panics() {
    let threads = HashThreads::new(1).unwrap();
    threads.run(|| assert_eq!(1, 2)).await.unwrap_err();
    assert_eq!(threads.run(|| 3).await.unwrap(), 3);
}
