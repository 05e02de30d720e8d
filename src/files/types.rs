//! What files are for, and which kinds there are: no I/O.

use uuid::Uuid;

use crate::types::text_enum;

/// A file: `stm.files.id`, a random UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, sqlx::Type)]
#[sqlx(transparent)]
pub(crate) struct FileId(pub Uuid);

impl FileId {
    pub(super) fn random() -> Self {
        Self(Uuid::new_v4())
    }

    /// The folder of its objects.
    pub(super) fn key(self) -> String {
        format!("files/{}", self.0)
    }
}

/// A file that is stored.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub id: FileId,
    /// The cleaned name of this upload.
    pub name: String,
    /// Its size as it is served.
    pub bytes: i64,
}

text_enum! {
    /// What a file is for.
    Purpose {
        JobImage = "job_image",
        ChatAttachment = "chat_attachment",
        ProviderDocument = "provider_document",
        ProviderLogo = "provider_logo",
        ProviderBanner = "provider_banner",
        GalleryImage = "gallery_image",
    }
}

const MIB: u64 = 1024 * 1024;

impl Purpose {
    /// The name of the form's field.
    pub(super) const fn field(self) -> &'static str {
        match self {
            Self::JobImage => "images",
            Self::ChatAttachment => "files",
            Self::ProviderDocument | Self::ProviderLogo | Self::ProviderBanner | Self::GalleryImage => "file",
        }
    }

    pub(super) const fn kinds(self) -> &'static [Kind] {
        use Kind::{Doc, Docx, Gif, Jpeg, Pdf, Png, Text, Webp, Xls, Xlsx};
        match self {
            Self::JobImage => &[Jpeg, Png, Gif, Webp],
            Self::ChatAttachment => &[Pdf, Png, Jpeg, Gif, Webp, Doc, Docx, Xls, Xlsx, Text],
            Self::ProviderDocument => &[Pdf, Png, Jpeg, Doc, Docx],
            Self::ProviderLogo | Self::ProviderBanner | Self::GalleryImage => &[Jpeg, Png, Webp],
        }
    }

    pub(super) const fn max_bytes(self) -> u64 {
        match self {
            Self::ProviderLogo => 2 * MIB,
            Self::ProviderBanner => 3 * MIB,
            Self::JobImage | Self::GalleryImage => 5 * MIB,
            Self::ChatAttachment | Self::ProviderDocument => 10 * MIB,
        }
    }

    pub(super) const fn max_files(self) -> usize {
        match self {
            Self::JobImage | Self::ChatAttachment => 10,
            Self::ProviderDocument | Self::ProviderLogo | Self::ProviderBanner | Self::GalleryImage => 1,
        }
    }
}

/// A kind of file that somebody may upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Jpeg,
    Png,
    Gif,
    Webp,
    Pdf,
    Doc,
    Docx,
    Xls,
    Xlsx,
    Text,
}

impl Kind {
    pub(super) const ALL: [Self; 10] = [
        Self::Jpeg,
        Self::Png,
        Self::Gif,
        Self::Webp,
        Self::Pdf,
        Self::Doc,
        Self::Docx,
        Self::Xls,
        Self::Xlsx,
        Self::Text,
    ];

    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::Gif => "image/gif",
            Self::Webp => "image/webp",
            Self::Pdf => "application/pdf",
            Self::Doc => "application/msword",
            Self::Docx => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            Self::Xls => "application/vnd.ms-excel",
            Self::Xlsx => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            Self::Text => "text/plain",
        }
    }

    pub(super) fn of_content_type(content_type: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.content_type() == content_type)
    }

    /// The endings of its names in lower case, the usual one first.
    pub(super) const fn endings(self) -> &'static [&'static str] {
        match self {
            Self::Jpeg => &["jpg", "jpeg", "jpe", "jfif"],
            Self::Png => &["png"],
            Self::Gif => &["gif"],
            Self::Webp => &["webp"],
            Self::Pdf => &["pdf"],
            Self::Doc => &["doc"],
            Self::Docx => &["docx"],
            Self::Xls => &["xls"],
            Self::Xlsx => &["xlsx"],
            Self::Text => &["txt"],
        }
    }

    pub(super) fn is_picture(self) -> bool {
        matches!(self, Self::Jpeg | Self::Png | Self::Gif | Self::Webp)
    }

    /// Whether a browser shows it rather than saving it.
    pub(super) fn is_inline(self) -> bool {
        self.is_picture() || self == Self::Pdf
    }
}
