//! What the operating system says of this process.

use std::fmt;

use procfs::process::{LimitValue, Process};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// The metrics that Prometheus' own client libraries have of every process, under the same names. What
/// cannot be read is left out.
#[derive(Debug)]
pub(super) struct ProcessFigures;

impl Collector for ProcessFigures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Ok(process) = Process::myself() else {
            return Ok(());
        };
        let mut put = |name, help, metric: &dyn EncodeMetric| {
            metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
        };
        if let Ok(stat) = process.stat() {
            let ticks = procfs::ticks_per_second() as f64;
            let busy = ConstCounter::new((stat.utime + stat.stime) as f64 / ticks);
            put("process_cpu_seconds", "Processor time that was used", &busy)?;
            if let Ok(booted) = procfs::boot_time_secs() {
                let began = ConstGauge::new(booted as f64 + stat.starttime as f64 / ticks);
                let help = "When the process began, in seconds since 1970";
                put("process_start_time_seconds", help, &began)?;
            }
            let held = ConstGauge::new(stat.rss.saturating_mul(procfs::page_size()) as f64);
            put(
                "process_resident_memory_bytes",
                "Memory that is held",
                &held,
            )?;
            let addressed = ConstGauge::new(stat.vsize as f64);
            put(
                "process_virtual_memory_bytes",
                "Memory that is addressed",
                &addressed,
            )?;
        }
        if let Ok(open) = process.fd_count() {
            let open = ConstGauge::new(open as f64);
            put("process_open_fds", "Files and sockets that are open", &open)?;
        }
        if let Ok(limits) = process.limits()
            && let LimitValue::Value(most) = limits.max_open_files.soft_limit
        {
            let most = ConstGauge::new(most as f64);
            put(
                "process_max_fds",
                "Files and sockets that may be open",
                &most,
            )?;
        }
        Ok(())
    }
}
