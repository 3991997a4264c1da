"""The contract between Uptake's services: messages, streams, broker rules, exact reading. Never domain arithmetic."""
