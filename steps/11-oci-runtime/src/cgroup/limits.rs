//! What a config.json calls a limit, and the files of a cgroup for it.

use anyhow::{Result, ensure};
use oci_spec::runtime::LinuxResources;
use serde_json::Value;

/// Its place in linux.resources, and its file in v1 and in v2. The first word of
/// a file is its controller.
const LIMITS: [(&str, &str, &str); 17] = [
    ("/memory/limit", "memory.limit_in_bytes", "memory.max"),
    ("/memory/swap", "memory.memsw.limit_in_bytes", "memory.swap.max"),
    ("/memory/reservation", "memory.soft_limit_in_bytes", "memory.low"),
    ("/memory/swappiness", "memory.swappiness", ""),
    ("/memory/disableOOMKiller", "memory.oom_control", ""),
    ("/cpu/shares", "cpu.shares", "cpu.weight"),
    ("/cpu/period", "cpu.cfs_period_us", "cpu.max"),
    ("/cpu/quota", "cpu.cfs_quota_us", "cpu.max"),
    ("/cpu/burst", "cpu.cfs_burst_us", "cpu.max.burst"),
    ("/cpu/realtimePeriod", "cpu.rt_period_us", ""),
    ("/cpu/realtimeRuntime", "cpu.rt_runtime_us", ""),
    ("/cpu/idle", "cpu.idle", "cpu.idle"),
    ("/cpu/cpus", "cpuset.cpus", "cpuset.cpus"),
    ("/cpu/mems", "cpuset.mems", "cpuset.mems"),
    ("/pids/limit", "pids.max", "pids.max"),
    ("/blockIO/weight", "blkio.weight", "io.weight"),
    ("/network/classID", "net_cls.classid", ""),
];

/// Of these, 0 is a value. Of all others, it says that nothing is asked for.
const MAY_BE_0: [&str; 3] = ["/memory/swappiness", "/cpu/burst", "/cpu/idle"];

/// The same for a list of devices. v2 has one file for all, and a word for each.
const RATES: [(&str, &str, &str); 4] = [
    ("throttleReadBpsDevice", "blkio.throttle.read_bps_device", "rbps="),
    ("throttleWriteBpsDevice", "blkio.throttle.write_bps_device", "wbps="),
    ("throttleReadIOPSDevice", "blkio.throttle.read_iops_device", "riops="),
    ("throttleWriteIOPSDevice", "blkio.throttle.write_iops_device", "wiops="),
];

/// Each file, and what is to be written to it.
///
/// # Errors
/// When one is no name of a file, or contradicts another.
pub fn files(
    resources: &LinuxResources,
    is_v2: bool,
) -> Result<Vec<(String, String)>> {
    if let Some(memory) = resources.memory() {
        let both = memory.swap().filter(|it| *it > 0);
        let least = memory.limit().unwrap_or(0);
        ensure!(
            both.is_none_or(|both| both >= least),
            "memory.swap: it counts memory, too, so it is not less than \
             memory.limit"
        );
    }
    let all = serde_json::to_value(resources)?;
    let one = |v1: &str, v2: &str| if is_v2 { v2 } else { v1 }.to_owned();
    let list = |of: &Value| of.as_array().cloned().unwrap_or_default();
    let mut files = vec![];
    for (name, v1, v2) in LIMITS {
        let file = one(v1, v2);
        files.extend(value(&all, name, is_v2).map(|it| (file, it)));
    }
    for (name, v1, v2) in RATES {
        for it in list(&all["blockIO"][name]) {
            let (major, minor, rate) =
                (&it["major"], &it["minor"], &it["rate"]);
            let value = format!("{major}:{minor} {}{rate}", one("", v2));
            files.push((one(v1, "io.max"), value));
        }
    }
    for it in list(&all["hugepageLimits"]) {
        let size = it["pageSize"].as_str().unwrap_or_default();
        let file = format!("hugetlb.{size}.{}", one("limit_in_bytes", "max"));
        files.push((file, it["limit"].to_string()));
    }
    for it in list(&all["network"]["priorities"]) {
        let name = it["name"].as_str().unwrap_or_default();
        let value = format!("{name} {}", it["priority"]);
        files.push((one("net_prio.ifpriomap", ""), value));
    }
    let unified = resources.unified().iter().flatten().filter(|_| is_v2);
    files.extend(unified.map(|(file, value)| (file.clone(), value.clone())));
    files.retain(|(file, _)| !file.is_empty());
    for (file, _) in &files {
        let is_one = !file.contains('/');
        ensure!(is_one, "linux.resources: {file:?} is no file of a cgroup");
    }
    Ok(files)
}

/// As the file has it; `None` where nothing is asked for.
fn value(all: &Value, name: &str, is_v2: bool) -> Option<String> {
    let number = |name| all.pointer(name).and_then(Value::as_i64).unwrap_or(0);
    let value = match all.pointer(name)? {
        Value::String(text) if text.is_empty() => return None,
        Value::String(text) => return Some(text.clone()),
        Value::Bool(on) => i64::from(*on),
        value => value.as_i64().unwrap_or(i64::MAX),
    };
    Some(match (name, is_v2) {
        _ if value == 0 && !MAY_BE_0.contains(&name) => return None,
        // There, swap is counted for itself.
        ("/memory/swap", true) if value > 0 => {
            (value - number("/memory/limit").max(0)).to_string()
        }
        // From 2 to 262144, and from 10 to 1000: there, from 1 to 10000.
        ("/cpu/shares", true) => {
            (1 + (value.clamp(2, 262_144) - 2) * 9999 / 262_142).to_string()
        }
        ("/blockIO/weight", true) => {
            (1 + (value.clamp(10, 1000) - 10) * 9999 / 990).to_string()
        }
        // The two are one file.
        ("/cpu/period", true) if number("/cpu/quota") != 0 => return None,
        ("/cpu/period", true) => format!("max {value}"),
        ("/cpu/quota", true) => {
            let period = Some(number("/cpu/period")).filter(|it| *it != 0);
            let quota =
                if value == -1 { "max".into() } else { value.to_string() };
            format!("{quota} {}", period.unwrap_or(100_000))
        }
        (_, true) | ("/pids/limit", _) if value == -1 => "max".to_owned(),
        _ => value.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn all(resources: Value, is_v2: bool) -> Vec<String> {
        let resources = serde_json::from_value(resources).expect("resources");
        let files = files(&resources, is_v2).expect("files");
        files.iter().map(|(file, value)| format!("{file} {value}")).collect()
    }

    #[test]
    fn each_limit_has_its_file() {
        let rate = json!([{ "major": 8, "minor": 1, "rate": 30 }]);
        let asked = json!({
            "memory": { "limit": 9, "swap": 12, "reservation": 7, "swappiness": 0,
                "disableOOMKiller": true },
            "cpu": { "shares": 1024, "period": 5, "quota": 3, "burst": 0, "idle": 1,
                "realtimePeriod": 6, "realtimeRuntime": 2, "cpus": "0-1", "mems": "0" },
            "pids": { "limit": -1 },
            "blockIO": { "weight": 500,
                "throttleReadBpsDevice": rate, "throttleWriteBpsDevice": rate,
                "throttleReadIOPSDevice": rate, "throttleWriteIOPSDevice": rate },
            "hugepageLimits": [{ "pageSize": "2MB", "limit": 4 }],
            "network": { "classID": 77, "priorities": [{ "name": "lo", "priority": 2 }] },
            "unified": { "memory.high": "8" },
        });
        let v1 = "memory.limit_in_bytes 9|memory.memsw.limit_in_bytes 12|\
            memory.soft_limit_in_bytes 7|memory.swappiness 0|memory.oom_control 1|\
            cpu.shares 1024|cpu.cfs_period_us 5|cpu.cfs_quota_us 3|cpu.cfs_burst_us 0|\
            cpu.rt_period_us 6|cpu.rt_runtime_us 2|cpu.idle 1|cpuset.cpus 0-1|\
            cpuset.mems 0|pids.max max|blkio.weight 500|net_cls.classid 77|\
            blkio.throttle.read_bps_device 8:1 30|blkio.throttle.write_bps_device 8:1 30|\
            blkio.throttle.read_iops_device 8:1 30|blkio.throttle.write_iops_device 8:1 30|\
            hugetlb.2MB.limit_in_bytes 4|net_prio.ifpriomap lo 2";
        assert_eq!(
            all(asked.clone(), false),
            v1.split('|').collect::<Vec<_>>()
        );
        let v2 = "memory.max 9|memory.swap.max 3|memory.low 7|cpu.weight 39|\
            cpu.max 3 5|cpu.max.burst 0|cpu.idle 1|cpuset.cpus 0-1|cpuset.mems 0|\
            pids.max max|io.weight 4950|io.max 8:1 rbps=30|io.max 8:1 wbps=30|\
            io.max 8:1 riops=30|io.max 8:1 wiops=30|hugetlb.2MB.max 4|memory.high 8";
        assert_eq!(all(asked, true), v2.split('|').collect::<Vec<_>>());
    }

    #[test]
    fn no_name_of_a_limit_leads_elsewhere() {
        let asked = json!({ "unified": { "../memory.max": "max" } });
        let asked = serde_json::from_value(asked).expect("resources");
        assert!(files(&asked, true).is_err());
        assert_eq!(files(&asked, false).expect("nothing"), []);
    }

    #[test]
    fn what_is_0_or_missing_is_not_asked_for() {
        let asked = json!({ "memory": { "limit": 0, "swap": -1 },
            "cpu": { "quota": 0, "period": 9, "cpus": "" }, "pids": { "limit": 0 } });
        let v1 = ["memory.memsw.limit_in_bytes -1", "cpu.cfs_period_us 9"];
        assert_eq!(all(asked.clone(), false), v1);
        assert_eq!(all(asked, true), ["memory.swap.max max", "cpu.max max 9"]);
    }
}
