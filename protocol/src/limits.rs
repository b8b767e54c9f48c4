//! Every bound of the protocol and of the formats, SPEC.md section 4.
//!
//! A length is compared with its bound before memory is taken for it.

/// Bytes of one component of an object path (the file systems' own bound).
pub const COMPONENT_BYTES_MAX: usize = 255;
/// Bytes of one object path or leaf key.
pub const PATH_BYTES_MAX: usize = 4096;
/// Components of one object path.
pub const PATH_DEPTH_MAX: usize = 64;
/// Bytes of one page of a manifest or node, as hashed.
pub const PAGE_BYTES_MAX: usize = 64 * 1024;
/// A page may end after an item whose name hash has this many low zero bits.
pub const PAGE_BOUNDARY_BITS: u32 = 8;
/// Contents of at least this many bytes are never inline in a bundle.
pub const LARGE_BYTES_MIN: u64 = 1024 * 1024;
/// Bytes of a chunk, at least, but for the last of a content.
pub const CHUNK_BYTES_MIN: usize = 32 * 1024;
/// Bytes of a chunk, on average.
pub const CHUNK_BYTES_AVERAGE: usize = 128 * 1024;
/// Bytes of a chunk, at most.
pub const CHUNK_BYTES_MAX: usize = 512 * 1024;
/// Chunks of one list.
pub const CHUNKS_MAX: usize = 512;
/// Bytes of content after which a list of chunks takes no more.
pub const CHUNK_SPAN_BYTES: u64 = 16 * 1024 * 1024;
/// Bytes of the contents of one request.
pub const CONTENTS_BYTES_MAX: u64 = 2 * 1024 * 1024;
/// Bytes of contents after which a bundle is closed, before compression.
pub const BUNDLE_BYTES: usize = 1024 * 1024;
/// Bytes of a pack before compression.
pub const PACK_RAW_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Items of a pack.
pub const PACK_ITEMS_MAX: usize = 1024 * 1024;
/// Bytes of a frame's payload.
pub const FRAME_BYTES_MAX: usize = 9 * 1024 * 1024;
/// Bytes of a request's payload: what a source takes from a peer at once.
pub const REQUEST_BYTES_MAX: usize = 1024 * 1024;
/// Leaves that one fetch may name.
pub const FETCH_LEAVES_MAX: usize = 4096;
/// Lists that one request may name.
pub const LISTS_MAX: usize = 4096;
/// Leaves of a node that are listed at once instead of its children.
pub const FRESH_LEAVES_MAX: usize = 4096;
/// Contents of a leaf that a fetch names as held, at most.
pub const HELD_MAX: usize = 256;
/// Ranges that one request for contents may name.
pub const RANGES_MAX: usize = 4096;
/// Leaves in one frame of a proof.
pub const PROOF_LEAVES_MAX: usize = 16 * 1024;
/// Leaves in one proof.
pub const PROOF_TOTAL_MAX: u64 = 64 * 1024 * 1024;
/// Leaves in a proof from a cursor that are in neither tree: they came and
/// went since.
pub const PASSING_LEAVES_MAX: u64 = 64 * 1024;
/// Volumes of which a peer is told the digests alone.
pub const BARE_VOLUMES_MAX: usize = 16 * 1024;
/// Patterns by which a replica names volumes or kinds, of each.
pub const PATTERNS_MAX: usize = 256;
/// Bytes of such a pattern.
pub const PATTERN_BYTES_MAX: usize = 240;
/// Requests that a source answers at once on one connection.
pub const STREAMS_MAX: u32 = 32;
/// Bytes of the window that a zstd frame declares.
pub const ZSTD_WINDOW_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Bytes of an error's text.
pub const ERROR_TEXT_BYTES_MAX: usize = 1024;
