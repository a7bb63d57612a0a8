//! Compiles the .proto files with protox, so that no protoc has to be installed.

use std::path::PathBuf;

use prost::Message as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = ["auth", "contacts", "rooms", "messaging"]
        .map(|context| format!("parlance/{context}/v1/{context}.proto"));
    println!("cargo::rerun-if-changed=parlance");

    let descriptors = protox::compile(files, ["."])?;
    let descriptor_path = PathBuf::from(std::env::var("OUT_DIR")?).join("descriptors.bin");
    std::fs::write(descriptor_path, descriptors.encode_to_vec())?;

    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
