//! `openline close-codes`: how connections end, as one table.

use clap::Args;
use openline_core::close::CloseReason;

use crate::telemetry::print;

const EXAMPLES: &str = "\
Examples:
  openline close-codes
  openline close-codes --json";

/// The words after `openline close-codes`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CloseCodesArguments {
    /// As JSON, one array of objects.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &CloseCodesArguments) -> anyhow::Result<()> {
    let rows = CloseReason::all();
    if arguments.json {
        let rows: Vec<_> = rows.iter().map(json).collect();
        print(&serde_json::to_string_pretty(&rows)?)?;
        return Ok(());
    }
    let mut text = format!(
        "{:<22} {:<7} {:<11} {}",
        "REASON", "CODE", "RECONNECT", "TEXT OF THE CLOSE FRAME"
    );
    for reason in rows {
        let (label, reconnect) = (reason.label(), reason.reconnect());
        let (code, words) = shown(&reason);
        text += &format!("\n{label:<22} {code:<7} {reconnect:<11} {words}");
    }
    print(&text)?;
    Ok(())
}

fn shown(reason: &CloseReason) -> (String, String) {
    match (reason, reason.frame()) {
        (CloseReason::Peer(_), _) => ("theirs".into(), "the peer's own close, answered".into()),
        (CloseReason::Function(_), _) => ("theirs".into(), "what the function says".into()),
        (CloseReason::Operator(_), _) => ("theirs".into(), "what the operator says".into()),
        (_, Some(info)) => (info.code.to_string(), info.reason),
        (_, None) => ("1006".into(), "no close frame: the stream ends".into()),
    }
}

fn json(reason: &CloseReason) -> serde_json::Value {
    let theirs = matches!(
        reason,
        CloseReason::Peer(_) | CloseReason::Function(_) | CloseReason::Operator(_)
    );
    let frame = reason.frame().filter(|_| !theirs);
    serde_json::json!({
        "reason": reason.label(),
        "code": frame.as_ref().map(|info| info.code),
        "text": frame.map(|info| info.reason),
        "reconnect": reason.reconnect().to_string(),
    })
}
