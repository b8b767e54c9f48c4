//! The commented configuration that `init` writes.

use super::Role;

const CENTER: &str = r#"# hikae: a center. It has the storage and signs its snapshots.
role = "center"

# One table per link that peers reach us by.
#[[listen]]
#link = "sinet"
#addr = "10.9.1.1:4433"

# Every <facility>/<label>/ below this folder is a volume.
#[volumes]
#discover = "/ssmix"

# Single volumes that lie elsewhere.
#[[volume]]
#facility = "0410000001"
#label = "STD01"
#root = "/data/old/0410000001"

# Names the directories that changed. Without one the walk finds changes.
#[index_db]
#url = "postgres://hikae@db.example/ssmix"    # or mysql://, sqlite:///path/index.db, lines:
#table = "SSMIXIDX"
#overlap = "10m"              # how late a transaction may commit
#zone = "+09:00"              # of UpdateDatetime, where the column has none

# Who may pull.
#[[peer]]
#name = "backup-east"
#id = "<node id that `hikae init` printed there>"
#volumes = ["*"]              # what it may have: "facility/label", * as a wildcard

#[schedule]
#hints = "60s"                # between refreshes while nobody pulls
#walk = "7d"                  # every volume is walked within this time
#reread = "28d"               # every content is read again within this time
"#;

const SEAL_BACKUP: &str = r#"
# Encrypt the store. It can't be changed later: a store is sealed from its
# first day or never. Who loses the passphrase loses the copy. The plain tree
# below is not sealed.
#seal = true
#passphrase_file = "/etc/hikae/passphrase"    # mode 0600
"#;

const SEAL_LAPTOP: &str = r#"
# A laptop gets lost: its store is always encrypted. Who loses the passphrase
# loses the copy. It is typed where a command starts at a terminal, given by
# `hikae unlock` to one that does not, or read from a file.
seal = true
#passphrase_file = "/etc/hikae/passphrase"    # mode 0600
"#;

const REPLICA: &str = r#"
# Segments and catalogue; default <home>/store.
#store = "/var/lib/hikae/store"

# Publish the plain SS-MIX2 tree as <tree>/<facility>/<label>/...
#tree = "/ssmix"

# Where to pull from. Several that hand on one signer's snapshots: they are
# asked in this order until the signer itself answered.
#[[source]]
#id = "<node id of the center>"
#trust = "<node id that signs>"   # the center's, when pulling from a backup
#patience = "45s"             # with every link lost, wait so long for one
#[[source.link]]
#name = "sinet"
#remote = "10.9.1.1:4433"
#local = "10.9.1.2"           # the local address to leave by
#rate = "800Mbit/s"           # at most
#hours = "20:00-06:00"        # local time
# A second link works beside the first, and alone when that fails.
#[[source.link]]
#name = "commercial"
#remote = "10.9.2.1:4433"
#local = "10.9.2.2"

# Keep less than everything. The copy still proves itself against what the
# center signed.
#[filter]
#volumes = ["0410000001/*"]   # "facility/label", with * as a wildcard
#kinds = ["ADT-*", "PPR-01", "OMP-*", "OML-11"]
#since = "2y"                 # records without a date are kept

# Others may pull from this copy.
#[[listen]]
#link = "sinet"
#addr = "10.9.3.1:4433"
#[[peer]]
#name = "laptop-3"
#id = "<node id that `hikae init` printed there>"

# When too many records of a volume are removed, renamed or changed in place
# within 7 days, its tree stays as it is until you `approve` or `reject`.
#[guard]
#share = 0.05                 # of the volume's records
#records = 1000               # or so many
#in_place = 20                # or so many that were changed in place

# How long past states can be looked at and restored.
#[retention]
#keep = "90d"

# While `serve` or `sync --follow` runs.
#[schedule]
#verify = "28d"               # everything is read again within this time
#prune = "1d"                 # what is beyond the retention is forgotten
"#;

/// The text of a new `hikae.toml`.
pub fn template(role: Role) -> String {
    match role {
        Role::Center => CENTER.into(),
        Role::Backup => format!(
            "# hikae: a backup. It pulls from a source and keeps a copy.\nrole = \"backup\"\n\
             {SEAL_BACKUP}{REPLICA}"
        ),
        Role::Laptop => format!(
            "# hikae: a laptop. It pulls from a source and keeps a copy.\nrole = \"laptop\"\n\
             {SEAL_LAPTOP}{REPLICA}"
        ),
    }
}
