"""Carriers behind one contract: SMSC today; none of them knows the queue."""
