"""The TFT ledger: signed operations, certified by quorums, merged by union."""
