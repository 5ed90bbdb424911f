//! Compiles `proto/` with protox (no protoc needed) into Rust types, gRPC services and the
//! descriptor set that reflection, REST, OpenAPI and the mapping checks read at run time.

use std::{env, error::Error, fs, path::PathBuf};

const FILES: &[&str] = &["tongban/v1/gateway.proto", "tongban/v1/verification.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).include_source_info(true).open_files(FILES)?;
    // The encoded bytes keep the custom options, which prost-types would drop.
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("tongban.v1.bin"), compiler.encode_file_descriptor_set())?;
    tonic_prost_build::configure()
        .btree_map(".")
        .emit_rerun_if_changed(false)
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
