//! What a step tells, as a reader for programs wants it.

/// Each call, note or count in a line of its own, however narrow the terminal
/// was: what goes on below is put back where it belongs.
#[must_use]
pub fn unfolded(told: &str) -> String {
    let mut story = String::new();
    for line in told.lines() {
        let text = line.trim_end_matches('\r').trim_start_matches(' ');
        let is_more = line.starts_with("  ") && !text.is_empty();
        if is_more && !story.is_empty() {
            let shell_goes_on = story.ends_with(" \\");
            story.truncate(story.len() - usize::from(shell_goes_on));
            let part = text.starts_with(['–', '≙']);
            let gap = if part { "  " } else { " " };
            story = story.trim_end().to_owned() + gap;
        } else if !story.is_empty() {
            story.push('\n');
        }
        story += if is_more { text } else { line };
    }
    if told.ends_with('\n') {
        story.push('\n');
    }
    story
}
