//! Large contents on their way in: only the chunks that are not there yet are
//! asked for, each is checked before it is stored, and the whole before it is
//! referred to.
//!
//! Keeps the invariant that a chunk which was stored stays findable: until its
//! content is whole it is listed in the leaf's staged record, and so is what
//! an earlier attempt left.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use hikae_protocol::chunk::{Chunk, check_chunks};
use hikae_protocol::digest::Digest;
use hikae_protocol::frame::{Frame, FrameKind};
use hikae_protocol::limits::{BUNDLE_BYTES, CHUNK_BYTES_AVERAGE, CHUNK_SPAN_BYTES};
use hikae_protocol::message::{ChunkAt, ChunkList, Chunks, DeltaEntry, Range};
use hikae_protocol::objectpath::LeafKey;
use hikae_protocol::pack::Pack;
use tokio::sync::SemaphorePermit;

use super::contents::{Gathering, unpacked};
use super::incoming::Incoming;
use super::link::LinkError;
use super::replica::{Round, blocking};
use super::report::{Done, PullError};
use crate::catalogue::{
    Catalogue, CatalogueError, ChunkPages, ChunkRecord, ContentPlace, RecordPlace,
};

/// About how many bytes of a list are one chunk.
const LISTED_BYTES: u64 = 36;
/// Chunks of a leaf's earlier contents that are remembered, at most.
const KNOWN_MAX: usize = 256 * 1024;

/// How far a content is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Arrival {
    /// Chunks are missing, or were not looked at yet.
    Open,
    /// All are there, and are what was proven.
    Whole,
    /// The source can't hand it out.
    Lacking,
}

/// A large content whose chunks are looked at in order.
struct Large {
    entry: DeltaEntry,
    hasher: blake3::Hasher,
    bytes: u64,
    chunks: Vec<ChunkRecord>,
    arrival: Arrival,
    /// Bytes of it that came over the link.
    received: u64,
    /// What its list said when it was last written.
    written: Option<(Arrival, usize)>,
}

/// Chunks of one content that follow each other, about a request's worth.
struct Batch {
    file: usize,
    offset: u64,
    /// None: the source can't hand the content out.
    chunks: Vec<Chunk>,
}

/// A batch, and what came of it.
struct Piece {
    batch: Batch,
    /// Chunks that were asked for, by their place in the batch.
    asked: Vec<usize>,
    answer: Option<Pack>,
    /// How many were looked at.
    at: usize,
    /// One that the store has could not be read, and was asked for anew.
    again: bool,
}

/// The large contents of a leaf.
pub(super) struct Assembly {
    catalogue: Arc<Catalogue>,
    key: LeafKey,
    files: Vec<Large>,
    /// Chunks that rest in the store.
    known: HashMap<Digest, ChunkRecord>,
    /// Chunks that were asked for.
    asked: HashSet<Digest>,
    /// Chunks that no leaf of the tree has: an earlier attempt left them.
    kept: Vec<ChunkRecord>,
    pages: ChunkPages,
}

impl Batch {
    /// Cuts a list, which begins at byte `offset` of a content.
    fn cut(file: usize, mut offset: u64, chunks: &[Chunk]) -> Vec<Batch> {
        let mut batches: Vec<Batch> = Vec::new();
        let mut bytes = 0;
        for chunk in chunks {
            bytes += chunk.bytes as usize;
            match batches.last_mut() {
                Some(batch) if bytes <= BUNDLE_BYTES => batch.chunks.push(*chunk),
                _ => {
                    bytes = chunk.bytes as usize;
                    let chunks = vec![*chunk];
                    batches.push(Batch {
                        file,
                        offset,
                        chunks,
                    });
                }
            }
            offset += u64::from(chunk.bytes);
        }
        batches
    }
}

impl Piece {
    /// Bytes of what is to be asked for.
    fn bytes(&self) -> u64 {
        let chunks = self.asked.iter().map(|&at| self.batch.chunks[at]);
        chunks.map(|chunk| u64::from(chunk.bytes)).sum()
    }

    /// The ranges that are to be asked for.
    fn ranges(&self, entry: &DeltaEntry) -> Vec<Range> {
        let mut offset = self.batch.offset;
        let places = self.batch.chunks.iter().map(|&chunk| {
            let at = ChunkAt { offset, chunk };
            offset += u64::from(chunk.bytes);
            at
        });
        let places: Vec<ChunkAt> = places.collect();
        let asked = self.asked.iter().filter_map(|&at| places.get(at));
        asked
            .map(|&at| Range {
                path: entry.entry.path.clone(),
                digest: entry.entry.digest,
                chunk: Some(at),
            })
            .collect()
    }
}

impl Assembly {
    /// The contents `wanted` of a leaf, of which nothing was looked at yet.
    fn new(catalogue: Arc<Catalogue>, leaf: &Incoming, wanted: Vec<DeltaEntry>) -> Assembly {
        let files = wanted.into_iter().map(|entry| Large {
            entry,
            hasher: blake3::Hasher::new(),
            bytes: 0,
            chunks: vec![],
            arrival: Arrival::Open,
            received: 0,
            written: None,
        });
        let mut assembly = Assembly {
            catalogue,
            key: leaf.wanted.key.clone(),
            files: files.collect(),
            known: HashMap::new(),
            asked: HashSet::new(),
            kept: vec![],
            pages: ChunkPages::default(),
        };
        for (place, in_tree) in leaf.chunked() {
            assembly.learn(place, in_tree);
        }
        assembly
    }

    /// Remembers the chunks of an earlier content.
    fn learn(&mut self, place: ContentPlace, in_tree: bool) {
        if self.known.len() >= KNOWN_MAX {
            return;
        }
        let chunks = match self.catalogue.chunks(place, &mut self.pages) {
            Ok(chunks) => chunks,
            Err(error) => {
                // Its chunks are asked for anew.
                tracing::warn!(leaf = %self.key.text(), %error, "a list of chunks can't be read");
                return;
            }
        };
        for chunk in chunks {
            if self.known.insert(chunk.chunk.digest, chunk).is_none() && !in_tree {
                self.kept.push(chunk);
            }
        }
    }

    /// The chunks of a batch that nobody has or asked for.
    fn claim(&mut self, batch: &Batch) -> Vec<usize> {
        if self.files[batch.file].arrival == Arrival::Lacking {
            return vec![];
        }
        let chunks = batch.chunks.iter().enumerate();
        let missing = chunks.filter(|(_, chunk)| {
            !self.known.contains_key(&chunk.digest) && self.asked.insert(chunk.digest)
        });
        missing.map(|(at, _)| at).collect()
    }

    fn fault(&self, file: usize, what: impl std::fmt::Display) -> PullError {
        let path = &self.files[file].entry.entry.path;
        PullError::Fault(format!("{}/{}: {what}", self.key.text(), path.text()))
    }

    /// Takes what came of a batch, and looks at its chunks in order. Says
    /// which of them has to be asked for, if one is not there after all.
    fn take(&mut self, piece: &mut Piece) -> Result<Option<usize>, PullError> {
        let at = piece.batch.file;
        if let Some(pack) = piece.answer.take() {
            self.accept(piece, &pack)?;
        }
        if piece.batch.chunks.is_empty() {
            self.files[at].arrival = Arrival::Lacking;
        }
        while let Some(chunk) = piece.batch.chunks.get(piece.at) {
            let file = &mut self.files[at];
            if file.arrival == Arrival::Lacking {
                return Ok(None);
            }
            let record = self.known.get(&chunk.digest);
            let record = record.filter(|record| record.chunk.bytes == chunk.bytes);
            let read = record.map(|record| {
                self.catalogue.chunk(record, |bytes| {
                    file.hasher.update(bytes);
                    Ok::<(), CatalogueError>(())
                })
            });
            match (record, read) {
                (Some(record), Some(Ok(()))) => file.chunks.push(*record),
                (_, Some(Err(error))) if piece.again => return Err(error.into()),
                _ if piece.again => return Err(self.fault(at, "a chunk of another length")),
                _ => return Ok(Some(piece.at)),
            }
            file.bytes += u64::from(chunk.bytes);
            piece.at += 1;
            piece.again = false;
        }
        self.conclude(at);
        Ok(None)
    }

    /// Checks and stores what came.
    fn accept(&mut self, piece: &Piece, pack: &Pack) -> Result<(), PullError> {
        let file = piece.batch.file;
        let items = unpacked(pack)?;
        if items.len() != piece.asked.len() {
            return Err(self.fault(file, "fewer chunks than were asked for"));
        }
        let mut came = Vec::new();
        for (index, (item, at)) in (0..).zip(items.iter().zip(&piece.asked)) {
            let chunk = piece.batch.chunks[*at];
            if item.is_empty() {
                self.files[file].arrival = Arrival::Lacking;
            } else if item.len() != chunk.bytes as usize || Digest::of_content(item) != chunk.digest
            {
                return Err(self.fault(file, "a chunk that is not the listed one"));
            } else {
                came.push((chunk, index));
            }
        }
        if came.is_empty() {
            return Ok(());
        }
        let block = self.catalogue.append_contents(pack)?;
        for (chunk, index) in came {
            let place = RecordPlace { block, index };
            let record = ChunkRecord { chunk, place };
            self.known.insert(chunk.digest, record);
            self.files[file].received += u64::from(chunk.bytes);
        }
        Ok(())
    }

    /// Believes a content that is there to its end, or not.
    fn conclude(&mut self, at: usize) {
        let file = &mut self.files[at];
        if file.arrival != Arrival::Open || file.bytes != file.entry.entry.size {
            return;
        }
        if Digest::from(file.hasher.clone()) == file.entry.entry.digest {
            file.arrival = Arrival::Whole;
            return;
        }
        // The file changed while it was cut, or the list is a lie; the one
        // can't be told from the other.
        let path = file.entry.entry.path.text();
        tracing::warn!(leaf = %self.key.text(), %path, "its chunks do not give the proven content");
        file.arrival = Arrival::Lacking;
        file.chunks.clear();
    }

    /// Writes the lists of what came since the last call, and tells the leaf.
    /// The first content that is not whole keeps what is left of an earlier
    /// attempt, too.
    fn write(&mut self) -> Result<Vec<(Digest, ContentPlace)>, PullError> {
        let mut kept = Some(std::mem::take(&mut self.kept));
        let (mut lists, mut of) = (Vec::new(), Vec::new());
        for (at, file) in self.files.iter_mut().enumerate() {
            let mut list = file.chunks.clone();
            if file.arrival != Arrival::Whole
                && let Some(left) = kept.take()
            {
                let own: HashSet<Digest> = list.iter().map(|chunk| chunk.chunk.digest).collect();
                let left = left.into_iter();
                self.kept = left
                    .filter(|chunk| !own.contains(&chunk.chunk.digest))
                    .collect();
                list.extend(&self.kept);
            }
            let state = Some((file.arrival, list.len()));
            if !list.is_empty() && file.written != state {
                file.written = state;
                lists.push(list);
                of.push(at);
            }
        }
        let lists: Vec<&[ChunkRecord]> = lists.iter().map(Vec::as_slice).collect();
        let places = self.catalogue.append_chunk_lists(&lists, &mut self.pages)?;
        let places = of.into_iter().zip(places);
        Ok(places
            .map(|(at, RecordPlace { block, index })| {
                let file = &self.files[at];
                let place = match file.arrival {
                    Arrival::Whole => ContentPlace::Chunks { block, index },
                    _ => ContentPlace::Partial { block, index },
                };
                (file.entry.entry.digest, place)
            })
            .collect())
    }

    fn received(&self) -> u64 {
        self.files.iter().map(|file| file.received).sum()
    }
}

/// Shared by what asks and what takes; never held while waiting.
type Shared = Arc<Mutex<Assembly>>;

fn locked(assembly: &Shared) -> MutexGuard<'_, Assembly> {
    assembly.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Round<'_> {
    /// Fetches large contents of a leaf.
    pub(super) async fn large(
        &self,
        gathering: &mut Gathering,
        wanted: Vec<DeltaEntry>,
        done: &mut Done,
    ) -> Result<(), PullError> {
        if wanted.is_empty() {
            return Ok(());
        }
        let assembly = Assembly::new(self.catalogue.clone(), &gathering.leaf, wanted);
        let assembly = Arc::new(Mutex::new(assembly));
        let result = self.assemble(&assembly, gathering, done).await;
        // However it ended: what came is not asked for again.
        self.write_lists(&assembly, gathering).await?;
        for file in &locked(&assembly).files {
            let digest = file.entry.entry.digest;
            match (file.arrival, file.received) {
                (Arrival::Whole, 0) => done.referenced += 1,
                (Arrival::Whole, _) => done.received += 1,
                (Arrival::Lacking, _) => gathering.leaf.stored(digest, ContentPlace::Lacking),
                (Arrival::Open, _) => {}
            }
            done.bytes += file.received;
        }
        result
    }

    async fn assemble(
        &self,
        assembly: &Shared,
        gathering: &mut Gathering,
        done: &mut Done,
    ) -> Result<(), PullError> {
        let key = gathering.leaf.wanted.key.clone();
        let entries: Vec<DeltaEntry> = {
            let assembly = locked(assembly);
            assembly
                .files
                .iter()
                .map(|file| file.entry.clone())
                .collect()
        };
        let of = (&key, &entries[..]);
        let mut pieces = self.pieces(of, assembly);
        while let Some((mut piece, _room)) = pieces.try_next().await? {
            done.requests += u64::from(piece.answer.is_some());
            let before = locked(assembly).received();
            while let Some(missing) = self.take(&mut piece, assembly).await? {
                (piece.asked, piece.again) = (vec![missing], true);
                piece = self.fetch(of, piece).await?;
                done.requests += 1;
            }
            gathering.unstaged += locked(assembly).received() - before;
            if gathering.is_due() {
                self.write_lists(assembly, gathering).await?;
                self.stage(gathering).await?;
            }
        }
        Ok(())
    }

    /// What comes of all batches, in order, each in the room that it has.
    fn pieces<'a>(
        &'a self,
        (key, entries): (&'a LeafKey, &'a [DeltaEntry]),
        assembly: &'a Shared,
    ) -> BoxStream<'a, Result<(Piece, SemaphorePermit<'a>), PullError>> {
        let lists = stream::iter(0..entries.len())
            .flat_map(move |file| self.cuts((key, &entries[file]), file, assembly));
        let batches = lists
            .map_ok(|batches| stream::iter(batches.into_iter().map(Ok)))
            .try_flatten();
        let pieces = batches.map_ok(move |batch| {
            let asked = locked(assembly).claim(&batch);
            let piece = Piece {
                batch,
                asked,
                answer: None,
                at: 0,
                again: false,
            };
            // The first of a leaf has room before those behind it, so it never
            // waits for them.
            async move {
                let room = self.room.acquire().await;
                let room = room.map_err(|error| PullError::Task(error.to_string()))?;
                Ok((self.fetch((key, entries), piece).await?, room))
            }
        });
        pieces.try_buffered(self.links.requests()).boxed()
    }

    /// The batches of one content, list by list.
    fn cuts<'a>(
        &'a self,
        (key, entry): (&'a LeafKey, &'a DeltaEntry),
        file: usize,
        assembly: &'a Shared,
    ) -> BoxStream<'a, Result<Vec<Batch>, PullError>> {
        let lists = stream::try_unfold(0, move |from| async move {
            let size = entry.entry.size;
            if from >= size || locked(assembly).files[file].arrival != Arrival::Open {
                return Ok(None);
            }
            let chunks = self.chunk_list(key, entry, from).await?;
            let end = check_chunks(&chunks, from, size);
            let end = end.map_err(|error| locked(assembly).fault(file, error))?;
            if chunks.is_empty() {
                let lacking = Batch {
                    file,
                    offset: from,
                    chunks,
                };
                return Ok(Some((vec![lacking], size)));
            }
            Ok(Some((Batch::cut(file, from, &chunks), end)))
        });
        lists.boxed()
    }

    async fn chunk_list(
        &self,
        key: &LeafKey,
        entry: &DeltaEntry,
        from: u64,
    ) -> Result<Vec<Chunk>, PullError> {
        let wanted = Chunks {
            to: self.to,
            key: key.clone(),
            path: entry.entry.path.clone(),
            digest: entry.entry.digest,
            from,
        };
        let frame = Frame::message(FrameKind::Chunks, &wanted).map_err(LinkError::from)?;
        let span = CHUNK_SPAN_BYTES.min(entry.entry.size - from);
        let bytes = (span / CHUNK_BYTES_AVERAGE as u64 + 1) * LISTED_BYTES;
        let answer = self.ask(&frame, FrameKind::ChunkList, bytes).await?;
        let list: ChunkList = answer.decode().map_err(LinkError::from)?;
        Ok(list.chunks)
    }

    fn fetch<'a>(
        &'a self,
        (key, entries): (&'a LeafKey, &'a [DeltaEntry]),
        mut piece: Piece,
    ) -> BoxFuture<'a, Result<Piece, PullError>> {
        let fetched = async move {
            if !piece.asked.is_empty() {
                let ranges = piece.ranges(&entries[piece.batch.file]);
                let bytes = piece.bytes();
                piece.answer = Some(self.ranges(key, ranges, bytes).await?);
            }
            Ok(piece)
        };
        fetched.boxed()
    }

    async fn take(&self, piece: &mut Piece, assembly: &Shared) -> Result<Option<usize>, PullError> {
        let nothing = Batch {
            file: piece.batch.file,
            offset: 0,
            chunks: vec![],
        };
        let mut taken = Piece {
            batch: std::mem::replace(&mut piece.batch, nothing),
            asked: std::mem::take(&mut piece.asked),
            answer: piece.answer.take(),
            ..*piece
        };
        let assembly = assembly.clone();
        let (back, result) = blocking(move || {
            let result = locked(&assembly).take(&mut taken);
            Ok((taken, result))
        })
        .await?;
        *piece = back;
        result
    }

    async fn write_lists(
        &self,
        assembly: &Shared,
        gathering: &mut Gathering,
    ) -> Result<(), PullError> {
        let assembly = assembly.clone();
        let places = blocking(move || locked(&assembly).write()).await?;
        for (digest, place) in places {
            gathering.leaf.stored(digest, place);
        }
        Ok(())
    }
}
