//! Checking the audit log: walks every chain and recomputes its hashes.

use uuid::Uuid;

use super::audit::{GENESIS, Row};
use super::db::{all, optional};
use super::{Result, Store, counted};

/// Rows read at once.
const BATCH: i64 = 1000;
/// Breaks that are named one by one; a thief who rewrote a table needs no full list.
const MAX_BROKEN: usize = 100;

/// What a check of the audit log found.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct AuditReport {
    /// Chains that were walked.
    pub chains: u64,
    /// Rows that were walked.
    pub rows: u64,
    /// Where the log is not what was written, for a person; empty when all is well.
    pub broken: Vec<String>,
}

impl AuditReport {
    fn report(&mut self, what: String) {
        if self.broken.len() < MAX_BROKEN {
            self.broken.push(what);
        }
    }
}

impl Store {
    /// Walks every chain of the audit log.
    pub async fn verify_audit(&self) -> Result<AuditReport> {
        let mut report = AuditReport::default();
        let mut after = Uuid::nil();
        loop {
            let mut reader = self.main().read().await?;
            // Chains come from both tables: rows whose head was taken away must show too.
            let chains = all!(
                reader.conn(),
                (Uuid,),
                "SELECT id FROM (SELECT id FROM audit_heads UNION SELECT chain FROM audit_logs
                    UNION SELECT id FROM teams UNION SELECT id FROM deployment_targets) AS chains
                 WHERE id > $1 ORDER BY id LIMIT $2",
                after,
                BATCH
            )?;
            drop(reader);
            let Some((last,)) = chains.last() else {
                return Ok(report);
            };
            after = *last;
            for (chain,) in chains {
                self.verify_chain(chain, &mut report).await?;
            }
        }
    }

    async fn verify_chain(&self, chain: Uuid, report: &mut AuditReport) -> Result<()> {
        report.chains += 1;
        let mut reader = self.main().read().await?;
        // One statement, so that the two belong together; what is written after it is looked at
        // another time.
        let head = optional!(
            reader.conn(),
            (i64, Vec<u8>, Option<i64>),
            "SELECT seq, hash, (SELECT MAX(seq) FROM audit_logs WHERE chain = audit_heads.id) FROM audit_heads
             WHERE id = $1",
            chain
        )?;
        let Some((end, head, last)) = head else {
            report.report(format!("chain {chain}: its head is missing"));
            return Ok(());
        };
        if last.unwrap_or(0) > end {
            report.report(format!(
                "chain {chain}: rows were added behind its end at {end}"
            ));
        }
        let (mut seq, mut previous) = (0, GENESIS.to_vec());
        while seq < end {
            let rows = all!(
                reader.conn(),
                Row,
                "SELECT * FROM audit_logs WHERE chain = $1 AND seq > $2 AND seq <= $3 ORDER BY seq LIMIT $4",
                chain,
                seq,
                end,
                BATCH
            )?;
            if rows.is_empty() {
                report.report(format!(
                    "chain {chain}: it ends at row {seq}, its head says {end}"
                ));
                return Ok(());
            }
            for row in rows {
                report.rows += 1;
                check(&row, seq, &previous, report);
                (seq, previous) = (row.seq, row.hash);
            }
        }
        if previous != head {
            report.report(format!(
                "chain {chain}: its last row is not the one its head names"
            ));
        }
        Ok(())
    }
}

fn check(row: &Row, last: i64, previous: &[u8], report: &mut AuditReport) {
    if row.seq != last + 1 {
        report.report(format!(
            "chain {}: row {} is missing",
            row.chain,
            counted(last) + 1
        ));
    }
    if row.hash(previous).as_slice() != row.hash.as_slice() {
        report.report(format!(
            "chain {}: row {} ({}) was changed, or the one before it",
            row.chain, row.seq, row.id
        ));
    }
}
