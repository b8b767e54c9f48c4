//! The tables and keys of `hikae.toml`.

use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use hikae_protocol::limits::{PATTERN_BYTES_MAX, PATTERNS_MAX};
use hikae_protocol::snapshot::NodeId;
use serde::de::{MapAccess, SeqAccess, Visitor, value};
use serde::{Deserialize, Deserializer, Serialize, de};

use super::database::DatabaseUrl;
use super::quantity::{Hours, Rate, Zone, duration, share, some_span, some_time};

/// What a node is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Has the storage, signs snapshots.
    Center,
    /// Pulls, publishes, may serve.
    Backup,
    /// Pulls, shows.
    Laptop,
}

/// The file as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub role: Role,
    pub store: Option<PathBuf>,
    pub tree: Option<PathBuf>,
    #[serde(default)]
    pub seal: bool,
    pub passphrase_file: Option<PathBuf>,
    #[serde(default, deserialize_with = "one_or_many")]
    pub listen: Vec<Listen>,
    #[serde(default, deserialize_with = "one_or_many")]
    pub index_db: Vec<IndexDb>,
    pub volumes: Option<Volumes>,
    #[serde(default, deserialize_with = "one_or_many")]
    pub volume: Vec<Volume>,
    #[serde(default, deserialize_with = "one_or_many")]
    pub peer: Vec<Peer>,
    #[serde(default, deserialize_with = "one_or_many")]
    pub source: Vec<Source>,
    #[serde(default)]
    pub schedule: Schedule,
    #[serde(default)]
    pub guard: Guard,
    #[serde(default)]
    pub retention: Retention,
    pub filter: Option<Filter>,
}

/// An address that peers reach us by.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// The link's name.
    pub link: String,
    /// Address and UDP port.
    pub addr: SocketAddr,
}

/// An INDEX DB.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndexDb {
    /// Where it is.
    pub url: DatabaseUrl,
    /// The table.
    #[serde(default = "default_table")]
    pub table: String,
    /// How late a transaction may commit after its UpdateDatetime.
    #[serde(default = "default_overlap", deserialize_with = "duration")]
    pub overlap: Duration,
    /// How far UpdateDatetime is from UTC, where the column says nothing of
    /// it.
    pub zone: Option<Zone>,
}

fn default_table() -> String {
    "SSMIXIDX".into()
}

fn default_overlap() -> Duration {
    Duration::from_secs(600)
}

/// Where volumes are found.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Volumes {
    /// Every `<facility>/<label>/` below is a volume.
    pub discover: PathBuf,
}

/// One volume.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Volume {
    /// Facility id.
    pub facility: String,
    /// Volume label.
    pub label: String,
    /// The SS-MIX2 root.
    pub root: PathBuf,
}

/// Who may pull.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// For messages.
    pub name: String,
    /// The peer's node id.
    #[serde(deserialize_with = "node_id")]
    pub id: NodeId,
    /// "facility/label", with * as a wildcard.
    #[serde(default = "all_volumes")]
    pub volumes: Vec<String>,
}

fn all_volumes() -> Vec<String> {
    vec!["*".into()]
}

/// A node to pull from.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Its node id.
    #[serde(deserialize_with = "node_id")]
    pub id: NodeId,
    /// Who signs its snapshots; default: itself.
    #[serde(default, deserialize_with = "some_node_id")]
    pub trust: Option<NodeId>,
    /// How long a pull waits, with every link lost, for one to come back.
    #[serde(default = "default_patience", deserialize_with = "duration")]
    pub patience: Duration,
    /// Network paths to it.
    #[serde(default, deserialize_with = "one_or_many")]
    pub link: Vec<SourceLink>,
}

fn default_patience() -> Duration {
    Duration::from_secs(45)
}

impl Source {
    /// Who signs the snapshots.
    pub fn signer(&self) -> NodeId {
        self.trust.unwrap_or(self.id)
    }
}

/// A network path to a source.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceLink {
    /// For messages.
    pub name: String,
    /// Address and UDP port of the source.
    pub remote: SocketAddr,
    /// The local address to leave by.
    pub local: Option<IpAddr>,
    /// At most this.
    pub rate: Option<Rate>,
    /// Only then.
    pub hours: Option<Hours>,
}

/// When a center's storage is walked.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Schedule {
    /// Between refreshes by hints while serving.
    #[serde(deserialize_with = "some_time")]
    pub hints: Duration,
    /// Every volume is walked within this time.
    #[serde(deserialize_with = "duration")]
    pub walk: Duration,
    /// Every content is read again within this time.
    #[serde(deserialize_with = "duration")]
    pub reread: Duration,
    /// At a replica that stays: everything is verified within this time.
    #[serde(deserialize_with = "some_time")]
    pub verify: Duration,
    /// At a replica that stays: between two looks for what is beyond the
    /// retention.
    #[serde(deserialize_with = "some_time")]
    pub prune: Duration,
}

const DAY: u64 = 24 * 60 * 60;

impl Default for Schedule {
    fn default() -> Schedule {
        Schedule {
            hints: Duration::from_secs(60),
            walk: Duration::from_secs(7 * DAY),
            reread: Duration::from_secs(28 * DAY),
            verify: Duration::from_secs(28 * DAY),
            prune: Duration::from_secs(DAY),
        }
    }
}

/// Suspect files after which the publication of a volume is held, by default.
const GUARD_RECORDS: NonZeroU64 = NonZeroU64::new(1000).unwrap();
/// The same, of those that were changed in place.
const GUARD_IN_PLACE: NonZeroU64 = NonZeroU64::new(20).unwrap();

/// When the publication of a volume is held.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Guard {
    /// Share of a volume's records.
    #[serde(deserialize_with = "share")]
    pub share: f64,
    /// Records.
    pub records: NonZeroU64,
    /// Records that were changed in place, or are no messages any more.
    pub in_place: NonZeroU64,
}

impl Default for Guard {
    fn default() -> Guard {
        Guard {
            share: 0.05,
            records: GUARD_RECORDS,
            in_place: GUARD_IN_PLACE,
        }
    }
}

/// How long history is kept.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// By the replica's own clock.
    #[serde(deserialize_with = "some_time")]
    pub keep: Duration,
}

impl Default for Retention {
    fn default() -> Retention {
        Retention {
            keep: Duration::from_secs(90 * DAY),
        }
    }
}

/// What a sparse replica keeps.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// "facility/label", with * as a wildcard.
    pub volumes: Option<Vec<String>>,
    /// Data kinds, with * as a wildcard.
    pub kinds: Option<Vec<String>>,
    /// Records of this period up to now.
    #[serde(default, deserialize_with = "some_span")]
    pub since: Option<Duration>,
}

impl File {
    /// Whether the values go together, and are in force in this version.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.seal && self.role == Role::Center {
            return Err(
                "seal = true at a center would protect nothing: its storage lies beside it in \
                 clear; seal a backup or a laptop"
                    .into(),
            );
        }
        if self.role == Role::Laptop && !self.seal {
            return Err(
                "role = \"laptop\" needs seal = true: a laptop gets lost, so its store is always \
                 sealed"
                    .into(),
            );
        }
        if self.passphrase_file.is_some() && !self.seal {
            return Err("passphrase_file is for a sealed store: it needs seal = true".into());
        }
        self.check_patterns()?;
        match self.role {
            Role::Center if self.filter.is_some() => {
                Err("a center has no [filter]: it signs what its storage has".into())
            }
            Role::Center if !self.source.is_empty() => Err("a center has no [source]".into()),
            Role::Center if self.tree.is_some() => {
                Err("a center has no tree: it has volumes".into())
            }
            Role::Backup | Role::Laptop if self.volumes.is_some() || !self.volume.is_empty() => {
                Err("only a center has volumes".into())
            }
            Role::Backup | Role::Laptop if !self.index_db.is_empty() => {
                Err("only a center has an [index_db]".into())
            }
            _ => self.check_names(),
        }
    }

    fn check_patterns(&self) -> Result<(), String> {
        let filter = self.filter.as_ref();
        let lists = [
            filter.and_then(|filter| Some(("[filter] volumes", filter.volumes.as_ref()?))),
            filter.and_then(|filter| Some(("[filter] kinds", filter.kinds.as_ref()?))),
        ];
        let lists = lists
            .into_iter()
            .flatten()
            .map(|(name, list)| (name.to_string(), list));
        let peers = self.peer.iter();
        let peers = peers.map(|peer| (format!("[[peer]] {:?} volumes", peer.name), &peer.volumes));
        for (name, patterns) in lists.chain(peers) {
            if patterns.is_empty() || patterns.len() > PATTERNS_MAX {
                return Err(format!(
                    "{name}: expected 1 to {PATTERNS_MAX} patterns, like \"*\""
                ));
            }
            let wrong = patterns
                .iter()
                .find(|pattern| pattern.is_empty() || pattern.len() > PATTERN_BYTES_MAX);
            if wrong.is_some() {
                return Err(format!(
                    "{name}: expected patterns of 1 to {PATTERN_BYTES_MAX} bytes"
                ));
            }
            if name.ends_with("volumes")
                && let Some(wrong) = patterns
                    .iter()
                    .find(|pattern| *pattern != "*" && !pattern.contains('/'))
            {
                return Err(format!(
                    "{name}: {wrong:?}: expected \"facility/label\", with * as a wildcard"
                ));
            }
        }
        Ok(())
    }

    fn check_names(&self) -> Result<(), String> {
        let mut seen = BTreeSet::new();
        for Volume {
            facility, label, ..
        } in &self.volume
        {
            for part in [facility, label] {
                hikae_protocol::objectpath::check_component(part.as_bytes())
                    .map_err(|error| format!("[[volume]]: {error}"))?;
            }
            if !seen.insert((facility, label)) {
                return Err(format!("[[volume]] {facility}/{label} is named twice"));
            }
        }
        for source in &self.source {
            let first = self.source.first().map(Source::signer);
            if first != Some(source.signer()) {
                return Err(format!(
                    "[[source]] {}: every source has to hand on the snapshots of one signer; \
                     expected trust = the node id that signs",
                    source.id
                ));
            }
            if source.link.is_empty() {
                return Err(format!(
                    "[source] {}: expected at least one [[source.link]]",
                    source.id
                ));
            }
        }
        Ok(())
    }
}

fn node_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NodeId, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse()
        .map_err(|error| de::Error::custom(format!("{text:?} is no node id: {error}")))
}

fn some_node_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<NodeId>, D::Error> {
    node_id(deserializer).map(Some)
}

/// `[table]` for one, `[[table]]` for several.
fn one_or_many<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    struct OneOrMany<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrMany<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a table, or several")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Vec<T>, A::Error> {
            T::deserialize(value::MapAccessDeserializer::new(map)).map(|one| vec![one])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, sequence: A) -> Result<Vec<T>, A::Error> {
            Vec::deserialize(value::SeqAccessDeserializer::new(sequence))
        }
    }
    deserializer.deserialize_any(OneOrMany(PhantomData))
}
