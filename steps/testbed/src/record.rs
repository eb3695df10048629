//! A line for each claim that was judged, for the matrix of all environments.

/// What every line of a record begins with.
pub const MARK: &str = "#record";

/// What a line about an environment begins with: name, system, kernel and
/// cgroups follow, separated by tabs.
pub const ENVIRONMENT: &str = "#environment";

/// What a line about a claim that begins to be judged begins with; its name
/// follows. The last one without a verdict is where a binary died, or hangs.
pub const BEGUN: &str = "#begun";

/// Tells stdout that a claim begins to be judged.
pub fn begin(claim: &str) {
    if std::env::var_os("TEST_ENVIRONMENT").is_some() {
        println!("\n{BEGUN}\t{claim}");
    }
}

/// Tells stdout, if `TEST_ENVIRONMENT` names the environment: environment,
/// test binary, claim, result and reason (of a pass: how long it took),
/// separated by tabs. Not a file: the files of a playground go with it.
pub fn tell(claim: &str, result: &str, reason: &str) {
    let Ok(environment) = std::env::var("TEST_ENVIRONMENT") else {
        return;
    };
    let exe = std::env::current_exe().unwrap_or_default();
    let exe = exe.file_name().unwrap_or_default().to_string_lossy();
    // cargo adds a hash to the name: `matrix-0f3a…`.
    let binary = exe.rsplit_once('-').map_or(&*exe, |(name, _)| name);
    let reason = reason.split(char::is_control).collect::<Vec<_>>().join(" ");
    println!("\n{MARK}\t{environment}\t{binary}\t{claim}\t{result}\t{reason}");
}
