//! The pages that say no. None of them tells whether there is such a patient.

use super::{Gate, GateError, User};
use crate::viewer::layout;
use crate::viewer::request::{Reply, Request};

impl Gate {
    /// The page of what is not there.
    pub(in crate::viewer) fn missing(&self, user: &User, request: &Request) -> Reply {
        let language = request.language();
        let title = language.pick("見つかりません", "Not found");
        let text = language.pick(
            "この患者、記録、またはスナップショットはこの端末にはありません。",
            "This device has no such patient, record or snapshot.",
        );
        self.message(user, request, (404, title, text))
    }

    /// The page that says no: the same for what is not there.
    pub(in crate::viewer) fn refused(&self, user: &User, request: &Request) -> Reply {
        let language = request.language();
        let title = language.pick("閲覧できません", "Not open to you");
        let text = language.pick(
            "この診療録やページを見る権限がありません。操作は記録されました。",
            "You have no right to see this record or page. This was logged.",
        );
        self.message(user, request, (403, title, text))
    }

    /// The page of a failure, which says nothing of a patient.
    pub(in crate::viewer) fn failed(
        &self,
        user: &User,
        request: &Request,
        error: &GateError,
    ) -> Reply {
        tracing::error!(%error, "a page could not be shown");
        let language = request.language();
        let title = language.pick("表示できません", "Nothing can be shown");
        let text = match error {
            GateError::Audit(_) | GateError::Vault(_) => language.pick(
                "監査記録を書けないため、何も表示しません。管理者に連絡してください。",
                "The audit log can't be written, so nothing is shown.",
            ),
            GateError::Catalogue(_) => language.pick(
                "保管庫を読めません。管理者に連絡してください。",
                "The store can't be read.",
            ),
        };
        self.message(user, request, (500, title, text))
    }

    fn message(
        &self,
        user: &User,
        request: &Request,
        (status, title, text): (u16, &str, &str),
    ) -> Reply {
        let frame = self.frame(user, request, title);
        Reply::Page {
            status,
            markup: layout::message(&frame.frame(), title, text),
        }
    }
}
