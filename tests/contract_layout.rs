//! The blocks of memory in which asynchronous functions get their parameters:
//! the SDK frees them, and has to know how large they are.

use std::collections::BTreeMap;
use std::path::Path;

use openline_sdk::freeing::{INSPECT_BLOCK, UPGRADE_BLOCK};
use wit_parser::abi::AbiVariant;
use wit_parser::{Resolve, SizeAlign, WorldItem};

#[test]
fn the_sdk_frees_the_parameters_of_exactly_the_exports_that_have_a_block() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
    let mut resolve = Resolve::default();
    resolve.push_path(folder).unwrap();
    let mut sizes = SizeAlign::default();
    sizes.fill(&resolve);
    let mut blocks = BTreeMap::new();
    for (_, world) in &resolve.worlds {
        for export in world.exports.values() {
            let WorldItem::Interface { id, .. } = export else {
                continue;
            };
            for function in resolve.interfaces[*id].functions.values() {
                let variant = AbiVariant::GuestExportAsync;
                let is_async = function.kind.is_async();
                if is_async && resolve.wasm_signature(variant, function).indirect_params {
                    let block = sizes.record(function.params.iter().map(|it| &it.ty));
                    let layout = (block.size.size_wasm32(), block.align.align_wasm32());
                    blocks.insert(function.name.clone(), layout);
                }
            }
        }
    }
    let expected = [("inspect", INSPECT_BLOCK), ("upgrade", UPGRADE_BLOCK)];
    let expected = expected.map(|(name, block)| (name.to_owned(), block));
    assert_eq!(blocks, BTreeMap::from(expected));
}
