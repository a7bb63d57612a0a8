//! The key ring.

use super::*;

/// The example of RFC 8037, appendix A.3.
#[test]
fn a_kid_is_the_thumbprint_of_the_key() {
    let public_key = URL_SAFE_NO_PAD.decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").unwrap();
    assert_eq!(thumbprint(&public_key), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}
