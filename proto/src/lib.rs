//! The gRPC contracts between the parts of Parlance. The `.proto` files are the reference;
//! everything here is generated from them, but for [`is_idempotent`], which reads their
//! `idempotency_level`.

use std::collections::HashSet;
use std::sync::LazyLock;

use prost::Message as _;
use prost_types::FileDescriptorSet;
use prost_types::method_options::IdempotencyLevel;

/// Declares the module of one package of generated code.
macro_rules! package {
    ($context:ident, $name:literal, $doc:literal) => {
        #[doc = $doc]
        pub mod $context {
            tonic::include_proto!($name);
        }
    };
}

package!(auth, "parlance.auth.v1", "Users, password hashes, signing keys and tokens.");
package!(contacts, "parlance.contacts.v1", "Invitations and contacts.");
package!(rooms, "parlance.rooms.v1", "Rooms and memberships.");
package!(messaging, "parlance.messaging.v1", "Messages, their order and live events.");

/// All packages as an encoded `FileDescriptorSet`, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// Whether calling the method at `path` (`/parlance.auth.v1.AuthService/GetUsers`) twice is the
/// same as calling it once, as its `idempotency_level` says. Only such calls may be repeated when
/// it is not known whether the first one arrived.
pub fn is_idempotent(path: &str) -> bool {
    static PATHS: LazyLock<HashSet<String>> = LazyLock::new(idempotent_paths);
    PATHS.contains(path)
}

fn idempotent_paths() -> HashSet<String> {
    #[expect(clippy::expect_used, reason = "the bytes are compiled in and a test reads them")]
    let descriptors =
        FileDescriptorSet::decode(DESCRIPTORS).expect("the compiled-in descriptors are valid");
    let mut paths = HashSet::new();
    for file in &descriptors.file {
        for service in &file.service {
            for method in &service.method {
                let level = method.options.as_ref().map(|options| options.idempotency_level());
                if matches!(
                    level,
                    Some(IdempotencyLevel::NoSideEffects | IdempotencyLevel::Idempotent)
                ) {
                    paths.insert(format!(
                        "/{}.{}/{}",
                        file.package(),
                        service.name(),
                        method.name()
                    ));
                }
            }
        }
    }
    paths
}

#[cfg(test)]
#[path = "tests/lib.rs"]
mod tests;
