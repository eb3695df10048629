//! What was probably meant.

/// The name that is nearest to what was written, or all names if they are few.
#[must_use]
pub fn near(written: &str, names: &[&str]) -> String {
    let distance = |name: &str| strsim::damerau_levenshtein(written, name);
    let nearest = names.iter().min_by_key(|name| distance(name));
    match nearest {
        Some(nearest) if distance(nearest) <= 3 => {
            format!("did you mean {nearest}?")
        }
        _ if names.len() < 50 => format!("these exist: {}", names.join(", ")),
        _ => "the kernel has none of that name".into(),
    }
}
