//! What this host may lack.

/// What a check of an exercise needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// More than one user id.
    Ids,
    /// A cgroup that is ours to give.
    Cgroup,
    /// The pretend internet.
    Internet,
    /// The other programs of the workshop, built.
    Programs,
}

impl Need {
    /// Why this playground lacks it, if it does.
    #[must_use]
    pub fn lacks(self) -> Option<&'static str> {
        let variable = |name| std::env::var(name).unwrap_or_default();
        match self {
            Need::Ids if variable("PLAYGROUND_IDS") == "1" => Some(
                "you have only one user id: there is no range for you in \
                 /etc/subuid",
            ),
            Need::Cgroup
                if ["", "none"].contains(&&*variable("PLAYGROUND_CGROUP")) =>
            {
                Some("this host gives you no cgroup of your own")
            }
            Need::Internet if variable("PLAYGROUND_INTERNET").is_empty() => {
                Some("the program ip is missing, so there is no internet")
            }
            _ => None,
        }
    }
}
