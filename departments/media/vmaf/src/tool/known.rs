//! The models that libvmaf carries, by version: length and BLAKE3 digest of their text, which is how they are recognised
//! inside a program that embeds them.

/// A published model.
pub(super) struct Known {
    pub(super) version: &'static str,
    pub(super) bytes: usize,
    pub(super) digest: &'static str,
}

const fn known(version: &'static str, bytes: usize, digest: &'static str) -> Known {
    Known { version, bytes, digest }
}

/// Models of libvmaf 3.2.
pub(super) const KNOWN: &[Known] = &[
    known("vmaf_v0.6.1", 19_101, "9ba968953f3d5e9845ddb3c1560d206336ab5bc0de9ee1d9a941ba5a39dac3e6"),
    known("vmaf_v0.6.1neg", 19_519, "551873f433b3dcfbcfe5a8794a442dd39cf1c6997cf34a6360ae9670546dca18"),
    known("vmaf_4k_v0.6.1", 22_910, "c2abb499f49ecb50d64d1b794fa49efee28d2d9678355bdba56bf4bb0f5808a7"),
    known("vmaf_4k_v0.6.1neg", 23_328, "27d36d08bf8980625c6cd7c639dabc0397bd55564eafceedf2083cdfdd068991"),
    known("vmaf_b_v0.6.3", 408_883, "bf5fa611de3ef221a97330006362246f8a9a816bc863a74e770f0a5bbe9164e8"),
    known("vmaf_float_v0.6.1", 19_045, "3caad220c14dd546bf2f2e4daa79fddf8d85c8a029b7410646dbbf1cc209371c"),
    known("vmaf_float_v0.6.1neg", 19_463, "5acb4a842db01343ebe52357dffdee6394110367fbba4cce9ac0dfa524df184e"),
    known("vmaf_float_4k_v0.6.1", 22_854, "f47e331a9278ca35d6bcd1901cf856d6b1d4926c177b4f9063e1acd5fec6e4df"),
    known("vmaf_float_b_v0.6.3", 407_707, "27643cdf7fe2acad633dffd3d2a38f1cd1c5a94b844ee3d3fdebf569e0d95b26"),
    known("vmaf_v1.0.16_3d0h", 14_696, "f0ed5a98dd62c451ffe59b92e6efbe42447d3e3c0615b9de20cb7775a3ee0665"),
    known("vmaf_v1.0.16_5d0h", 14_746, "a3f6503857a77e8c9c52a8533cf84b832da42432357873bf452b8cc7860d9b1f"),
    known(
        "vmaf_v1.0.16_1d5h_2160",
        14627,
        "16e96595dead43ecffd28f2419a02d6e43abb7c3fef20bbc346ae559a030343e",
    ),
    known(
        "vmaf_v1.0.16_3d0h_2160",
        14719,
        "187c5fd88ca31b5483aeab6291386ab4b1b455c437f8eaf456bf5ca005a43516",
    ),
    known(
        "vmaf_v1.0.16_hfr_3d0h",
        14_793,
        "e4e7187d7dd200e0fcc22a7f6afa21b2af0ec6300342e1de6da667fe5c670038",
    ),
    known(
        "vmaf_v1.0.16_hfr_5d0h",
        14_843,
        "a542196efc89284faceadae04f4d4cbe37be61ec010d514871fda863d1ebc88f",
    ),
    known(
        "vmaf_v1.0.16_hfr_1d5h_2160",
        14724,
        "bf249a84b14fbcb1a6e80a602ebc02a5db9679884e8fd9619fbc12f4e2b372ca",
    ),
    known(
        "vmaf_v1.0.16_hfr_3d0h_2160",
        14816,
        "61a6db4c24b5818723406fdbcf74a3db43c67a7a37f60fe8d7fc8693fe665359",
    ),
];
