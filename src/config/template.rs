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
#url = "sqlite:///var/lib/ssmix/index.db"
#table = "SSMIXIDX"
#overlap = "10m"              # how late a transaction may commit

# Who may pull.
#[[peer]]
#name = "backup-east"
#id = "<node id that `hikae init` printed there>"

#[schedule]
#hints = "60s"                # between refreshes while nobody pulls
#walk = "7d"                  # every volume is walked within this time
#reread = "28d"               # every content is read again within this time
"#;

const REPLICA: &str = r#"
# Segments and catalogue; default <home>/store.
#store = "/var/lib/hikae/store"

# Encrypt the store. It can't be changed later: a store is sealed from its
# first day or never. Who loses the passphrase loses the copy. The plain tree
# below is not sealed.
#seal = true
#passphrase_file = "/etc/hikae/passphrase"    # mode 0600

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

# Others may pull from this copy.
#[[listen]]
#link = "sinet"
#addr = "10.9.3.1:4433"
#[[peer]]
#name = "laptop-3"
#id = "<node id that `hikae init` printed there>"
"#;

/// The text of a new `hikae.toml`.
pub fn template(role: Role) -> String {
    match role {
        Role::Center => CENTER.into(),
        Role::Backup => format!(
            "# hikae: a backup. It pulls from a source and keeps a copy.\nrole = \"backup\"\n{REPLICA}"
        ),
        // A laptop gets lost: its store is sealed unless somebody says no.
        Role::Laptop => format!(
            "# hikae: a laptop. It pulls from a source and keeps a copy.\nrole = \"laptop\"\n{}",
            REPLICA.replace("#seal = true", "seal = true")
        ),
    }
}
