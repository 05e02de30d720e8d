//! Pages: `{data, pagination: {total, page, limit, totalPages}}`.

use serde::Serialize;
use utoipa::ToSchema;

use super::fields::{Fields, MAX_OFFSET};

/// The number of rows of a page, unless the client sets it.
pub(crate) const DEFAULT_LIMIT: i64 = 20;

/// The requested page of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PageRequest {
    /// The number of the page, from 1.
    pub page: i64,
    /// Rows per page.
    pub limit: i64,
}

impl PageRequest {
    /// A page of one row, for the total of a list whose requested page is empty.
    pub(crate) const ONE_ROW: Self = Self { page: 1, limit: 1 };

    /// Checks `page` and `limit`.
    pub(crate) fn read(rules: &mut Fields, page: Option<i64>, limit: Option<i64>) -> Self {
        let limit = rules.limit(limit, DEFAULT_LIMIT);
        let page = page.unwrap_or(1);
        let is_in_reach = (1..=MAX_OFFSET).contains(&page) && (page - 1).saturating_mul(limit) <= MAX_OFFSET;
        rules.check("page", is_in_reach, "must be at least 1, and reach no further than 100000 rows");
        Self { page, limit }
    }

    /// The number of rows before the page.
    pub(crate) const fn offset(self) -> i64 {
        (self.page - 1).saturating_mul(self.limit)
    }
}

/// A part of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Page<T> {
    /// The page's rows.
    data: Vec<T>,
    pagination: Pagination,
}

/// The position of a page in its list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Pagination {
    /// How many rows the list has.
    total: i64,
    page: i64,
    limit: i64,
    total_pages: i64,
}

impl Pagination {
    /// The position of the requested page in a list of `total` rows.
    pub(crate) const fn new(total: i64, PageRequest { page, limit }: PageRequest) -> Self {
        Self { total, page, limit, total_pages: (total + limit - 1) / limit }
    }
}

impl<T> Page<T> {
    /// The requested page of a list of `total` rows.
    pub(crate) const fn new(data: Vec<T>, total: i64, page: PageRequest) -> Self {
        Self { data, pagination: Pagination::new(total, page) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_counted() {
        for (total, pages) in [(0, 0), (1, 1), (20, 1), (21, 2)] {
            let page = Page::<()>::new(Vec::new(), total, PageRequest { page: 1, limit: 20 });
            assert_eq!(page.pagination.total_pages, pages);
        }
    }

    #[test]
    fn pages_out_of_reach_are_refused() {
        for (page, limit, ok) in
            [(1, 20, true), (0, 20, false), (1001, 100, true), (1002, 100, false), (i64::MAX, 1, false)]
        {
            let mut rules = Fields::new();
            let _page = PageRequest::read(&mut rules, Some(page), Some(limit));
            assert_eq!(rules.finish().is_ok(), ok, "{page} {limit}");
        }
    }
}
