"""What the sender hears: bounces and receipts by mail; never a report about a report."""
