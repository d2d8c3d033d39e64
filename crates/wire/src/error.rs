use tallylight_model::IdError;

/// Says why a request that claims to be ours cannot be read. Sending it again cannot help.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum WireError {
    /// There is more in the request than one request may hold.
    #[error("request has more than {limit} {what}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How much is allowed.
        limit: usize,
    },
    /// An attribute that must be there is not.
    #[error("attribute {attribute} is missing")]
    Missing {
        /// The attribute.
        attribute: &'static str,
    },
    /// An attribute or point has a value of the wrong kind or out of its range.
    #[error("{field} is not {expected}")]
    Wrong {
        /// The attribute or metric.
        field: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// An id breaks a rule of ids.
    #[error("{attribute} is not an id: {rule}")]
    Id {
        /// The attribute.
        attribute: &'static str,
        /// The rule.
        rule: IdError,
    },
    /// Sums of slices are deltas; somebody in between has made them cumulative.
    #[error("{metric} is not a delta sum")]
    NotDelta {
        /// The metric.
        metric: &'static str,
    },
}
