//! Attribute lists (RFC 8216, 4.2).

/// Walks over `NAME=value,NAME="quoted, value"`; quotes are taken off. What has no `=` is passed over.
pub(super) struct Attributes<'a> {
    rest: &'a str,
}

impl<'a> Attributes<'a> {
    pub(super) const fn new(list: &'a str) -> Self {
        Self { rest: list }
    }

    /// Returns the value of the first attribute of that name.
    pub(super) fn get(list: &'a str, name: &str) -> Option<&'a str> {
        Self::new(list).find(|(found, _)| *found == name).map(|(_, value)| value)
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let rest = self.rest.trim_start_matches([',', ' ', '\t']);
            let end = rest.find(['=', ','])?;
            let (name, tail) = rest.split_at(end);
            let Some(value) = tail.strip_prefix('=') else {
                self.rest = tail;
                continue;
            };
            let (value, rest) = match value.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
                None => {
                    let end = value.find(',').unwrap_or(value.len());
                    (value.get(..end)?.trim(), value.get(end..)?)
                }
            };
            self.rest = rest;
            return Some((name.trim(), value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_split_at_commas_outside_quotes() {
        let cases: [(&str, &[(&str, &str)]); 7] = [
            ("A=1,B=\"x,y=z\",C=d", &[("A", "1"), ("B", "x,y=z"), ("C", "d")]),
            (" A = 1 , B=2", &[("A", "1"), ("B", "2")]),
            ("JUNK,A=1", &[("A", "1")]),
            ("A=\"open, B=2", &[("A", "open, B=2")]),
            ("A=,B=\"\"", &[("A", ""), ("B", "")]),
            ("", &[]),
            (",,,", &[]),
        ];
        for (list, expected) in cases {
            assert_eq!(Attributes::new(list).collect::<Vec<_>>(), expected, "{list}");
        }
        assert_eq!(Attributes::get("A=1,A=2", "A"), Some("1"));
    }
}
