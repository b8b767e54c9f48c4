#!/usr/bin/env python3
"""A second reader of hikae's formats, written from SPEC.md alone.

    hikae_reader.py golden FILE|FOLDER ...    golden bytes, field by field
    hikae_reader.py store STORE [--to DIR]    a node's store folder; a sealed
                                              one with --passphrase-file FILE

`store` says what a store has and whether it is whole. With --to it writes the
tree of the last commit as plain files. It only reads the store, and takes no
lock: no node should write to it meanwhile.

What is odd contradicts SPEC.md, or is what a whole store does not have, but
takes nothing from the tree.

Exit codes: 0 all is whole, 1 it could not be done, 2 usage, 3 not whole; the
places are named by file, first byte and length.

Numbers in brackets are the rules of SPEC.md.
"""

import argparse
import json
import os
import re
import sys

import blake3
import zstandard
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_decrypt as xchacha_open
from nacl.exceptions import CryptoError

MIB = 1024 * 1024


class Malformed(Exception):
    """Bytes that a reader has to refuse."""


def need(condition, text):
    if not condition:
        raise Malformed(text)


# ---------------------------------------------------------------- section 5.1

CONTEXTS = {
    "manifest": "hikae 1 manifest page",
    "node": "hikae 1 node page",
    "boundary": "hikae 1 page boundary",
    "snapshot": "hikae 1 snapshot",
    "block": "hikae 1 block",
    "header": "hikae 1 header",
    "record": "hikae 1 record",
}


def digest(domain, data):
    return blake3.blake3(data, derive_key_context=CONTEXTS[domain]).digest()


def content_digest(data):
    return blake3.blake3(data).digest()


# ---------------------------------------------------------------- section 1.2


class Postcard:
    """The fields of a value in postcard, one after the other."""

    def __init__(self, data):
        self.data = bytes(data)
        self.at = 0

    def take(self, count):
        end = self.at + count
        need(end <= len(self.data), "ends before the last field [S1-2]")
        taken = self.data[self.at : end]
        self.at = end
        return taken

    def varint(self, bytes_max, last_max):
        value = 0
        for place in range(bytes_max):
            byte = self.take(1)[0]
            need(place < bytes_max - 1 or byte <= last_max, "a varint over its bound [S1-2]")
            value |= (byte & 0x7F) << (7 * place)
            if byte < 0x80:
                return value
        raise Malformed("a varint over its bound [S1-2]")

    def u32(self):
        return self.varint(5, 0x0F)

    def u64(self):
        return self.varint(10, 0x01)

    def i64(self):
        value = self.u64()
        return (value >> 1) ^ -(value & 1)

    def bool(self):
        byte = self.take(1)[0]
        need(byte <= 1, f"a bool of {byte} [S1-2]")
        return byte == 1

    def bytes(self):
        return self.take(self.u64())

    def text(self):
        try:
            return self.bytes().decode("utf-8")
        except UnicodeDecodeError as error:
            raise Malformed("text that is not UTF-8 [S1-2]") from error

    def fixed(self, count):
        return self.take(count)

    def option(self, form):
        byte = self.take(1)[0]
        need(byte <= 1, f"an option's tag of {byte} [S1-2]")
        return form(self) if byte else None

    def list(self, form):
        return [form(self) for _ in range(self.u64())]

    def with_raw(self, form):
        """A struct, and the bytes that it was."""
        begin = self.at
        value = form(self)
        value["raw"] = self.data[begin : self.at]
        return value

    def enum(self, *variants):
        index = self.u32()
        need(index < len(variants), f"a variant of index {index} [S1-2]")
        name, form = variants[index]
        return {name: form(self) if form else None}

    def end(self):
        left = len(self.data) - self.at
        need(left == 0, f"{left} bytes are left over [S1-3]")


def decode(form, data):
    """One value that fills its bytes."""
    fields = Postcard(data)
    value = form(fields)
    fields.end()
    return value


def variant(value):
    """Name and fields of an enum's value."""
    return next(iter(value.items()))


# ------------------------------------------------------------------ section 3

PATH_BYTES_MAX = 4096
COMPONENT_BYTES_MAX = 255


def check_path(path, least=1, most=64):
    need(1 <= len(path) <= PATH_BYTES_MAX, f"a path of {len(path)} bytes [S3-1]")
    components = path.split(b"/")
    need(least <= len(components) <= most, f"a path of {len(components)} components: {shown(path)}")
    for component in components:
        good = 1 <= len(component) <= COMPONENT_BYTES_MAX and b"\0" not in component
        need(good and component not in (b".", b".."), f"a bad component in {shown(path)} [S3-1]")


def check_key(key):
    check_path(key, 2, 5)


def check_ascending(keys, what):
    for one, two in zip(keys, keys[1:]):
        need(one < two, f"{what} are not in order, each once: {shown(one)}, {shown(two)}")


# -------------------------------------------------------- sections 6.1 and 7


def epoch(p):
    return {"counter": p.u64(), "random": p.fixed(16)}


def cursor(p):
    return {"epoch": epoch(p), "sequence": p.u64()}


def snapshot(p):
    return {
        "cursor": cursor(p),
        "root": p.fixed(32),
        "leaves": p.u64(),
        "entries": p.u64(),
        "bytes": p.u64(),
        "time_ms": p.i64(),
        "previous": p.option(lambda p: p.fixed(32)),
    }


def signed_snapshot(p):
    return {"signer": p.fixed(32), "body": p.bytes(), "signature": p.bytes()}


def pull(p):
    return {
        "have": p.option(cursor),
        "volumes": p.list(lambda p: p.text()),
        "bare": p.option(lambda p: p.fixed(32)),
    }


def bare_volume(p):
    return {
        "volume": p.bytes(),
        "leaf": p.option(lambda p: p.fixed(32)),
        "node": p.option(lambda p: p.fixed(32)),
        "leaves": p.u64(),
        "entries": p.u64(),
        "bytes": p.u64(),
    }


def content_filter(p):
    return {"kinds": p.list(lambda p: p.text()), "since": p.option(lambda p: p.text())}


def offer(p):
    return {
        "snapshot": signed_snapshot(p),
        "base": p.enum(("Cursor", None), ("Empty", None), ("Apart", None)),
    }


def leaf_proof(p):
    return {
        "key": p.bytes(),
        "digest": p.option(lambda p: p.fixed(32)),
        "sequence": p.u64(),
        "weight": p.u64(),
    }


def proof_end(p):
    return {"leaves": p.u64()}


def leaf_want(p, before):
    shared, rest = p.u32(), p.bytes()
    need(shared <= len(before), "a key that shares more than there is [S7-23]")
    return {
        "key": before[:shared] + rest,
        "base": p.option(Postcard.u64),
        "after": p.option(Postcard.bytes),
        "inline": p.bool(),
        "held": p.list(lambda p: p.fixed(8)),
    }


def leaf_wants(p):
    before = b""

    def want(p):
        nonlocal before
        one = leaf_want(p, before)
        before = one["key"]
        return one

    wants = p.list(want)
    need(len(wants) <= 4_096, "more than 4,096 leaves in a fetch")
    return wants


def fetch(p):
    return {
        "to": cursor(p),
        "leaves": leaf_wants(p),
        "only": p.option(content_filter),
    }


def list_want(p):
    return {
        "path": p.bytes(),
        "kind": p.enum(("Leaf", None), ("Node", None)),
        "digest": p.fixed(32),
        "held": p.list(lambda p: p.fixed(8)),
        "fresh": p.bool(),
    }


def lists(p):
    return {"to": cursor(p), "lists": p.list(list_want)}


def mark(p):
    return {"sequence": p.u64(), "weight": p.u64()}


def list_pages(p):
    return {"pages": p.list(Postcard.bytes), "marks": p.list(mark)}


def list_answer(p):
    return p.enum(
        ("Moved", None), ("Pages", list_pages), ("Leaves", lambda p: p.list(leaf_proof))
    )


def entry(p):
    return {
        "path": p.bytes(),
        "size": p.u64(),
        "mtime_ns": p.i64(),
        "digest": p.fixed(32),
    }


def tombstone(p):
    return {
        "path": p.bytes(),
        "digest": p.fixed(32),
        "added": p.u64(),
        "removed": p.u64(),
    }


def named(p):
    return {"size": p.u64(), "digest": p.fixed(32)}


def delta_entry(p):
    return {
        "path": p.bytes(),
        "mtime_ns": p.i64(),
        "sequence": p.u64(),
        "content": p.enum(
            ("Held", named), ("Inline", Postcard.u32), ("Later", named), ("Lacking", named)
        ),
    }


def delta(p):
    return {
        "entries": p.list(delta_entry),
        "tombstones": p.list(tombstone),
        "more": p.bool(),
    }


def leaf_delta(p):
    return {"key": p.bytes(), "state": p.enum(("Moved", None), ("Delta", delta))}


def byte_range(p):
    return {"path": p.bytes(), "digest": p.fixed(32), "chunk": p.option(chunk_at)}


def chunk(p):
    return {"digest": p.fixed(32), "bytes": p.u32()}


def chunk_at(p):
    return {"offset": p.u64(), "chunk": chunk(p)}


def chunks(p):
    return {
        "to": cursor(p),
        "key": p.bytes(),
        "path": p.bytes(),
        "digest": p.fixed(32),
        "from": p.u64(),
    }


def chunk_list(p):
    return {"chunks": p.list(chunk)}


def contents(p):
    return {"to": cursor(p), "key": p.bytes(), "ranges": p.list(byte_range)}


def acknowledge(p):
    return {
        "durable": p.option(cursor),
        "published": p.option(cursor),
        "lacking": p.u64(),
    }


def refused(p):
    return {
        "code": p.enum(
            ("Malformed", None), ("Forbidden", None), ("Moved", None), ("Unavailable", None)
        ),
        "text": p.text(),
    }


# ---------------------------------------------------------- sections 9 and 10


def record_place(p):
    return {"block": p.u64(), "index": p.u32()}


def content_place(p):
    return p.enum(
        ("Storage", None),
        ("Item", record_place),
        ("Chunks", record_place),
        ("Lacking", None),
        ("Partial", record_place),
        ("NotHeld", None),
    )


def stat_record(p):
    return {"ctime_ns": p.i64(), "inode": p.u64(), "settled": p.bool()}


def file_record(p):
    return {
        "entry": entry(p),
        "sequence": p.u64(),
        "content": content_place(p),
        "stat": p.option(stat_record),
    }


def leaf_summary(p):
    return {
        "key": p.bytes(),
        "sequence": p.u64(),
        "commit": p.u64(),
        "digest": p.option(lambda p: p.fixed(32)),
        "entries": p.u64(),
        "bytes": p.u64(),
        "newest_bytes": p.u64(),
        "lacking": p.u32(),
        "bare": p.option(bare_summary),
    }


def bare_summary(p):
    return {"node": p.option(lambda p: p.fixed(32)), "leaves": p.u64()}


def page_ref(p):
    return {"digest": p.fixed(32), "place": record_place(p)}


def page_list(p):
    return {"level": p.u32(), "pages": p.list(lambda p: p.with_raw(page_ref))}


def stored(form):
    return lambda p: p.enum(
        ("Here", lambda p: p.list(lambda p: p.with_raw(form))), ("Paged", page_list)
    )


LISTS = {"files": file_record, "tombstones": tombstone, "standins": file_record}


def leaf_item(p):
    head = {
        "summary": leaf_summary(p),
        "previous": p.option(record_place),
        "forgotten": p.u64(),
    }
    return head | {name: stored(form)(p) for name, form in LISTS.items()}


def page_items(form, data):
    """A page of a stored list: items without a count."""
    fields, items = Postcard(data), []
    while fields.at < len(fields.data):
        items.append(fields.with_raw(form))
    return items


def chunk_record(p):
    return {"chunk": chunk(p), "place": record_place(p)}


def commit_record(p):
    return {"number": p.u64(), "signed": signed_snapshot(p), "accepted_ms": p.i64()}


def unstage_record(p):
    return {"commit": p.u64(), "keys": p.list(Postcard.bytes)}


def prune_record(p):
    return {"oldest": p.u64()}


def log_end(p):
    return {"segment": p.u32(), "offset": p.u64(), "next_id": p.u64()}


def clean_mark(p):
    return {"log": log_end(p), "checkpoint": log_end(p), "index": p.fixed(32)}


def checkpoint_leaf(p):
    return {"summary": leaf_summary(p), "place": record_place(p)}


def checkpoint_node(p):
    return {"path": p.bytes(), "digest": p.fixed(32)}


def checkpoint_block(p):
    return {"id": p.u64(), "segment": p.u32(), "offset": p.u64()}


def checkpoint_commit(p):
    return {"number": p.u64(), "block": p.u64(), "accepted_ms": p.i64()}


def checkpoint_end(p):
    return {
        "log": log_end(p),
        "commit": commit_record(p),
        "leaves": p.u64(),
        "nodes": p.u64(),
        "blocks": p.u64(),
        "commits": p.u64(),
    }


def published_mark(p):
    return {
        "commit": p.u64(),
        "cursor": p.option(cursor),
        "working": p.bool(),
        "file_system": p.u64(),
        "inode": p.u64(),
        "behind": p.bytes(),
    }


def small_record(data):
    """The value of a small record, undecoded [S10-6]."""
    need(len(data) >= 32, "a small record of less than 32 bytes")
    need(digest("record", data[32:]) == data[:32], "the digest of the small record [S10-6]")
    return data[32:]


def key_file(p):
    return {
        "key": p.u32(),
        "memory_kib": p.u32(),
        "passes": p.u32(),
        "lanes": p.u32(),
        "salt": p.fixed(16),
        "nonce": p.fixed(24),
        "wrapped": p.fixed(32),
        "tag": p.fixed(16),
    }


LACKING_MAX = 0xFFFF_FFFF


def check_lists(key, lists):
    """The lists of a leaf record, all of them."""
    short = key.count(b"/") < 4
    for name, items in lists.items():
        paths = [path_of(item) for item in items]
        if name != "tombstones":
            check_ascending(paths, name)
        for path in paths:
            check_path(path)
            need(not short or b"/" not in path, f"{shown(path)} in a short leaf [S3-4]")


def path_of(item):
    """Of a file record or a tombstone; what names a chunk record."""
    if "chunk" in item:
        return item["chunk"]["digest"]
    return item["entry"]["path"] if "entry" in item else item["path"]


def is_lacking(file):
    return variant(file["content"])[0] in ("Lacking", "Partial")


def summary_of(summary, files):
    """The summary that a leaf with these files has [S9-16]."""
    if summary["bare"]:
        need(not files, "files of a bare volume [S9-16]")
        need(summary["bare"]["leaves"] > 0, "a bare volume without leaves [S9-16]")
        need(summary["key"].count(b"/") == 1, "a bare record of no volume [S9-16]")
        return summary
    sizes = [file["entry"]["size"] for file in files]
    newest = [file for file in files if file["sequence"] == summary["sequence"]]
    return summary | {
        "digest": manifest_digest([file["entry"] for file in files]) if files else None,
        "entries": len(sizes),
        "bytes": sum(sizes),
        "newest_bytes": sum(file["entry"]["size"] for file in newest),
        "lacking": min(sum(is_lacking(file) for file in files), LACKING_MAX),
    }


def check_summary(summary, files):
    expected = summary_of(summary, files)
    for name, value in expected.items():
        found = summary[name]
        need(found == value, f"{name} of the summary: {shown(found)}, not {shown(value)} [S9-16]")


def check_standins(lists):
    lacking = {path_of(file) for file in lists["files"] if is_lacking(file)}
    for file in lists["standins"]:
        path = path_of(file)
        need(path in lacking, f"a stand-in for {shown(path)}, which does not lack")
        held = variant(file["content"])[0] in ("Item", "Chunks")
        need(held, f"a stand-in for {shown(path)} without a content")


def check_chunks(found):
    """Lengths of chunks that follow each other; of the last one only the upper bound."""
    sizes = [item["bytes"] for item in found]
    for size in sizes[:-1]:
        need(CHUNK_BYTES_MIN <= size, f"a chunk of {size} bytes [S7-17]")
    need(all(0 < size <= CHUNK_BYTES_MAX for size in sizes), "a chunk out of bounds [S7-17]")


# ---------------------------------------------------------------- section 4.2

CHUNKS_MAX = 512
CHUNK_BYTES_MIN = 32 * 1024
CHUNK_BYTES_MAX = 512 * 1024
PACK_RAW_MAX = 4 * MIB
PACK_ITEMS_MAX = 1_048_576
WINDOW_MAX = 1 << 23


def unzstd(coded, raw):
    """The content of one zstd frame, of exactly `raw` bytes."""
    try:
        known = zstandard.get_frame_parameters(coded).content_size
        need(known in (raw, zstandard.CONTENTSIZE_UNKNOWN), "a zstd frame of another size [S4-5]")
        decoder = zstandard.ZstdDecompressor(max_window_size=WINDOW_MAX).decompressobj()
        # Whoever does not say how much comes is decoded in small steps: a
        # block of zstd has at most 128 KiB, and at least 3 bytes.
        step = len(coded) if known == raw else 64
        body = bytearray()
        for at in range(0, len(coded), step):
            need(not decoder.eof, "bytes behind the zstd frame [S4-8]")
            body += decoder.decompress(coded[at : at + step])
            need(len(body) <= raw, "more than the declared size [S4-5]")
    except zstandard.ZstdError as error:
        raise Malformed(f"no zstd frame: {error} [S4-8]") from error
    need(decoder.eof and not decoder.unused_data, "not one whole zstd frame [S4-8]")
    need(len(body) == raw, "less than the declared size [S4-5]")
    return bytes(body)


def check_pack_sizes(codec, raw, stored):
    need(codec in (0, 1), f"codec {codec}")
    need(raw <= PACK_RAW_MAX, f"a body of {raw} bytes [S4-5]")
    need(stored == raw or codec == 1, "a raw body of another size than declared [S4-5]")
    need(stored <= raw, "a coded body that is longer than declared [S4-7]")


def pack_items(codec, raw, coded):
    """The items of a pack without its five bytes of header."""
    check_pack_sizes(codec, raw, len(coded))
    body = bytes(coded) if codec == 0 else unzstd(coded, raw)
    need(len(body) >= 4, "a pack without a count [S4-6]")
    count = int.from_bytes(body[:4], "little")
    need(count <= PACK_ITEMS_MAX and 4 + 4 * count <= len(body), f"{count} items [S4-6]")
    at = 4 + 4 * count
    items = []
    for index in range(count):
        length = int.from_bytes(body[4 + 4 * index : 8 + 4 * index], "little")
        need(at + length <= len(body), "an item beyond the body [S4-6]")
        items.append(body[at : at + length])
        at += length
    need(at == len(body), "bytes behind the last item [S4-6]")
    return items


def pack(data):
    need(len(data) >= 5, "a pack of less than five bytes")
    return pack_items(data[0], int.from_bytes(data[1:5], "little"), data[5:])


# ---------------------------------------------------------------- section 4.1


def bare_payload(payload):
    volumes = [decode(bare_volume, item) for item in pack(payload)]
    need(len(volumes) <= 16_384, "too many bare volumes [S7-20]")
    for found in volumes:
        check_key(found["volume"])
        need(found["volume"].count(b"/") == 1, "a bare volume that is none [S7-20]")
        need(found["leaf"] or found["node"], "a bare volume without digests [S7-20]")
        need(found["leaves"] and found["entries"], "a bare volume without entries [S7-20]")
    check_ascending([found["volume"] for found in volumes], "bare volumes [S7-20]")
    return {"volumes": volumes}


def pull_payload(payload):
    message = decode(pull, payload)
    need(len(message["volumes"]) <= 256, "too many patterns")
    return message


def proof_payload(payload):
    proofs = [decode(leaf_proof, item) for item in pack(payload)]
    need(1 <= len(proofs) <= 16_384, f"a proof of {len(proofs)} leaves [S7-4]")
    keys = [proof["key"] for proof in proofs]
    for key in keys:
        check_key(key)
    check_ascending(keys, "keys of a proof")
    return proofs


def bundle_payload(payload):
    need(len(payload) >= 4, "a bundle without its first four bytes")
    first = int.from_bytes(payload[:4], "little")
    need(4 + first <= len(payload), "a first pack beyond the bundle")
    deltas = [decode(leaf_delta, item) for item in pack(payload[4 : 4 + first])]
    inline, named = pack(payload[4 + first :]), set()
    for item in deltas:
        check_key(item["key"])
        state, fields = variant(item["state"])
        if state == "Moved":
            continue
        paths = [found["path"] for found in fields["entries"]]
        for path in paths:
            check_path(path)
        check_ascending(paths, "entries [S7-7]")
        for found in fields["entries"]:
            form, index = variant(found["content"])
            if form == "Inline":
                need(not fields["more"], "an inline content of a delta with more [S7-9]")
                need(index < len(inline), "an inline content that is not there [S7-9]")
                need(len(inline[index]) < 1_048_576, "a large inline content [S7-9]")
                need(index not in named, "an inline content named twice [S7-9]")
                named.add(index)
    return {"deltas": deltas, "contents": inline}


def fetch_payload(payload):
    message = decode(fetch, payload)
    for want in message["leaves"]:
        check_key(want["key"])
        if want["after"] is not None:
            check_path(want["after"])
        need(len(want["held"]) <= 256, "too much that is held [S7-16]")
        check_ascending(want["held"], "what is held [S7-16]")
    check_ascending([want["key"] for want in message["leaves"]], "leaves of a fetch")
    return message


def lists_payload(payload):
    message = decode(lists, payload)
    need(len(message["lists"]) <= 4096, "too many lists [S7-14]")
    for want in message["lists"]:
        kind, _ = variant(want["kind"])
        if kind == "Leaf" or want["path"]:
            check_key(want["path"])
        check_ascending(want["held"], "pages that are held [S7-14]")
    return message


def listed_payload(payload):
    answers = [decode(list_answer, item) for item in pack(payload)]
    for answer in answers:
        state, fields = variant(answer)
        if state == "Leaves":
            need(len(fields) <= 4096, "too many leaves [S7-15]")
            keys = [leaf["key"] for leaf in fields]
            for key in keys:
                check_key(key)
            check_ascending(keys, "leaves below a node [S7-15]")
    return answers


def contents_payload(payload):
    message = decode(contents, payload)
    check_key(message["key"])
    ranges = message["ranges"]
    for found in ranges:
        check_path(found["path"])
    need(len(ranges) <= 4096, "too many ranges [S7-10]")
    parts = [found["chunk"]["chunk"]["bytes"] for found in ranges if found["chunk"]]
    need(sum(parts) <= 2 * MIB, "ranges too long [S7-10]")
    return message


def chunks_payload(payload):
    message = decode(chunks, payload)
    check_key(message["key"])
    check_path(message["path"])
    return message


def chunk_list_payload(payload):
    message = decode(chunk_list, payload)
    need(len(message["chunks"]) <= CHUNKS_MAX, "too many chunks [S7-17]")
    check_chunks(message["chunks"])
    return message


def offer_payload(payload):
    message = decode(offer, payload)
    message["snapshot"]["body"] = believed(message["snapshot"])
    return message


def refused_payload(payload):
    message = decode(refused, payload)
    need(len(message["text"].encode()) <= 1024, "a long text [S7-12]")
    return message


def of(form):
    return lambda payload: decode(form, payload)


def beyond_payload(data):
    signed = decode(signed_snapshot, data)
    return {"held": signed | {"body": believed(signed), "signature": "holds"}}


FRAMES = {
    0x01: ("Pull", 65_536, pull_payload),
    0x02: ("Fetch", MIB, fetch_payload),
    0x03: ("Contents", MIB, contents_payload),
    0x04: ("Acknowledge", 4096, of(acknowledge)),
    0x05: ("Beyond", 4096, beyond_payload),
    0x06: ("Lists", MIB, lists_payload),
    0x08: ("Chunks", 8192, chunks_payload),
    0x10: ("Offer", 4096, offer_payload),
    0x11: ("Proof", 9 * MIB, proof_payload),
    0x12: ("ProofEnd", 4096, of(proof_end)),
    0x13: ("Listed", 9 * MIB, listed_payload),
    0x14: ("Bare", 9 * MIB, bare_payload),
    0x20: ("Bundle", 9 * MIB, bundle_payload),
    0x21: ("Ranges", 9 * MIB, pack),
    0x22: ("ChunkList", 32_768, chunk_list_payload),
    0x3F: ("Refused", 4096, refused_payload),
}


def frame(data):
    need(len(data) >= 5, "a frame of less than five bytes [S4-1]")
    need(data[0] in FRAMES, f"a frame of kind {data[0]:02x} [S4-3]")
    name, most, form = FRAMES[data[0]]
    length = int.from_bytes(data[1:5], "little")
    need(length <= most, f"a {name} of {length} bytes [S4-2]")
    need(len(data) == 5 + length, "not one frame")
    return {name: form(data[5:])}


# ------------------------------------------------------ section 6.1, signature

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def point(data):
    """The point of 32 bytes, if they are its canonical form (RFC 8032)."""
    y = int.from_bytes(data, "little") & ((1 << 255) - 1)
    sign = data[31] >> 7
    need(y < P, "a point that is not canonical [S6-2]")
    over, under = (y * y - 1) % P, (D * y * y + 1) % P
    x = over * pow(under, 3, P) * pow(over * pow(under, 7, P), (P - 5) // 8, P) % P
    if under * x * x % P != over:
        x = x * pow(2, (P - 1) // 4, P) % P
    need(under * x * x % P == over, "no point of the curve [S6-2]")
    need(x or not sign, "a point that is not canonical [S6-2]")
    return (P - x if x & 1 != sign else x), y


def is_of_small_order(at):
    for _ in range(3):
        x, y = at
        xy, xx, yy = x * y % P, x * x % P, y * y % P
        both = D * xx * yy % P
        at = (
            2 * xy * pow(1 + both, P - 2, P) % P,
            (yy + xx) * pow(1 - both, P - 2, P) % P,
        )
    return at == (0, 1)


def check_signature(signed):
    """[S6-2], but for who is trusted."""
    signature = signed["signature"]
    need(len(signature) == 64, f"a signature of {len(signature)} bytes [S6-2]")
    for part in (signed["signer"], signature[:32]):
        need(not is_of_small_order(point(part)), "a point of small order [S6-2]")
    need(int.from_bytes(signature[32:], "little") < L, "a scalar that is not canonical [S6-2]")
    message = b"hikae 1 snapshot signature\0" + signed["body"]
    try:
        Ed25519PublicKey.from_public_bytes(signed["signer"]).verify(signature, message)
    except InvalidSignature as error:
        raise Malformed("the signature does not verify [S6-2]") from error


def believed(signed):
    """The snapshot in a signed one whose signature holds."""
    check_signature(signed)
    return decode(snapshot, signed["body"])


# ----------------------------------------------------- sections 5.2, 5.3, 5.4

PAGE_BYTES_MAX = 65_536


def is_boundary(level, name):
    return digest("boundary", bytes([level]) + name)[0] == 0


def named_bytes(name):
    return len(name).to_bytes(2, "little") + name


def pages_of(level, items):
    """The pages of a list of (name, canonical bytes) at a level [S5-3]."""
    pages, page, size = [], [], 0
    for name, canonical in items:
        if page and size + len(canonical) > PAGE_BYTES_MAX:
            pages.append(page)
            page, size = [], 0
        page.append((name, canonical))
        size += len(canonical)
        if (level == 0 or len(page) >= 2) and is_boundary(level, name):
            pages.append(page)
            page, size = [], 0
    if page:
        pages.append(page)
    return pages


def list_digest(domain, items):
    level = 0
    while True:
        pages = pages_of(level, items) or [[]]
        digests = [
            digest(domain, bytes([level]) + b"".join(canonical for _, canonical in page))
            for page in pages
        ]
        if len(pages) == 1:
            return digests[0]
        names = [page[-1][0] for page in pages]
        items = [(name, named_bytes(name) + found) for name, found in zip(names, digests)]
        level += 1


def entry_bytes(found):
    return (
        named_bytes(found["path"])
        + found["size"].to_bytes(8, "little")
        + found["mtime_ns"].to_bytes(8, "little", signed=True)
        + found["digest"]
    )


def manifest_digest(entries):
    return list_digest("manifest", [(found["path"], entry_bytes(found)) for found in entries])


LEAF, NODE = 0, 1


def parent_and_name(path):
    """Of a leaf or a node below the root (section 5.4)."""
    if path.count(b"/") == 1:
        return b"", path
    parent, _, name = path.rpartition(b"/")
    return parent, name


def node_digest(children):
    items = [
        (name, bytes([kind]) + named_bytes(name) + found)
        for name, kind, found in sorted(children)
    ]
    return list_digest("node", items)


def root_digest(leaves, bare):
    return node_digests(leaves, bare)[b""]


def node_digests(leaves, bare):
    """By path; of leaf digests by key, without leaves that have no entries, and
    of the nodes of bare volumes [S9-29]."""
    children = {b"": []}
    nodes = {}

    def add(path, kind, found):
        parent, name = parent_and_name(path)
        children.setdefault(parent, []).append((name, kind, found))

    for key, found in leaves.items():
        add(key, LEAF, found)
    # The deepest nodes first: those of four components, then three, then the
    # volumes. A parent may have no leaves of its own.
    for slashes in (3, 2, 1):
        for path in [path for path in children if path.count(b"/") == slashes]:
            if path not in bare:
                nodes[path] = node_digest(children[path])
                add(path, NODE, nodes[path])
    for path, found in bare.items():
        if found:
            nodes[path] = found
            add(path, NODE, found)
    nodes[b""] = node_digest(children[b""])
    return nodes


# -------------------------------------------------------- sections 9.1 and 9.2

SEGMENT_HEADER_BYTES = 40
BLOCK_HEADER_BYTES = 72
KINDS = {1: "contents", 2: "leaves", 3: "pages", 4: "commit", 5: "unstage", 10: "prune"}
CHECKPOINT = 0xFFFF_FFFF
# In the order in which they stand.
CHECKPOINT_KINDS = {6: "leaves", 11: "nodes", 7: "blocks", 8: "commits", 9: "end"}


def kinds_of(number):
    """The kinds of blocks in a segment of this number."""
    return CHECKPOINT_KINDS if number == CHECKPOINT else KINDS


def segment_header(data):
    """A header that is whole: its magic and its check are right."""
    need(len(data) >= SEGMENT_HEADER_BYTES, "less than a segment's header")
    need(data[:8] == b"hikaeSEG", "no segment's magic [S9-1]")
    need(data[32:40] == digest("header", data[:32])[:8], "the check of a segment's header [S9-1]")
    return {
        "version": int.from_bytes(data[8:12], "little"),
        "number": int.from_bytes(data[12:16], "little"),
        "store": data[16:32],
    }


PLAIN, SEALED = 1, 2


class Form:
    """The id of a store, the id of its key (0: it is not sealed), its key of
    blocks if that is known."""

    def __init__(self, head):
        self.id = head["store"]
        self.key = 1 if head["version"] == SEALED else 0
        self.more = 40 if self.key else 0
        self.blocks_key = None

    def unlock(self, data_key):
        """[S9-21]"""
        context = "hikae 1 seal blocks"
        self.blocks_key = blake3.blake3(data_key, derive_key_context=context).digest()

    def open(self, head, stored):
        """The coded body of a pack [S9-25]."""
        if not self.key:
            return stored
        need(self.blocks_key is not None, "a sealed block, and no passphrase")
        bound = (
            self.id
            + self.key.to_bytes(4, "little")
            + head["id"].to_bytes(8, "little")
            + bytes([head["kind number"], head["codec"]])
            + head["raw"].to_bytes(4, "little")
        )
        return opened(stored, bound, self.blocks_key, "a sealed block [S9-27]")


def opened(sealed, bound, key, what):
    """What is sealed: nonce, ciphertext, tag (section 9.7)."""
    need(len(sealed) >= 40, f"{what} is too short")
    try:
        return xchacha_open(bytes(sealed[24:]), bound, bytes(sealed[:24]), key)
    except CryptoError as error:
        raise Malformed(f"{what} does not open") from error


def check_cost(found):
    lanes, memory = found["lanes"], found["memory_kib"]
    bounded = 1 <= lanes <= 16 and 8 * lanes <= memory <= MIB and 1 <= found["passes"] <= 100
    need(bounded, f"Argon2id with {memory} KiB, {found['passes']} passes, {lanes} lanes [S9-23]")


def unwrapped(found, store, passphrase):
    """The data key in a key file."""
    need(found["key"] == 1, f"a key of id {found['key']}")
    check_cost(found)
    derived = Argon2id(
        salt=found["salt"],
        length=32,
        iterations=found["passes"],
        lanes=found["lanes"],
        memory_cost=found["memory_kib"],
    ).derive(passphrase)
    numbers = (found[name] for name in ("key", "memory_kib", "passes", "lanes"))
    bound = b"hikae 1 store key\0" + store
    bound += b"".join(number.to_bytes(4, "little") for number in numbers)
    sealed = found["nonce"] + found["wrapped"] + found["tag"]
    return opened(sealed, bound, derived, "the key, with this passphrase,")


def block_header(data, store, number, offset):
    need(len(data) >= BLOCK_HEADER_BYTES, "less than a block's header")
    head = data[:BLOCK_HEADER_BYTES]
    need(head[:4] == b"hkBL", "no block's magic [S9-3]")
    place = store.id + number.to_bytes(4, "little") + offset.to_bytes(8, "little")
    need(head[64:] == digest("header", place + head[:64])[:8], "the check of a header [S9-3]")
    kinds = kinds_of(number)
    need(head[4] in kinds, f"a block of kind {head[4]} [S9-3]")
    zeros = head[6:8] + head[28:32]
    need(not any(zeros), "bytes that have to be 00 are not [S9-3]")
    stored = int.from_bytes(head[20:24], "little")
    raw = int.from_bytes(head[24:28], "little")
    key = int.from_bytes(head[16:20], "little")
    need(key == store.key, f"a block with the key id {key} [S9-3]")
    need(raw <= PACK_RAW_MAX, "a block over 4 MiB [S9-3]")
    need(stored <= PACK_RAW_MAX + store.more, "a block over 4 MiB [S9-3]")
    return {
        "kind": kinds[head[4]],
        "kind number": head[4],
        "codec": head[5],
        "id": int.from_bytes(head[8:16], "little"),
        "stored": stored,
        "raw": raw,
        "digest": head[32:64],
    }


class Block:
    """A valid block [S9-4] of a segment."""

    def __init__(self, data, store, number, offset):
        head = block_header(
            data[offset : offset + BLOCK_HEADER_BYTES], store, number, offset
        )
        self.kind, self.id = head["kind"], head["id"]
        self.head, self.store = head, store
        self.number, self.offset = number, offset
        self.codec, self.raw = head["codec"], head["raw"]
        end = offset + BLOCK_HEADER_BYTES + head["stored"]
        self.end = (end + 7) // 8 * 8
        need(self.end <= len(data), "a block that ends behind its segment [S9-4]")
        self.stored = data[offset + BLOCK_HEADER_BYTES : end]
        need(digest("block", self.stored) == head["digest"], "the digest of a block [S9-4]")
        need(not any(data[end : self.end]), "padding that is not 00 [S9-4]")
        need(len(self.stored) >= store.more, "a sealed block of less than 40 bytes [S9-4]")
        check_pack_sizes(self.codec, self.raw, len(self.stored) - store.more)

    def items(self):
        return pack_items(self.codec, self.raw, self.store.open(self.head, self.stored))


def blocks_of(data, store, number):
    """Valid blocks and bad places (first byte, end, why), as in section 9.6."""
    blocks, bad = [], []
    at = SEGMENT_HEADER_BYTES
    while at < len(data):
        try:
            block = Block(data, store, number, at)
        except Malformed as error:
            behind = next_block(data, store, number, at + 8)
            bad.append((at, behind, str(error)))
            at = behind
        else:
            blocks.append(block)
            at = block.end
    return blocks, bad


def next_block(data, store, number, at):
    """Where the next valid block is, or the end."""
    while True:
        at = data.find(b"hkBL", at)
        if at < 0:
            return len(data)
        if at % 8 == 0:
            try:
                Block(data, store, number, at)
                return at
            except Malformed:
                pass
        at += 1


# ---------------------------------------------------------------- section 10.4

CHECKPOINT_FORMS = {
    "leaves": checkpoint_leaf,
    "nodes": checkpoint_node,
    "blocks": checkpoint_block,
    "commits": checkpoint_commit,
    "end": checkpoint_end,
}


def checkpoint_items(data, form):
    """The items of a checkpoint, by kind."""
    head = segment_header(data)
    need(head["number"] == CHECKPOINT, f"a checkpoint with the number {head['number']}")
    need((head["store"], head["version"]) == (form.id, form.key + 1), "of another store")
    blocks, bad = blocks_of(data, form, CHECKPOINT)
    need(not bad, f"a block that is not valid: {bad[:3]} [S10-9]")
    ids = [block.id for block in blocks]
    need(ids == list(range(1, len(ids) + 1)), "ids that do not count from 1")
    found = {kind: [] for kind in CHECKPOINT_FORMS}
    order = list(CHECKPOINT_KINDS)
    numbers = [order.index(block.head["kind number"]) for block in blocks]
    need(numbers == sorted(numbers), "blocks of a checkpoint that are not by kind")
    for block in blocks:
        need(not found["end"], "a block behind the end of the checkpoint")
        form = CHECKPOINT_FORMS[block.kind]
        found[block.kind] += [decode(form, item) for item in block.items()]
    need(len(found["end"]) == 1, f"{len(found['end'])} ends")
    return found


def check_checkpoint(found):
    """What a checkpoint says of itself: order and counts."""
    end = found["end"][0]
    for kind in ("leaves", "nodes", "blocks", "commits"):
        need(end[kind] == len(found[kind]), f"{len(found[kind])} {kind}, not {end[kind]} [S10-9]")
    keys = [leaf["summary"]["key"] for leaf in found["leaves"]]
    for key in keys:
        check_key(key)
    check_ascending([(key.count(b"/"), key) for key in keys], "leaves of a checkpoint")
    paths = [node["path"] for node in found["nodes"]]
    check_ascending([(path.count(b"/"), path) for path in paths], "nodes of a checkpoint")
    need(all(path.count(b"/") <= 2 for path in paths), "nodes that are not written")
    check_ascending([block["id"] for block in found["blocks"]], "blocks of a checkpoint")
    numbers = [commit["number"] for commit in found["commits"]]
    check_ascending(numbers, "commits of a checkpoint")
    need(numbers and numbers[-1] == end["commit"]["number"], "another last commit")


# ------------------------------------------------------------- a store's folder


class Refusal(Exception):
    """A store that has to be refused, with the place."""

    def __init__(self, file, offset, length, why):
        super().__init__(why)
        self.place = {"file": file, "offset": offset, "length": length, "why": why}


KEY_FILES = ("store.key", "store.key.copy")
REMAINS = (".hikae-", ".new-")


class Leaf:
    """A leaf record in the log, and its lists: None if a page is not there."""

    def __init__(self, record, place, lists):
        self.record, self.place, self.lists = record, place, lists
        self.summary = record["summary"]
        self.digest = self.summary["digest"]


class Store:
    """What a store's folder says."""

    def __init__(self, folder, passphrase):
        self.folder, self.passphrase = folder, passphrase
        self.damage, self.odd, self.notes = [], [], []
        self.form = None
        self.segments = {}  # number -> bytes
        self.blocks, self.by_id, self.order = [], {}, {}
        # The oldest commit that is kept; 0: all are.
        self.oldest = 0
        self.staged, self.tree = {}, {}
        self.commits, self.copies = [], {}
        self.number, self.reached = 0, 0
        self.unpacked, self.pages = {}, {}
        self.checkpoint, self.at_checkpoint = None, None
        counts = ("leaf_records", "gone", "pages", "manifests", "contents", "chunks")
        self.compared = dict.fromkeys(counts, 0)

    def name(self, number):
        return f"segments/{number:08}.seg"

    def read(self, name):
        with open(os.path.join(self.folder, name), "rb") as file:
            return file.read()

    def damaged(self, file, offset, length, why):
        self.damage.append({"file": file, "offset": offset, "length": length, "why": why})

    def in_block(self, block, why):
        return Refusal(self.name(block.number), block.offset, block.end - block.offset, why)

    # Files and headers (section 9.1).

    def open(self):
        names = sorted(os.listdir(os.path.join(self.folder, "segments")))
        numbers = []
        for name in names:
            if re.fullmatch(r"[0-9]{8}\.seg", name) and int(name[:8]) > 0:
                numbers.append(int(name[:8]))
            elif name not in KEY_FILES + ("store.id",) and not name.startswith(REMAINS):
                self.odd.append(f"segments/{name} is not a file of a store")
        self.segments = {number: self.read(self.name(number)) for number in numbers}
        heads = {"segments/store.id": (0, self.read_id("store.id" in names, numbers))}
        for number in numbers:
            heads[self.name(number)] = (number, self.segments[number])
        begun = self.heads(heads)
        if self.form is None and set(KEY_FILES) & set(names):
            raise Refusal("segments/store.key", 0, 0, "a key file, and no store [S9-26]")
        if numbers and self.form is None:
            raise Refusal(self.name(numbers[0]), 0, 40, "no whole header to know the store by")
        for number in range(1, max(numbers, default=0)):
            if number not in self.segments:
                self.damaged(self.name(number), 0, 0, "there is no such segment")
        return begun

    def read_id(self, is_there, numbers):
        if is_there:
            return self.read("segments/store.id")
        if numbers:
            self.damaged("segments/store.id", 0, 0, "there is no store.id")
        return None

    def heads(self, heads):
        """Knows the store by its headers; gives the segments that have blocks."""
        last = max(self.segments, default=0)
        begun = []
        for file, (number, data) in heads.items():
            if data is None:
                continue
            try:
                head = segment_header(data)
                if head["version"] not in (PLAIN, SEALED):
                    raise Refusal(file, 8, 4, f"version {head['version']}")
                need(head["number"] == number, f"the header of segment {head['number']} [S9-1]")
                need(number or len(data) == 40, "store.id is longer than a header")
                self.form = self.form or Form(head)
                if (head["store"], head["version"]) != (self.form.id, self.form.key + 1):
                    raise Refusal(file, 16, 16, "of another store [S9-13]")
            except Malformed as error:
                if number and number == last and len(data) <= SEGMENT_HEADER_BYTES:
                    self.notes.append(f"{file} was never begun")
                    continue
                self.damaged(file, 0, SEGMENT_HEADER_BYTES, str(error))
            if number:
                begun.append(number)
        return begun

    # The key (section 9.7).

    def unlock(self):
        found = {}
        for name in KEY_FILES:
            file = f"segments/{name}"
            there = os.path.exists(os.path.join(self.folder, file))
            if there and not (self.form and self.form.key):
                self.odd.append(f"{file} in a store that is not sealed")
            elif there:
                try:
                    found[name] = decode(key_file, small_record(self.read(file)))
                except Malformed as error:
                    self.damaged(file, 0, len(self.read(file)), str(error))
            elif self.form and self.form.key:
                self.damaged(file, 0, 0, "there is no such file [S9-22]")
        if not (self.form and self.form.key):
            return
        if not found:
            raise Refusal("segments/store.key", 0, 0, "no whole key file [S9-26]")
        if self.passphrase is None:
            raise Refusal("segments/store.key", 0, 0, "the store is sealed [S9-26]")
        files = list(found.values())
        if files[-1] != files[0]:
            self.odd.append("the key files differ [S9-22]")
        try:
            self.form.unlock(unwrapped(files[0], self.form.id, self.passphrase))
        except Malformed as error:
            raise Refusal("segments/store.key", 0, 0, str(error))

    # The log (sections 9.4 and 9.6).

    def read_log(self):
        begun = self.open()
        self.unlock()
        newest = max(self.segments, default=0)
        for number in begun:
            blocks, bad = blocks_of(self.segments[number], self.form, number)
            commits = [block.offset for block in blocks if block.kind == "commit"]
            last_commit = max(commits, default=0)
            for first, end, why in bad:
                if number != newest or first < last_commit:
                    self.damaged(self.name(number), first, end - first, why)
                    continue
                self.notes.append(
                    f"{self.name(number)} offset {first}: the log ends in a torn tail of "
                    f"{len(self.segments[number]) - first} bytes: {why}"
                )
                blocks = [block for block in blocks if block.offset < first]
                break
            self.blocks += blocks

    def replay(self):
        greatest = 0
        for order, block in enumerate(self.blocks):
            if block.id in self.by_id or block.id == 0:
                raise self.in_block(block, f"a second block of id {block.id} [S9-7]")
            if block.id < greatest:
                self.odd.append(f"block {block.id} comes behind block {greatest} [S9-7]")
            greatest = max(greatest, block.id)
            self.pass_checkpoint(block)
            self.order[block.id] = order
            try:
                self.step(block, block.items())
            except Malformed as error:
                raise self.in_block(block, f"a valid block that does not decode: {error}")
            self.by_id[block.id] = block
        self.pass_checkpoint(None)

    def compacted(self):
        """Whether blocks are gone that once were there."""
        return len(self.by_id) < max(self.by_id, default=0)

    def step(self, block, items):
        if block.kind in ("unstage", "commit", "prune"):
            need(len(items) == 1, f"a block of kind {block.kind} of {len(items)} items")
        if block.kind == "leaves":
            for index, item in enumerate(items):
                self.stage(decode(leaf_item, item), block, index)
        elif block.kind == "unstage":
            record = decode(unstage_record, items[0])
            self.reach(record["commit"], "what is unstaged")
            for key in record["keys"]:
                check_key(key)
                self.staged.pop(key, None)
            if not record["keys"]:
                self.staged.clear()
        elif block.kind == "prune":
            self.oldest = max(self.oldest, decode(prune_record, items[0])["oldest"])
        elif block.kind == "commit":
            self.commit(block, decode(commit_record, items[0]))

    def reach(self, commit, what):
        """What is staged for a commit shows that the one before it was."""
        if commit > self.number + 1:
            self.tree.update(self.staged)
            self.staged = {}
            self.number = commit - 1
            self.reached += 1
        elif commit <= self.number:
            self.odd.append(f"{what} is of commit {commit}, and {self.number} was before")

    def stage(self, found, block, index):
        summary = found["summary"]
        key = summary["key"]
        check_key(key)
        self.reach(summary["commit"], shown(key))
        lists = self.lists_of(found, block)
        if lists is None:
            self.compared["gone"] += 1
        else:
            check_lists(key, lists)
            check_summary(summary, lists["files"])
            check_standins(lists)
            removed = [item["removed"] for item in lists["tombstones"]]
            if removed != sorted(removed):
                self.odd.append(f"{shown(key)} has tombstones that are not by `removed`")
            self.compared["leaf_records"] += 1
            self.compared["manifests"] += bool(lists["files"])
        before = self.tree.get(key)
        previous = found["previous"] and (found["previous"]["block"], found["previous"]["index"])
        # What a compaction took away can't be named otherwise.
        gone = previous and previous[0] not in self.by_id
        if previous != (before and before.place) and not gone:
            self.odd.append(f"{shown(key)} names another previous record: {previous}")
        self.staged[key] = Leaf(found, (block.id, index), lists)

    # Stored lists (section 9.3).

    def lists_of(self, record, block):
        """The lists of a leaf record, None if a page is not there."""
        lists = {}
        for name, form in LISTS.items():
            kind, found = variant(record[name])
            if kind == "Here":
                size = sum(len(item["raw"]) for item in found)
                if size > PAGE_BYTES_MAX:
                    self.odd.append(f"{name} of {size} bytes in a leaf record")
                lists[name] = [item | {"holder": block.id} for item in found]
                continue
            lists[name] = self.paged(found, form, block, name)
            if lists[name] is None:
                return None
        return lists

    def paged(self, found, form, block, name):
        """A list in pages; None if one is not there."""
        items = [ref | {"holder": block.id} for ref in found["pages"]]
        upper = found["level"] + 1
        self.check_cut(upper, [items], f"page refs of {name}")
        for level in range(found["level"], -1, -1):
            below = form if level == 0 else page_ref
            pages = [self.page(ref, below) for ref in items]
            if None in pages:
                return None
            need(all(pages), "a page without items")
            self.check_cut(level, pages, f"pages of {name}")
            if len(pages) < 2:
                self.odd.append(f"{name} in a single page of level {level}")
            items = [item for page in pages for item in page]
        return items

    def page(self, ref, form):
        """The items of a page, None if it is not there."""
        place = ref["place"]["block"], ref["place"]["index"]
        if place[0] not in self.by_id:
            return None
        later = self.order[place[0]] >= self.order[ref["holder"]]
        need(not later, f"block {place[0]} does not come before what refers to it [S9-8]")
        known = self.pages.get((place, form))
        if known is None:
            try:
                data = self.item_of(*place, "pages")
            except Malformed as error:
                block = self.by_id[place[0]]
                where = self.name(block.number), block.offset, block.end - block.offset
                self.damaged(*where, f"page {place}: {error}")
                return None
            found = digest("record", data)
            items = [item | {"holder": place[0]} for item in page_items(form, data)]
            known = self.pages[(place, form)] = (found, items)
            self.compared["pages"] += 1
        need(known[0] == ref["digest"], f"the digest of page {place} [S9-8]")
        return known[1]

    def check_cut(self, level, pages, what):
        """The pages are those that the list is cut into."""

        def named(item):
            return (item["digest"] if level else path_of(item)), item["raw"]

        items = [named(item) for page in pages for item in page]
        sizes = [len(page) for page in pages_of(level, items)]
        if sizes != [len(page) for page in pages]:
            self.odd.append(f"{what} of level {level} are cut otherwise")

    def commit(self, block, record):
        number = self.commits[-1]["number"] if self.commits else 0
        self.copies.setdefault(record["number"], []).append(block.items())
        if record["number"] < self.number or record["number"] <= number:
            if self.copies[record["number"]][0] != block.items():
                self.odd.append(f"the copies of commit {record['number']} differ")
            return
        try:
            found = believed(record["signed"])
        except Malformed as error:
            raise self.in_block(block, f"commit {record['number']}: {error}")
        for leaf in self.staged.values():
            if leaf.summary["commit"] != record["number"]:
                self.odd.append(
                    f"{shown(leaf.summary['key'])} of commit {leaf.summary['commit']} came "
                    f"with commit {record['number']}"
                )
        self.tree.update(self.staged)
        self.staged = {}
        self.number = record["number"]
        self.commits.append(
            {
                "number": record["number"],
                "block": block.id,
                "record": record,
                "signer": record["signed"]["signer"],
                "snapshot": found,
                "digest": digest("snapshot", record["signed"]["body"]),
                "accepted_ms": record["accepted_ms"],
                "root": self.tree_root(),
                "place": (self.name(block.number), block.offset, block.end - block.offset),
            }
        )

    def tree_root(self):
        return root_digest(*self.leaves_and_bare(self.tree))

    def leaves_and_bare(self, tree):
        leaves = {key: leaf.digest for key, leaf in tree.items() if leaf.digest}
        bare = {key: leaf.summary["bare"] for key, leaf in tree.items()}
        return leaves, {key: of["node"] for key, of in bare.items() if of}

    # What the log has to agree with.

    def check_commits(self):
        for commit in self.commits:
            signed, file = commit["snapshot"]["root"], commit["place"]
            last = commit is self.commits[-1]
            # A compaction may have left commits whose states it did not keep.
            forgotten = commit["number"] < self.oldest
            if commit["root"] != signed:
                why = (
                    f"commit {commit['number']}: the tree has the root {commit['root'].hex()}, "
                    f"signed is {signed.hex()} [S9-9]"
                )
                if last:
                    self.damaged(*file, why)
                else:
                    (self.notes if forgotten else self.odd).append(why)
            commit["forgotten"] = forgotten
            copies = len(self.copies[commit["number"]])
            if copies != 2 and not commit["forgotten"]:
                self.odd.append(f"commit {commit['number']} is there {copies} times [S9-14]")
        if not self.commits:
            return
        last = self.commits[-1]
        counts = self.counts()
        signed = {name: last["snapshot"][name] for name in counts}
        if counts != signed:
            self.damaged(*last["place"], f"the tree has {counts}, signed is {signed} [S8-9]")

    def counts(self):
        leaves = [leaf.summary for leaf in self.tree.values()]
        leaves = [leaf for leaf in leaves if leaf["digest"] or leaf["bare"]]
        return {
            "leaves": sum(leaf["bare"]["leaves"] if leaf["bare"] else 1 for leaf in leaves),
            "entries": sum(leaf["entries"] for leaf in leaves),
            "bytes": sum(leaf["bytes"] for leaf in leaves),
        }

    # The checkpoint (section 10.4).

    def read_checkpoint(self):
        if not self.form or not os.path.exists(os.path.join(self.folder, "checkpoint")):
            return
        data = self.read("checkpoint")
        try:
            found = checkpoint_items(data, self.form)
            check_checkpoint(found)
        except Malformed as error:
            self.damaged("checkpoint", 0, len(data), str(error))
            return
        self.checkpoint = found | {"end": found["end"][0]}

    def pass_checkpoint(self, block):
        """Keeps the state of the log where the checkpoint was made."""
        if self.checkpoint is None or self.at_checkpoint is not None:
            return
        log = self.checkpoint["end"]["log"]
        if block and (block.number, block.offset) < (log["segment"], log["offset"]):
            return
        self.at_checkpoint = {
            "tree": dict(self.tree),
            "staged": len(self.staged),
            "blocks": list(self.by_id.values()),
            "commits": [c for c in self.commits if c["number"] >= self.oldest],
        }

    def check_checkpoint(self):
        if self.checkpoint is None:
            return
        try:
            self.compare_checkpoint(self.checkpoint, self.at_checkpoint)
        except Malformed as error:
            self.damaged("checkpoint", 0, len(self.read("checkpoint")), str(error))

    def compare_checkpoint(self, found, state):
        end, log = found["end"], found["end"]["log"]
        there = len(self.segments.get(log["segment"], b""))
        need(log["offset"] <= there, "the log is shorter than the checkpoint says [S10-9]")
        ends = {(block.number, block.end) for block in state["blocks"]}
        need((log["segment"], log["offset"]) in ends, "the checkpoint's log ends in no block's end")
        next_id = 1 + max(block.id for block in state["blocks"])
        need(log["next_id"] == next_id, f"next id {log['next_id']}, not {next_id}")
        need(state["staged"] == 0, "leaf records are staged where the checkpoint was made")
        leaves = {
            key: (leaf.summary, {"block": leaf.place[0], "index": leaf.place[1]})
            for key, leaf in state["tree"].items()
        }
        told = {
            leaf["summary"]["key"]: (leaf["summary"], leaf["place"]) for leaf in found["leaves"]
        }
        for key in sorted(leaves.keys() | told.keys()):
            need(leaves.get(key) == told.get(key), f"another leaf {shown(key)} in the checkpoint")
        tree = self.leaves_and_bare(state["tree"])
        nodes = node_digests(*tree) if any(tree) else {}
        nodes = {path: found for path, found in nodes.items() if path.count(b"/") <= 2 and found}
        told = {node["path"]: node["digest"] for node in found["nodes"]}
        for path in sorted(nodes.keys() | told.keys()):
            need(nodes.get(path) == told.get(path), f"another node {shown(path)} in the checkpoint")
        blocks = {(block.id, block.number, block.offset) for block in state["blocks"]}
        told = {(block["id"], block["segment"], block["offset"]) for block in found["blocks"]}
        need(blocks == told, f"other blocks in the checkpoint: {sorted(blocks ^ told)[:5]}")
        commits = [(c["number"], c["block"], c["accepted_ms"]) for c in state["commits"]]
        told = [(c["number"], c["block"], c["accepted_ms"]) for c in found["commits"]]
        need(commits == told, f"other commits: {commits}, not {told}")
        need(state["commits"][-1]["record"] == end["commit"], "another commit in the checkpoint")

    def check_small_records(self):
        for name, form in (("clean", clean_mark), ("published", published_mark)):
            if not os.path.exists(os.path.join(self.folder, name)):
                continue
            data = self.read(name)
            try:
                mark = decode(form, small_record(data))
            except Malformed as error:
                self.damaged(name, 0, len(data), str(error))
                continue
            self.notes.append(f"{name}: {line(mark)}")
            if name == "clean":
                self.check_clean(mark)

    def check_clean(self, mark):
        newest = max(self.segments, default=0)
        found = {
            "segment": newest,
            "offset": len(self.segments.get(newest, b"")),
            "next_id": 1 + max(self.by_id, default=0),
        }
        if found != mark["log"]:
            self.odd.append(f"clean says that the log ends at {mark['log']}, it does at {found}")
        none = {"segment": 0, "offset": 0, "next_id": 1}
        found = self.checkpoint["end"]["log"] if self.checkpoint else none
        if found != mark["checkpoint"]:
            self.odd.append(f"clean says that the checkpoint is of {mark['checkpoint']}: {found}")
        if newest and index_digest(os.path.join(self.folder, "catalogue")) != mark["index"]:
            self.odd.append("the index is not the one of the clean mark")

    # Contents (section 9.3).

    def item_of(self, number, index, kind):
        """An item of a block, or None if the block is not there."""
        block = self.by_id.get(number)
        if block is None:
            return None
        need(block.kind == kind, f"block {number} is of kind {block.kind}, not {kind}")
        if number not in self.unpacked:
            while len(self.unpacked) >= 16:
                del self.unpacked[next(iter(self.unpacked))]
            self.unpacked[number] = block.items()
        items = self.unpacked[number]
        need(index < len(items), f"block {number} has no item {index}")
        return items[index]

    def content(self, file):
        """The content of a file, None if it is lost; checked."""
        form, place = variant(file["content"])
        found = self.item_of(place["block"], place["index"], "contents")
        self.check_before(place["block"], file["holder"])
        if form == "Chunks" and found is not None:
            found = self.joined(found, self.by_id[place["block"]])
        if found is not None:
            size = file["entry"]["size"]
            need(len(found) == size, f"a content of {len(found)} bytes, not {size}")
            need(content_digest(found) == file["entry"]["digest"], "a content of another digest")
            self.compared["contents"] += 1
        return found

    def joined(self, data, block):
        """The chunks of a list in this block, joined; None if one is lost."""
        kind, found = variant(decode(stored(chunk_record), data))
        if kind == "Here":
            records = [item | {"holder": block.id} for item in found]
            size = sum(len(item["raw"]) for item in found)
            if size > PAGE_BYTES_MAX:
                self.odd.append(f"a list of chunks of {size} bytes in an item")
        else:
            records = self.paged(found, chunk_record, block, "chunks")
        if records is None:
            return None
        check_chunks([record["chunk"] for record in records])
        parts = []
        for record in records:
            place = record["place"]
            self.check_before(place["block"], record["holder"])
            part = self.item_of(place["block"], place["index"], "contents")
            if part is None:
                return None
            expected = record["chunk"]
            need(len(part) == expected["bytes"], "a chunk of another length")
            need(content_digest(part) == expected["digest"], "a chunk of another digest")
            parts.append(part)
        self.compared["chunks"] += len(parts)
        return b"".join(parts)

    def check_before(self, number, holder):
        if self.order.get(number, -1) >= self.order[holder]:
            self.odd.append(f"block {number} does not come before block {holder} [S9-8]")

    def walk(self, write):
        """Checks every content of the tree, and gives it to `write`."""
        counts = ("written", "in_storage", "lacking", "standins", "not_held")
        found = dict.fromkeys(counts, 0) | {"lost": []}
        for key in sorted(self.tree):
            leaf = self.tree[key]
            if leaf.lists is None:
                found["lost"].append(f"{shown(key)}: a page of its record")
                continue
            standins = {file["entry"]["path"]: file for file in leaf.lists["standins"]}
            for file in leaf.lists["files"]:
                path = file["entry"]["path"]
                form, _ = variant(file["content"])
                if form == "Storage":
                    found["in_storage"] += 1
                    continue
                if form == "NotHeld":
                    found["not_held"] += 1
                    continue
                if is_lacking(file):
                    found["lacking"] += 1
                    if path not in standins:
                        continue
                    found["standins"] += 1
                    file = standins[path]
                try:
                    content = self.content(file)
                except Malformed as error:
                    block = self.by_id[variant(file["content"])[1]["block"]]
                    place = self.name(block.number), block.offset, block.end - block.offset
                    self.damaged(*place, f"{shown(key + b'/' + path)}: {error}")
                    continue
                if content is None:
                    found["lost"].append(shown(key + b"/" + path))
                    continue
                write(key + b"/" + path, content, file["entry"]["mtime_ns"])
                found["written"] += 1
        return found


def index_digest(folder):
    """That of the index's files, as the clean mark has it (section 10.1)."""
    covered = bytearray()

    def below(path):
        for name in sorted(os.listdir(os.path.join(os.fsencode(folder), path))):
            found = os.path.join(path, name)
            whole = os.path.join(os.fsencode(folder), found)
            if os.path.isdir(whole):
                below(found)
                continue
            with open(whole, "rb") as file:
                covered.extend(len(found).to_bytes(8, "little") + found)
                covered.extend(content_digest(file.read()))

    if os.path.isdir(folder):
        below(b"")
    return digest("record", bytes(covered))


def writer(folder):
    """Writes files below a new folder."""
    if folder is None:
        return lambda path, content, mtime_ns: None
    os.mkdir(folder, 0o750)
    root = os.fsencode(folder)

    def write(path, content, mtime_ns):
        target = os.path.join(root, path)
        os.makedirs(os.path.dirname(target), 0o750, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with open(os.open(target, flags, 0o640), "wb") as file:
            file.write(content)
        os.utime(target, ns=(mtime_ns, mtime_ns))

    return write


def read_passphrase(path):
    """The passphrase in a file, or none [S10-7]."""
    if path is None:
        return None
    with open(path, "rb") as file:
        return file.read().removesuffix(b"\n")


def read_store(folder, to, signer, passphrase):
    store = Store(folder, passphrase)
    walked = {}
    try:
        store.read_log()
        store.read_checkpoint()
        store.replay()
        store.check_commits()
        store.check_checkpoint()
        store.check_small_records()
        if signer and any(commit["signer"].hex() != signer for commit in store.commits):
            last = store.commits[-1]
            store.damaged(*last["place"], "a commit of another signer [S6-2]")
        walked = store.walk(writer(to))
    except Refusal as refusal:
        store.damage.append(refusal.place)
    # What is lost without a damaged place would be a defect of the writer.
    if walked.get("lost") and not store.damage:
        store.damaged("segments", 0, 0, "contents refer to blocks that are not there")
    report = {
        "whole": not store.damage,
        "damage": store.damage,
        "sealed": bool(store.form and store.form.key),
        "odd": store.odd,
        "notes": store.notes,
        "kinds": {
            kind: sum(block.kind == kind for block in store.blocks) for kind in KINDS.values()
        },
        "segments": len(store.segments),
        "blocks": len(store.blocks),
        "staged": len(store.staged),
        "commits": len(store.commits),
        "forgotten": sum(commit.get("forgotten", False) for commit in store.commits),
        "compacted": store.compacted(),
        "reached": store.reached,
        "checkpoint": bool(store.checkpoint),
        "compared": store.compared
        | {
            "blocks": len(store.blocks),
            "roots": sum(c["root"] == c["snapshot"]["root"] for c in store.commits),
        },
        **store.counts(),
        **walked,
    }
    if store.commits:
        last = store.commits[-1]
        report |= {
            "commit": last["number"],
            "signer": last["signer"].hex(),
            "signature": "holds",
            "signed_root": last["snapshot"]["root"].hex(),
            "root": last["root"].hex(),
            "epoch": last["snapshot"]["cursor"]["epoch"]["counter"],
            "sequence": last["snapshot"]["cursor"]["sequence"],
            "copies": len(store.copies[last["number"]]),
            "every_root": all(
                c["root"] == c["snapshot"]["root"] for c in store.commits if not c.get("forgotten")
            ),
        }
    return report


def store_command(arguments):
    passphrase = read_passphrase(arguments.passphrase_file)
    report = read_store(arguments.store, arguments.to, arguments.signer, passphrase)
    if arguments.json:
        print(json.dumps(report))
    else:
        for name, value in report.items():
            if name == "damage":
                for place in value:
                    print(
                        f"damage: {place['file']} offset {place['offset']} "
                        f"length {place['length']}: {place['why']}"
                    )
            elif isinstance(value, list):
                for text in value:
                    print(f"{name}: {text}")
            else:
                print(f"{name}: {value}")
    if not report["whole"]:
        return 3
    if arguments.to and report.get("in_storage"):
        print(f"{report['in_storage']} contents are in the source's storage", file=sys.stderr)
        return 1
    return 0


# ------------------------------------------------------------- golden bytes


def page(level_and_items, item):
    """A page as it is hashed: level 0 and items."""
    need(level_and_items[:1] == b"\0", "a page of another level")
    data, items = level_and_items[1:], []
    while data:
        found, data = item(data)
        items.append(found)
    return items


def page_entry(data):
    length = int.from_bytes(data[:2], "little")
    rest = data[2 + length :]
    need(len(rest) >= 48, "a page that ends in an entry")
    found = {
        "path": data[2 : 2 + length],
        "size": int.from_bytes(rest[:8], "little"),
        "mtime_ns": int.from_bytes(rest[8:16], "little", signed=True),
        "digest": rest[16:48],
    }
    return found, rest[48:]


def page_child(data):
    length = int.from_bytes(data[1:3], "little")
    rest = data[3 + length :]
    need(data[0] <= 1 and len(rest) >= 32, "a page that ends in a child")
    found = {
        "kind": ("leaf", "node")[data[0]],
        "name": data[3 : 3 + length],
        "digest": rest[:32],
    }
    return found, rest[32:]


def manifest_page(data):
    entries = page(data, page_entry)
    check_ascending([found["path"] for found in entries], "entries of a page")
    found = manifest_digest(entries)
    need(found == digest("manifest", data), "the page is not that of its entries")
    return {"entries": entries, "digest of the manifest": found}


def node_page(data):
    children = page(data, page_child)
    order = [(found["name"], found["kind"]) for found in children]
    check_ascending(order, "children of a page")
    kinds = {"leaf": LEAF, "node": NODE}
    found = node_digest([(c["name"], kinds[c["kind"]], c["digest"]) for c in children])
    need(found == digest("node", data), "the page is not that of its children")
    return {"children": children, "digest of the node": found}


def golden_signed(data):
    signed = decode(signed_snapshot, data)
    return signed | {"body": believed(signed), "signature": "holds"}


def golden_commit(data):
    commit = decode(commit_record, data)
    commit["signed"]["body"] = believed(commit["signed"])
    return commit


def golden_leaf(data):
    item = decode(leaf_item, data)
    check_key(item["summary"]["key"])
    lists = {name: variant(item[name]) for name in LISTS}
    here = {name: found for name, (form, found) in lists.items() if form == "Here"}
    check_lists(item["summary"]["key"], here)
    if "files" in here:
        check_summary(item["summary"], here["files"])
    if len(here) == len(LISTS):
        check_standins(here)
    return item


def golden_page(form):
    def read(data):
        items = page_items(form, data)
        need(items, "a page without items")
        if form is file_record:
            check_ascending([path_of(item) for item in items], "items of a page")
        return {"items": items, "digest": digest("record", data)}

    return read


def golden_unstage(data):
    record = decode(unstage_record, data)
    for key in record["keys"]:
        check_key(key)
    return record


def golden_checkpoint(kind):
    """An item of a checkpoint; and of a file with it and an end in it."""

    def read(data):
        item = decode(CHECKPOINT_FORMS[kind], data)
        if kind == "leaves":
            check_key(item["summary"]["key"])
        if kind == "end":
            item["commit"]["signed"]["body"] = believed(item["commit"]["signed"])
        form = golden_form(PLAIN)
        file = made_header(form.id, CHECKPOINT)
        number = {name: number for number, name in CHECKPOINT_KINDS.items()}[kind]
        file += made_block(form, len(file), number, 1, data)
        try:
            found = checkpoint_items(file, form)[kind]
        except Malformed as error:
            need(kind != "end" and str(error) == "0 ends", f"a file with this item: {error}")
        else:
            need(len(found) == 1, "a file with this end")
        for at in range(len(file)):
            rotten = bytearray(file)
            rotten[at] ^= 1
            try:
                checkpoint_items(bytes(rotten), form)
            except Malformed as error:
                need(str(error) != "0 ends", f"byte {at} of a checkpoint may rot [S10-9]")
            else:
                raise Malformed(f"byte {at} of a checkpoint may rot [S10-9]")
        return item

    return read


def made_header(store, number):
    """A header as section 9.1 has it."""
    head = b"hikaeSEG" + PLAIN.to_bytes(4, "little") + number.to_bytes(4, "little") + store
    return head + digest("header", head)[:8]


def made_block(form, offset, kind, number, item):
    """A block of a checkpoint with one item, in codec 0."""
    body = (1).to_bytes(4, "little") + len(item).to_bytes(4, "little") + item
    size = len(body).to_bytes(4, "little")
    head = b"hkBL" + bytes([kind, 0, 0, 0]) + number.to_bytes(8, "little") + bytes(4)
    head += size + size + bytes(4) + digest("block", body)
    place = form.id + CHECKPOINT.to_bytes(4, "little") + offset.to_bytes(8, "little")
    head += digest("header", place + head)[:8]
    return head + body + bytes(-len(body) % 8)


GOLDEN_STORE = bytes([7]) * 16
GOLDEN_PASSPHRASE = "開けゴマ".encode()
GOLDEN_DATA_KEY = bytes([9]) * 32


def golden_form(version):
    return Form({"store": GOLDEN_STORE, "version": version})


def golden_header(number, version=PLAIN):
    def read(data):
        need(len(data) == SEGMENT_HEADER_BYTES, "not a header alone")
        head = segment_header(data)
        expected = {"version": version, "number": number, "store": GOLDEN_STORE}
        need(head == expected, "another header")
        return head

    return read


def golden_block_header(data):
    need(len(data) == BLOCK_HEADER_BYTES, "not a header alone")
    return block_header(data, golden_form(PLAIN), 1, 40)


def golden_key_file(data):
    found = decode(key_file, small_record(data))
    need(unwrapped(found, GOLDEN_STORE, GOLDEN_PASSPHRASE) == GOLDEN_DATA_KEY, "another key")
    return found


def golden_sealed_block(data):
    form = golden_form(SEALED)
    form.unlock(GOLDEN_DATA_KEY)
    block = Block(bytes(40) + data, form, 1, 40)
    need(block.end == 40 + len(data), "not one block")
    return {"header": block.head, "items": block.items()}


def golden_segment(data):
    head = segment_header(data)
    blocks, bad = blocks_of(data, Form(head), head["number"])
    need(not bad, f"bad places: {bad}")
    return {
        "header": head,
        "blocks": [
            {"offset": b.offset, "end": b.end, "kind": b.kind, "id": b.id, "items": b.items()}
            for b in blocks
        ],
    }


def golden_small_record(data):
    return {
        "value": decode(lambda p: {"number": p.u64(), "text": p.text()}, small_record(data))
    }


GOLDEN = {
    "acknowledge": frame,
    "bare": frame,
    "beyond": frame,
    "bundle": frame,
    "chunk_list": frame,
    "chunks": frame,
    "contents": frame,
    "fetch": frame,
    "fetch_only": frame,
    "listed": frame,
    "lists": frame,
    "manifest_page": manifest_page,
    "node_page": node_page,
    "offer_apart": frame,
    "offer_cursor": frame,
    "offer_empty": frame,
    "pack_raw": pack,
    "pack_zstd": pack,
    "proof": frame,
    "proof_end": frame,
    "pull": frame,
    "pull_new": frame,
    "pull_sparse": frame,
    "ranges": frame,
    "refused_forbidden": frame,
    "refused_malformed": frame,
    "refused_moved": frame,
    "refused_unavailable": frame,
    "signed_snapshot": golden_signed,
    "snapshot": of(snapshot),
    "block_header": golden_block_header,
    "commit_record": golden_commit,
    "checkpoint_block": golden_checkpoint("blocks"),
    "checkpoint_commit": golden_checkpoint("commits"),
    "checkpoint_end": golden_checkpoint("end"),
    "checkpoint_leaf": golden_checkpoint("leaves"),
    "checkpoint_node": golden_checkpoint("nodes"),
    "leaf_bare": golden_leaf,
    "leaf_empty": golden_leaf,
    "leaf_paged": golden_leaf,
    "leaf_record": golden_leaf,
    "page_files": golden_page(file_record),
    "page_pages": golden_page(page_ref),
    "chunk_records": of(stored(chunk_record)),
    "chunk_records_paged": of(stored(chunk_record)),
    "file_not_held": of(file_record),
    "file_partial": of(file_record),
    "sealed_block": golden_sealed_block,
    "segment": golden_segment,
    "segment_header": golden_header(1),
    "prune_record": of(prune_record),
    "small_record": golden_small_record,
    "store_id": golden_header(0),
    "store_id_sealed": golden_header(0, SEALED),
    "store_key": golden_key_file,
    "unstage_record": golden_unstage,
}


def golden_command(arguments):
    files = []
    for path in arguments.paths:
        if os.path.isdir(path):
            names = sorted(name for name in os.listdir(path) if name.endswith(".hex"))
            files += [os.path.join(path, name) for name in names]
        else:
            files.append(path)
    bad = 0
    for path in files:
        name = os.path.basename(path).removesuffix(".hex")
        try:
            need(name in GOLDEN, "a golden file that this reader does not know")
            with open(path, encoding="ascii") as file:
                data = bytes.fromhex(file.read())
            value = GOLDEN[name](data)
        except (Malformed, ValueError) as error:
            bad += 1
            print(f"BAD {name}: {error}")
        else:
            print(f"ok {name}: {len(data)} bytes")
            show(value, 1)
    print(f"{len(files) - bad} of {len(files)} golden files are good")
    return 3 if bad or not files else 0


# ------------------------------------------------------------------- showing


def shown(value):
    """Bytes as text where they are plain, else in hexadecimal."""
    if isinstance(value, (bytes, bytearray)):
        if value and all(0x20 <= byte < 0x7F for byte in value):
            return value.decode("ascii")
        return "0x" + bytes(value).hex()
    return str(value)


def plain(value):
    """The fields of a struct, without the bytes that it was."""
    return [(name, found) for name, found in value.items() if name != "raw"]


def line(value):
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {line(found)}" for name, found in plain(value)) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(line(found) for found in value) + "]"
    return shown(value)


def show(value, depth):
    indent = "    " * depth
    if isinstance(value, dict):
        for name, found in plain(value):
            if isinstance(found, (dict, list)) and found:
                print(f"{indent}{name}")
                show(found, depth + 1)
            else:
                print(f"{indent}{name}: {line(found)}")
    elif isinstance(value, list):
        for index, found in enumerate(value):
            if isinstance(found, (dict, list)) and found:
                print(f"{indent}{index}")
                show(found, depth + 1)
            else:
                print(f"{indent}{index}: {line(found)}")
    else:
        print(indent + line(value))


def main():
    parser = argparse.ArgumentParser(description="A second reader of hikae's formats.")
    commands = parser.add_subparsers(required=True)
    golden = commands.add_parser("golden", help="golden bytes, field by field")
    golden.add_argument("paths", nargs="+", metavar="FILE|FOLDER")
    golden.set_defaults(run=golden_command)
    store = commands.add_parser("store", help="a node's store folder")
    store.add_argument("store")
    store.add_argument("--to", metavar="DIR", help="write the tree to this new folder")
    store.add_argument("--passphrase-file", metavar="FILE", help="what opens a sealed store")
    store.add_argument("--signer", metavar="HEX", help="the node id that is trusted")
    store.add_argument("--json", action="store_true")
    store.set_defaults(run=store_command)
    arguments = parser.parse_args()
    try:
        return arguments.run(arguments)
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
