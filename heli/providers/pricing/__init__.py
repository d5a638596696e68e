"""What a call costs: price tables and the one place where a ledger is multiplied by them."""
